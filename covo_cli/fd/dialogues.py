"""Stage ``dialogues``: lay the answered conversations out in time, and write them for training.

The output is ``dialogues/``: for each, the user's channel as FLAC, and a JSON file
(:mod:`model.duplex.training.dataset`). Everything is drawn from the seed and the dialogue's number.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
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
from covo_cli.fd.channel import in_a_place
from covo_cli.fd.layout import LaidDialogue, Layout
from covo_cli.fd.plan import phrases
from covo_cli.fd.questions import at_speed
from covo_cli.fd.recipe import FdRecipe
from covo_cli.fd.records import (
    ANSWERS,
    CONVERSATIONS,
    DIALOGUES,
    PHRASES,
    PROFILE,
    QUESTIONS,
    REPLIES,
    SOUNDS,
    AnsweredConversation,
    PhraseKind,
    SpokenConversation,
)
from covo_cli.fd.work import Journal, Stage, digest, require
from covo_cli.process.whole_file import write_text
from model.duplex.protocol.profile import DuplexProfile, read_profile

WRITTEN = "written.jsonl"
_BABBLE = 8
"""Utterances of which babble is made."""


@dataclass(frozen=True, slots=True)
class WrittenDialogue:
    """A dialogue on disk: its ``conversation``, its length, and how often what happens in it."""

    conversation: int
    seconds: float
    turns: dict[str, int]
    events: dict[str, int]
    left_out: dict[str, int]


class Dialogues:
    """The stage in the work ``folder``. Raises: CliError if earlier stages are incomplete, or
    nothing was answered."""

    def __init__(self, folder: Path, recipe: FdRecipe) -> None:
        self._recipe = recipe
        self._profile = read_profile(folder)
        questions = folder / QUESTIONS
        noise = recipe.sound.noise_folder
        self._noises = sorted(p for p in Path(noise).rglob("*.*") if p.is_file()) if noise else []
        self.stage = Stage(
            folder / DIALOGUES,
            {
                "recipe": recipe.numbers("timing", "sound", "dialogues"),
                "profile": digest(folder / PROFILE),
                "questions": require(questions, "questions"),
                "answers": require(folder / ANSWERS, "answers"),
                "noises": {str(path): digest(path) for path in self._noises},
            },
        )
        self._sounds, self._phrases = questions / SOUNDS, questions / PHRASES
        self._conversations = Journal(questions / CONVERSATIONS, SpokenConversation)
        self._answers = Journal(folder / ANSWERS / REPLIES, AnsweredConversation)
        self._usable = [
            index
            for index, one in enumerate(self._conversations)
            if not one.held_out and self._answers[index].replies
        ]
        if not self._usable:
            raise CliError(f"{folder / ANSWERS} has no replies to make dialogues of")
        self._journal = Journal(self.stage.folder / WRITTEN, WrittenDialogue)
        self.seconds = sum(one.seconds for one in self._journal)
        """Length of the dialogues that are there."""

    @property
    def wanted(self) -> float:
        """Return the length of the dialogues to be made, in seconds."""
        return self._recipe.dialogues.hours * 3600

    def run(self) -> Iterator[float]:
        """Write dialogues until there are enough; yield the seconds that are there.

        They may end before, when each conversation was laid out as often as the recipe allows.
        """
        most = len(self._usable) * self._recipe.dialogues.rounds
        while self.seconds < self.wanted and len(self._journal) < most:
            written = self._write(len(self._journal))
            self._journal.append([written])
            self.seconds += written.seconds
            yield self.seconds
        if not self.stage.complete:
            self._finish()

    def _write(self, number: int) -> WrittenDialogue:
        index = self._conversation(number)
        random = np.random.default_rng((self._recipe.seed, 2, number))
        conversation = self._conversations[index]
        try:
            laid = self._lay(conversation, index, random)
            others = [self._somebody(random) for _ in range(_BABBLE)]
            mixed = laid.channel.mixed(laid.length)
            user = in_a_place(mixed, self._recipe.sound, others, self._noises, random)
        except AudioError as error:
            raise CliError(f"dialogue {number}: {error}") from error
        path = self.stage.folder / f"{number:06}.flac"
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
        turn, place = divmod(number, len(self._usable))
        order = np.random.default_rng((self._recipe.seed, 3, turn)).permutation(len(self._usable))
        return self._usable[int(order[place])]

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
            self._answers[index].replies,
            self._recipe.timing,
            self._profile,
            random,
            side_talk_db=self._recipe.sound.side_talk_db,
            sound=lambda name: read(self._sounds / name),
            phrase=phrase,
            beside=lambda: self._somebody(random, apart_from=index),
        ).lay()

    def _somebody(self, random: Generator, apart_from: int = -1) -> Audio:
        """Return an utterance of a random conversation."""
        candidates = [one for one in self._usable if one != apart_from] or self._usable
        turns = self._conversations[candidates[int(random.integers(len(candidates)))]].turns
        turn = turns[int(random.integers(len(turns)))]
        return read_audio(self._sounds / turn.sound, USER_RATE)

    def _finish(self) -> None:
        written = list(self._journal)
        totals = {name: Counter[str]() for name in ("turns", "events", "left_out")}
        for one in written:
            for name, total in totals.items():
                total.update(getattr(one, name))
        turns = totals["turns"].total()
        counts = {
            "dialogues": len(written),
            "hours": round(self.seconds / 3600, 4),
            "conversations": len({one.conversation for one in written}),
            "turns": turns,
            "shares of the turns": {
                kind: round(count / turns, 4) for kind, count in sorted(totals["turns"].items())
            },
            "events": dict(sorted(totals["events"].items())),
        }
        self.stage.finish(counts, totals["left_out"], WRITTEN)


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
