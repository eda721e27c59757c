"""Plan conversations: who says which prompts, and what happens to each turn and its reply.

The plan is drawn once, before anything is said, because the answers depend on it: a reply that is
interrupted is remembered as far as it was heard.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.random import Generator

from covo_cli.fd.recipe import FdRecipe
from covo_cli.fd.records import NEEDS_NEXT, PhraseKind, TurnKind


@dataclass(frozen=True, slots=True)
class SaidPrompt:
    """Something to say: ``text`` in a ``language``, or a ``recording`` of ``speaker``."""

    text: str
    language: str
    recording: Path | None = None
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class PlannedTurn:
    """A turn. ``onset``: where in the reply an interruption begins, 0 to 1 (earliest to latest);
    ``early``: within the reply's first moments. ``cue``: the phrase that interrupts the reply, a
    number in its list."""

    prompt: SaidPrompt
    kind: TurnKind
    onset: float
    early: bool
    cue: int


@dataclass(frozen=True, slots=True)
class PlannedConversation:
    """Turns of one speaker: ``voice`` says the prompts and phrases at ``speed``; of a recorded
    speaker it says the phrases only. ``held_out``: kept from training."""

    voice: str
    speed: float
    held_out: bool
    turns: tuple[PlannedTurn, ...]


def phrases(language: str) -> Mapping[PhraseKind, Sequence[str]]:
    """Return the phrases of ``language``, en or zh."""
    file = resources.files("covo_cli.fd").joinpath("texts", f"{language}.toml")
    lists = tomllib.loads(file.read_text("utf-8"))
    return {kind: lists[kind.value] for kind in PhraseKind}


def language_of(text: str) -> str:
    """Return zh for a text with Chinese characters, else en."""
    return "zh" if any("\u4e00" <= letter <= "\u9fff" for letter in text) else "en"


def plan(
    prompts: Sequence[SaidPrompt], recipe: FdRecipe, languages: Mapping[str, str]
) -> Iterator[PlannedConversation]:
    """Yield conversations of ``prompts`` in a random order, those held out first.

    ``languages``: of each voice, en or zh. Prompts without a voice are left out.
    """
    settings, random = recipe.questions, np.random.default_rng((recipe.seed, 1))
    groups = _groups(prompts, recipe, random)
    for held_out, together in groups:
        voices = settings.held_out_voices if held_out else settings.voices
        mine = [v for v in voices or settings.voices if languages[v] == together[0].language]
        at = 0
        while mine and at < len(together):
            count = min(
                1 + int(random.choice(len(settings.turns), p=settings.turns)), len(together) - at
            )
            recorded = together[at].recording is not None
            yield PlannedConversation(
                voice=str(random.choice(mine)),
                speed=1.0 if recorded else round(float(random.uniform(*settings.speed)), 3),
                held_out=held_out,
                turns=tuple(_turns(together[at : at + count], recipe, random)),
            )
            at += count


def _groups(
    prompts: Sequence[SaidPrompt], recipe: FdRecipe, random: Generator
) -> Iterator[tuple[bool, list[SaidPrompt]]]:
    """Yield prompts that may share a conversation, and whether they are held out."""
    settings = recipe.questions
    order = [prompts[i] for i in random.permutation(len(prompts))][: settings.count]
    written = [one for one in order if one.recording is None]
    parts = (True, written[: settings.held_out]), (False, written[settings.held_out :])
    for held_out, part in parts:
        for language in ("en", "zh"):
            if found := [one for one in part if one.language == language]:
                yield held_out, found
    recorded = sorted(
        (one for one in order if one.recording is not None),
        key=lambda one: (one.speaker, one.language),
    )
    speakers = list(dict.fromkeys(one.speaker for one in recorded))
    kept = {
        speakers[i]
        for i in random.permutation(len(speakers))[
            : int(len(speakers) * settings.held_out_speakers)
        ]
    }
    for (speaker, _), ours in groupby(recorded, key=lambda one: (one.speaker, one.language)):
        yield speaker in kept, list(ours)


def _turns(
    prompts: Sequence[SaidPrompt], recipe: FdRecipe, random: Generator
) -> Iterator[PlannedTurn]:
    shares = recipe.shares.of
    drawn = random.choice(len(shares), size=len(prompts), p=list(shares.values()))
    kinds = [list(shares)[int(one)] for one in drawn]
    # The last turn cannot be interrupted by a next one: let the kinds change places.
    for _ in kinds:
        if kinds[-1] in NEEDS_NEXT:
            kinds = [kinds[-1], *kinds[:-1]]
    if kinds[-1] in NEEDS_NEXT:
        kinds[-1] = TurnKind.STOPPED
    for prompt, kind in zip(prompts, kinds, strict=True):
        yield PlannedTurn(
            prompt,
            kind,
            onset=round(float(random.random()), 4),
            early=bool(random.random() < recipe.timing.onset_early_share),
            cue=int(random.integers(1000)),
        )
