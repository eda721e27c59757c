"""Dialogues on disk: for each a stereo sound file and a JSON file of the same name.

Left is the user, right the assistant. The JSON lists what the assistant says::

    {"replies": [{"start": 2.4, "end": 5.3, "codes": [...],
                  "text": [{"token": "Good", "at": 2.4}, {"token": " morning", "at": 2.7}]}]}

Times are in seconds. A text entry's ``token`` is text, which the checkpoint's tokenizer takes
apart, or an id. ``codes`` are the reply's speech codes from ``start`` on, and belong there: the
tokenizer that would make them of a recording is not public. Without ``codes`` a reply is read from
the right channel, from ``start`` to ``end``, by the codec that is asked for; there is only the one
of synthetic data (:mod:`model.duplex.tones.tone_codec`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from tokenizers import Tokenizer

from audio_io.clock import USER_RATE
from model.duplex.protocol.grammar import Grammar
from model.duplex.protocol.sequence import (
    ChunkedDialogue,
    Dialogue,
    Reply,
    TimedToken,
    encode,
    join_close,
)
from model.duplex.tones.tone_codec import codes_of, tones
from model.errors import DialogueError, TrainingError

SOUNDS = (".wav", ".flac")


class Codec(StrEnum):
    """What makes speech codes of the assistant's channel where the JSON has none."""

    NONE = "none"
    TONES = "tones"


class DialogueFolder:
    """The dialogues in ``folder``, in the order of their names; read when they are asked for.

    Raises: TrainingError when there are none, or one lacks its JSON.
    """

    def __init__(self, folder: Path, grammar: Grammar, tokenizer: Tokenizer, codec: Codec) -> None:
        self._grammar = grammar
        self._tokenizer = tokenizer
        self._codec = codec
        self._sounds = sorted(p for p in folder.glob("*") if p.suffix in SOUNDS)
        if not self._sounds:
            raise TrainingError(f"{folder} has no dialogues: stereo {' or '.join(SOUNDS)} files")
        if lacking := [p for p in self._sounds if not p.with_suffix(".json").is_file()]:
            raise TrainingError(f"{lacking[0]} has no .json beside it that says who speaks when")

    def __len__(self) -> int:
        return len(self._sounds)

    def __getitem__(self, index: int) -> ChunkedDialogue:
        """Raises: TrainingError, naming the file, for one that cannot be read."""
        path = self._sounds[index]
        try:
            return encode(self.read(path), self._grammar)
        except DialogueError as error:
            raise TrainingError(f"{path}: {error}") from error

    def read(self, path: Path) -> Dialogue:
        """The dialogue in ``path`` and the JSON beside it. Raises: TrainingError, DialogueError."""
        user, assistant = _channels(path)
        described = path.with_suffix(".json")
        try:
            values = json.loads(described.read_text(encoding="utf-8"))
            replies = [self._reply(one, assistant) for one in values["replies"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{described} does not describe a dialogue: {error!r}") from error
        return Dialogue(user, join_close(replies, self._grammar))

    def _reply(self, one: Mapping[str, Any], assistant: NDArray[np.float32]) -> Reply:
        rate = self._grammar.profile.code_rate
        start = self._code_at(one["start"])
        if "codes" in one:
            codes = tuple(int(code) for code in one["codes"])
        elif self._codec is Codec.TONES:
            step = USER_RATE / rate
            end = self._code_at(one["end"])
            codes = codes_of(assistant[round(start * step) : round(end * step)], USER_RATE, rate)
        else:
            raise TrainingError(
                f"the reply at {one['start']} s has no codes, and the tokenizer that makes them is "
                "not public: put them into the JSON (or, for synthetic tones, set codec = 'tones')"
            )
        text = [
            TimedToken(token, self._code_at(entry["at"]))
            for entry in one.get("text", ())
            for token in self._tokens(entry["token"])
        ]
        return Reply(start, codes, tuple(text))

    def _code_at(self, time: float) -> int:
        """The code at ``time`` in seconds; the nearest, because times in decimals are not exact."""
        return round(float(time) * self._grammar.profile.code_rate)

    def _tokens(self, token: object) -> list[int]:
        if isinstance(token, str):
            ids: list[int] = self._tokenizer.encode(token, add_special_tokens=False).ids
            return ids
        if isinstance(token, int):
            return [token]
        raise TypeError(f"a token is text or an id, not {token!r}")


def write_dialogue(path: Path, dialogue: Dialogue, grammar: Grammar, tokenizer: Tokenizer) -> None:
    """Write synthetic ``dialogue`` as ``path`` (a sound file) and the JSON beside it. The codes are
    in the right channel, as tones."""
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


def _channels(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from error
    if audio.shape[1] != 2:
        raise TrainingError(
            f"{path} has {audio.shape[1]} channels; a dialogue has two, the user left and the "
            "assistant right"
        )
    if rate != USER_RATE:
        audio = soxr.resample(audio, rate, USER_RATE)
    return np.ascontiguousarray(audio[:, 0]), np.ascontiguousarray(audio[:, 1])
