"""Read and write dialogues on disk: a sound file each, and a JSON file of the same name.

The first channel is the user, the second the assistant, if it is there. The JSON lists the
assistant's replies, and what the user does
(:class:`~model.duplex.training.hard_places.EventKind`)::

    {"replies": [{"start": 2.4, "end": 5.3, "codes": [...], "cut": 4.0,
                  "text": [{"token": "Good", "at": 2.4}, {"token": " morning", "at": 2.7}],
                  "logprobs": [[[1250, -0.1], [374, -3.2]], [[6556, 0.0]]]}],
     "events": [{"kind": "pause", "start": 0.9, "end": 1.4}]}

Times are in seconds. A text entry's ``token`` is an id, or text for the checkpoint's tokenizer.
``cut``: when the chunk with BREAK begins; the reply's text and codes are given whole. ``logprobs``:
for each text token, what a teacher would have written, ids and log-probabilities.
``codes`` are the reply's speech codes from ``start`` on; the tokenizer that makes them from
recordings is not public. Without ``codes``, the reply is read from the right channel between
``start`` and ``end`` by a codec: so far only that of synthetic data
(:mod:`model.duplex.network.tone_codec`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import soundfile
import soxr
from tokenizers import Tokenizer

from audio_io.clock import USER_RATE
from audio_io.files import write_audio
from audio_io.signal import Audio
from model.duplex.network.tone_codec import codes_of, tones
from model.duplex.protocol.grammar import Grammar
from model.duplex.protocol.sequence import (
    TimedDialogue,
    TimedReply,
    TimedToken,
    cut_in_slots,
    encode,
    join_close,
)
from model.duplex.training.hard_places import UserEvent, weigh_places
from model.duplex.training.sample import Sample, dialogue_sample, teaching_of
from model.errors import DialogueError, TrainingError
from voices import strict_reader

SOUNDS = (".wav", ".flac")


class Codec(StrEnum):
    """How to make speech codes of the assistant's channel when the JSON has none."""

    NONE = "none"
    TONES = "tones"


@dataclass(frozen=True, slots=True)
class _TextEntry:
    token: str | int
    at: float


@dataclass(frozen=True, slots=True)
class _ReplyEntry:
    start: float
    end: float | None = None
    codes: tuple[int, ...] | None = None
    text: tuple[_TextEntry, ...] = ()
    cut: float | None = None
    logprobs: tuple[tuple[tuple[int, float], ...], ...] | None = None


@dataclass(frozen=True, slots=True)
class _DialogueFile:
    replies: tuple[_ReplyEntry, ...]
    events: tuple[UserEvent, ...] = ()


class DialogueFolder:
    """The dialogues in ``folder``, sorted by name and read on access.

    ``overlap``: how often a reply's tokens count under what it does not stop for. Raises:
    TrainingError if there are no dialogues, or one lacks its JSON.
    """

    def __init__(
        self,
        folder: Path,
        grammar: Grammar,
        tokenizer: Tokenizer,
        codec: Codec,
        overlap: float = 1.0,
    ) -> None:
        self._grammar = grammar
        self._overlap = overlap
        self._tokenizer = tokenizer
        self._codec = codec
        self._sounds = sorted(p for p in folder.glob("*") if p.suffix in SOUNDS)
        if not self._sounds:
            raise TrainingError(f"no dialogues in {folder}; expected {' or '.join(SOUNDS)} files")
        if lacking := [p for p in self._sounds if not p.with_suffix(".json").is_file()]:
            raise TrainingError(f"{lacking[0]} has no .json of its replies beside it")

    def __len__(self) -> int:
        return len(self._sounds)

    def __getitem__(self, index: int) -> Sample:
        """Read and encode a dialogue. Raises: TrainingError, naming the file."""
        path, grammar = self._sounds[index], self._grammar
        try:
            dialogue, events = self.read(path)
            chunked = encode(dialogue, grammar)
        except DialogueError as error:
            raise TrainingError(f"{path}: {error}") from error
        places = weigh_places(chunked, events, grammar, self._overlap)
        teaching = teaching_of(chunked, dialogue, grammar)
        return dialogue_sample(chunked, grammar, places.weights, places.hard, teaching)

    def timed(self) -> Iterator[tuple[TimedDialogue, tuple[UserEvent, ...]]]:
        """Read one dialogue after the other, not yet in chunks. Raises: TrainingError."""
        for path in self._sounds:
            try:
                yield self.read(path)
            except DialogueError as error:
                raise TrainingError(f"{path}: {error}") from error

    def read(self, path: Path) -> tuple[TimedDialogue, tuple[UserEvent, ...]]:
        """Read ``path`` and the JSON beside it. Raises: TrainingError, DialogueError."""
        user, assistant = channels(path)
        described = path.with_suffix(".json")
        read = strict_reader.read(described, _DialogueFile, TrainingError, ignore_unknown=True)
        replies = [self._reply(one, assistant) for one in read.replies]
        return TimedDialogue(user, join_close(replies, self._grammar)), read.events

    def _reply(self, one: _ReplyEntry, assistant: Audio | None) -> TimedReply:
        profile = self._grammar.profile
        rate = profile.code_rate
        start = self._code_at(one.start)
        if one.codes is not None:
            codes = one.codes
        elif self._codec is Codec.TONES and one.end is not None and assistant is not None:
            step = USER_RATE / rate
            end = self._code_at(one.end)
            codes = codes_of(assistant[round(start * step) : round(end * step)], USER_RATE, rate)
        else:
            raise DialogueError(
                f"the reply at {one.start} s has no codes; add them to the JSON (or, for synthetic "
                "data, its end, its sound in the second channel, and codec = 'tones')"
            )
        text = [(token, entry.at) for entry in one.text for token in self._tokens(entry.token)]
        likely = one.logprobs or ((),) * len(text)
        if len(likely) != len(text):
            raise DialogueError(
                f"the reply at {one.start} s has {len(text)} text tokens, but log-probabilities "
                f"of {len(likely)}"
            )
        timed = [
            TimedToken(token, self._code_at(at), known)
            for (token, at), known in zip(text, likely, strict=True)
        ]
        reply = TimedReply(start, codes, tuple(timed))
        if one.cut is None:
            return reply
        stop = self._code_at(one.cut) // profile.codes_per_chunk
        return cut_in_slots(reply, stop, self._grammar)

    def _code_at(self, time: float) -> int:
        """Return the code nearest to ``time`` in seconds: decimal times are not exact."""
        return round(time * self._grammar.profile.code_rate)

    def _tokens(self, token: str | int) -> list[int]:
        if isinstance(token, int):
            return [token]
        ids: list[int] = self._tokenizer.encode(token, add_special_tokens=False).ids
        return ids


def write_dialogue(
    path: Path, dialogue: TimedDialogue, grammar: Grammar, tokenizer: Tokenizer
) -> None:
    """Write synthetic ``dialogue`` to the sound file ``path``, its codes as tones in the right
    channel, and the JSON beside it. Raises: AudioFileError, OSError."""
    rate = grammar.profile.code_rate
    assistant = np.zeros(len(dialogue.user), np.float32)
    replies = []
    for reply in dialogue.replies:
        begin = round(reply.start * USER_RATE / rate)
        sound = tones(reply.codes, USER_RATE, rate)[: len(assistant) - begin]
        assistant[begin : begin + len(sound)] = sound
        words = [{"token": tokenizer.id_to_token(t.id), "at": t.at / rate} for t in reply.text]
        times = {"start": reply.start / rate, "end": reply.end / rate}
        replies.append({**times, "text": words})
    both = np.stack((dialogue.user, assistant), axis=1)
    write_audio(path, both, USER_RATE)
    text = json.dumps({"replies": replies}) + "\n"
    path.with_suffix(".json").write_text(text, encoding="utf-8")


def channels(path: Path) -> tuple[Audio, Audio | None]:
    """Return the user's channel and the assistant's, if there is one, at 16 kHz. Raises:
    TrainingError."""
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise TrainingError(f"cannot read {path}: {error}") from error
    if audio.shape[1] > 2:
        raise TrainingError(
            f"{path} has {audio.shape[1]} channels; a dialogue has the user in the first, and the "
            "assistant in the second or none"
        )
    if rate != USER_RATE:
        audio = soxr.resample(audio, rate, USER_RATE)
    user, *assistant = (np.ascontiguousarray(channel) for channel in audio.T)
    return user, assistant[0] if assistant else None
