"""Read and write dialogues on disk: a stereo sound file each, and a JSON file of the same name.

Left is the user, right the assistant. The JSON lists the assistant's replies::

    {"replies": [{"start": 2.4, "end": 5.3, "codes": [...],
                  "text": [{"token": "Good", "at": 2.4}, {"token": " morning", "at": 2.7}]}]}

Times are in seconds. A text entry's ``token`` is an id, or text for the checkpoint's tokenizer.
``codes`` are the reply's speech codes from ``start`` on; the tokenizer that makes them from
recordings is not public. Without ``codes``, the reply is read from the right channel between
``start`` and ``end`` by a codec: so far only that of synthetic data
(:mod:`model.duplex.network.tone_codec`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import soundfile
import soxr
from tokenizers import Tokenizer

from audio_io.clock import USER_RATE
from audio_io.signal import Audio
from model.duplex.network.tone_codec import codes_of, tones
from model.duplex.protocol.grammar import Grammar
from model.duplex.protocol.sequence import (
    ChunkedDialogue,
    TimedDialogue,
    TimedReply,
    TimedToken,
    encode,
    join_close,
)
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


@dataclass(frozen=True, slots=True)
class _DialogueFile:
    replies: tuple[_ReplyEntry, ...]


class DialogueFolder:
    """The dialogues in ``folder``, sorted by name and read on access.

    Raises: TrainingError if there are none, or one lacks its JSON.
    """

    def __init__(self, folder: Path, grammar: Grammar, tokenizer: Tokenizer, codec: Codec) -> None:
        self._grammar = grammar
        self._tokenizer = tokenizer
        self._codec = codec
        self._sounds = sorted(p for p in folder.glob("*") if p.suffix in SOUNDS)
        if not self._sounds:
            raise TrainingError(
                f"no dialogues in {folder}; expected stereo {' or '.join(SOUNDS)} files"
            )
        if lacking := [p for p in self._sounds if not p.with_suffix(".json").is_file()]:
            raise TrainingError(f"{lacking[0]} has no .json of its replies beside it")

    def __len__(self) -> int:
        return len(self._sounds)

    def __getitem__(self, index: int) -> ChunkedDialogue:
        """Read and encode a dialogue. Raises: TrainingError, naming the file."""
        path = self._sounds[index]
        try:
            return encode(self.read(path), self._grammar)
        except DialogueError as error:
            raise TrainingError(f"{path}: {error}") from error

    def read(self, path: Path) -> TimedDialogue:
        """Read ``path`` and the JSON beside it. Raises: TrainingError, DialogueError."""
        user, assistant = _channels(path)
        described = path.with_suffix(".json")
        read = strict_reader.read(described, _DialogueFile, TrainingError, ignore_unknown=True)
        replies = [self._reply(one, assistant) for one in read.replies]
        return TimedDialogue(user, join_close(replies, self._grammar))

    def _reply(self, one: _ReplyEntry, assistant: Audio) -> TimedReply:
        rate = self._grammar.profile.code_rate
        start = self._code_at(one.start)
        if one.codes is not None:
            codes = one.codes
        elif self._codec is Codec.TONES and one.end is not None:
            step = USER_RATE / rate
            end = self._code_at(one.end)
            codes = codes_of(assistant[round(start * step) : round(end * step)], USER_RATE, rate)
        else:
            raise DialogueError(
                f"the reply at {one.start} s has no codes; add them to the JSON (or, for synthetic "
                "data, its end and codec = 'tones')"
            )
        text = [
            TimedToken(token, self._code_at(entry.at))
            for entry in one.text
            for token in self._tokens(entry.token)
        ]
        return TimedReply(start, codes, tuple(text))

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
    channel, and the JSON beside it."""
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
    soundfile.write(path, both, USER_RATE, subtype="PCM_16")
    text = json.dumps({"replies": replies}) + "\n"
    path.with_suffix(".json").write_text(text, encoding="utf-8")


def _channels(path: Path) -> tuple[Audio, Audio]:
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise TrainingError(f"cannot read {path}: {error}") from error
    if audio.shape[1] != 2:
        raise TrainingError(
            f"{path} has {audio.shape[1]} channels; a dialogue needs two, the user left and the "
            "assistant right"
        )
    if rate != USER_RATE:
        audio = soxr.resample(audio, rate, USER_RATE)
    return np.ascontiguousarray(audio[:, 0]), np.ascontiguousarray(audio[:, 1])
