"""Make dialogues of answered conversations: lay each out in time, and put the user in a place.

Everything is drawn from the recipe's seed and the dialogue's number.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from audio_io.clock import USER_RATE
from audio_io.errors import AudioError
from audio_io.files import read_audio, write_audio
from audio_io.signal import Audio
from covo_cli.errors import CliError
from covo_cli.fd.laying.channel import in_a_place
from covo_cli.fd.laying.layout import LaidDialogue, Layout
from covo_cli.fd.plan import phrases
from covo_cli.fd.questions import SOUND_SUFFIXES, at_speed, sound_files
from covo_cli.fd.recipe import FdRecipe
from covo_cli.fd.records import (
    ANSWERS,
    CONVERSATIONS,
    PHRASES,
    QUESTIONS,
    REPLIES,
    SOUNDS,
    AnsweredConversation,
    PhraseKind,
    SpokenConversation,
)
from covo_cli.fd.work import Journal
from covo_cli.process.whole_file import write_text
from model.duplex.protocol.profile import DuplexProfile
from voices.folders import expanded

_BABBLE = 8
"""Utterances of which babble is made."""
_HELD_OUT_SEED = 4


@dataclass(frozen=True, slots=True)
class WrittenDialogue:
    """A dialogue on disk: its ``conversation``, its length, and how often what happens in it."""

    conversation: int
    seconds: float
    turns: dict[str, int]
    events: dict[str, int]
    left_out: dict[str, int]


def noise_files(recipe: FdRecipe) -> list[Path]:
    """Return the user's own sounds of noise. Raises: CliError if their folder has none."""
    folder = recipe.sound.noise_folder
    if not folder:
        return []
    found = sound_files(expanded(folder))
    if not found:
        raise CliError(
            f"sound.noise_folder is {folder}, which has no sounds ({', '.join(SOUND_SUFFIXES)}); "
            'correct it in recipe.toml, or write ""'
        )
    return found


class DialogueMaker:
    """Makes dialogues of the answered conversations of the work ``folder``: of those that are
    ``held_out`` from training, or of the others. Raises: CliError if none of them has a reply."""

    def __init__(
        self, folder: Path, recipe: FdRecipe, profile: DuplexProfile, *, held_out: bool = False
    ) -> None:
        self._recipe, self._profile = recipe, profile
        self._noises = noise_files(recipe)
        self._seed = (recipe.seed, _HELD_OUT_SEED) if held_out else (recipe.seed,)
        questions = folder / QUESTIONS
        self.sounds, self._phrases = questions / SOUNDS, questions / PHRASES
        self.conversations = Journal(questions / CONVERSATIONS, SpokenConversation)
        self.answers = Journal(folder / ANSWERS / REPLIES, AnsweredConversation)
        self.usable = [
            index
            for index, one in enumerate(self.conversations)
            if one.held_out == held_out and self.answers[index].replies
        ]
        """Numbers of the conversations."""
        if not self.usable:
            kind = "held-out questions" if held_out else "questions"
            raise CliError(f"{folder / ANSWERS} has no replies to {kind} to make dialogues of")

    def write(self, target: Path, number: int) -> WrittenDialogue:
        """Write dialogue ``number`` into the folder ``target``: the user's channel as FLAC, and its
        JSON (:mod:`model.duplex.training.dataset`). Raises: CliError."""
        index = self._conversation(number)
        random = np.random.default_rng((*self._seed, 2, number))
        conversation = self.conversations[index]
        try:
            laid = self._lay(conversation, index, random)
            others = [self._somebody(random) for _ in range(_BABBLE)]
            mixed = laid.channel.mixed(laid.length)
            user = in_a_place(mixed, self._recipe.sound, others, self._noises, random)
        except AudioError as error:
            raise CliError(f"dialogue {number}: {error}") from error
        path = target / f"{number:06}.flac"
        text = json.dumps(described(laid, self._profile), separators=(",", ":"))
        write_text(path.with_suffix(".json"), text + "\n")  # first: no sound is without its JSON
        write_audio(path, user, USER_RATE)
        return WrittenDialogue(
            index,
            round(laid.length / USER_RATE, 4),
            dict(Counter(str(reply.kind) for reply in laid.replies)),
            dict(Counter(str(event.kind) for event in laid.events)),
            dict(laid.left_out),
        )

    def _conversation(self, number: int) -> int:
        """Return which conversation dialogue ``number`` is of: each comes once in a round."""
        turn, place = divmod(number, len(self.usable))
        order = np.random.default_rng((*self._seed, 3, turn)).permutation(len(self.usable))
        return self.usable[int(order[place])]

    def _lay(self, conversation: SpokenConversation, index: int, random: Generator) -> LaidDialogue:
        read = lru_cache(64)(partial(read_audio, rate=USER_RATE))

        def phrase(which: str | PhraseKind) -> Audio:
            name = which
            if isinstance(which, PhraseKind):
                count = len(phrases(conversation.language)[which])
                name = f"{conversation.voice}-{which}-{int(random.integers(count))}.flac"
            return at_speed(read(self._phrases / name), conversation.speed)

        return Layout(
            conversation,
            self.answers[index].replies,
            self._recipe.timing,
            self._profile,
            random,
            side_talk_db=self._recipe.sound.side_talk_db,
            sound=lambda name: read(self.sounds / name),
            phrase=phrase,
            beside=lambda: self._somebody(random, apart_from=index),
        ).lay()

    def _somebody(self, random: Generator, apart_from: int = -1) -> Audio:
        """Return an utterance of a random conversation."""
        candidates = [one for one in self.usable if one != apart_from] or self.usable
        turns = self.conversations[candidates[int(random.integers(len(candidates)))]].turns
        turn = turns[int(random.integers(len(turns)))]
        return read_audio(self.sounds / turn.sound, USER_RATE)


def described(laid: LaidDialogue, profile: DuplexProfile) -> dict[str, Any]:
    """Return the JSON of a dialogue, times in seconds."""
    chunk_s, rate = profile.chunk_ms / 1000, profile.code_rate
    replies = []
    for placed in laid.replies:
        said, start = placed.reply, (placed.shift + profile.lead) * chunk_s
        lasts = len(said.codes) / rate
        pace = lasts / max(1, len(said.text))
        one: dict[str, Any] = {
            "start": round(start, 4),
            "end": round(start + lasts, 4),
            "kind": placed.kind,
            "codes": said.codes,
            "text": [
                {"token": token, "at": round(start + number * pace, 4)}
                for number, token in enumerate(said.text)
            ],
            "logprobs": said.likely,
        }
        if placed.stop is not None:
            one["cut"] = round(placed.stop * chunk_s, 4)
        replies.append(one)
    events = [{"kind": e.kind, "start": e.start, "end": e.end} for e in laid.events]
    return {"replies": replies, "events": events}
