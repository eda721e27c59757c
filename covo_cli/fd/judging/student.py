"""Ask a student one question, clean and in a conversation of its own, through the real loop."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np

from audio_io.clock import USER_RATE, samples
from audio_io.signal import Audio
from model.duplex.network.loop import DuplexLoop, LoopState
from model.duplex.protocol.sequence import SILENCE

_BEFORE_S = 0.5
"""Silence before a question."""
_PATIENCE_S = 3.0
"""After a question, until it is taken for not answered."""


@dataclass(frozen=True, slots=True)
class StudentReply:
    """A reply: ``text`` ids and ``codes``, both empty if there was none.

    ``first_word``: seconds from the question's end until the reply sounds, without the time to
    compute it; None if it never does. ``complete``: whether it ended by itself.
    """

    text: tuple[int, ...] = ()
    codes: tuple[int, ...] = ()
    first_word: float | None = None
    complete: bool = False


class Student:
    """Answers through ``loop``, with at most ``limit`` codes."""

    def __init__(self, loop: DuplexLoop, limit: int) -> None:
        self._loop, self._limit = loop, limit
        self._state: LoopState | None = None

    def answer(self, question: Audio, seed: int) -> StudentReply:
        """Ask ``question`` (samples,), 16 kHz, and hear the reply out. One that is over before the
        question ends counts for nothing. Raises: NetworkInputError."""
        profile = self._loop.profile
        chunk, chunk_s = profile.chunk_samples, profile.chunk_ms / 1000
        heard = np.concatenate((np.zeros(samples(_BEFORE_S), np.float32), question))
        end = len(heard)
        padded = np.pad(heard, (0, -end % chunk)).reshape(-1, chunk)
        quiet = np.zeros(chunk, np.float32)
        patience = len(padded) + round(_PATIENCE_S / chunk_s)
        longest = -(-self._limit // profile.codes_per_chunk)
        context = None if self._state is None else self._state.context
        state = self._loop.start(seed, context)
        text, codes = list[int](), list[int]()
        shift: int | None = None
        first: float | None = None
        complete = False
        for number in count():
            audio = padded[number] if number < len(padded) else quiet
            step, state = self._loop.step(state, audio)
            if step.shifted:
                shift, first = number, None
                text.clear()
                codes.clear()
            text += step.text
            spoken = [code for code in step.codes if code != SILENCE]
            codes += spoken
            if spoken and first is None:
                first = round((number + 1) * chunk_s - end / USER_RATE, 4)
            if step.broke:
                shift, complete = None, number >= len(padded)
                if complete:
                    break
                text.clear()
                codes.clear()
            waited = number >= patience if shift is None else number - shift >= longest
            if waited:
                break
        self._state = state
        return StudentReply(tuple(text), tuple(codes), first if codes else None, complete)
