"""Time a whole reply from the end of speech: streamed, and in the reference's order."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import torch

from audio_io.worker import Worker
from covo_cli.bench.network.subject import Subject


@dataclass(slots=True)
class _Marks:
    """When each stage was reached, in seconds since the end of speech."""

    began: float
    at: dict[str, float] = field(default_factory=dict)

    def reach(self, name: str) -> None:
        """Record the time when ``name`` is first reached."""
        self.at.setdefault(name, time.perf_counter() - self.began)


def measure_reply(subject: Subject, codes: int) -> dict[str, Any]:
    """Answer with ``codes`` speech codes as in a conversation: one thread decodes, another speaks
    each chunk as soon as the schedule allows. Seconds count from the end of speech."""
    marks, prompt = _hear(subject)
    coming: SimpleQueue[int | None] = SimpleQueue()
    spoken: list[int] = []
    first_chunk = subject.speech.schedule.sizes[0] + subject.speech.schedule.look_ahead

    def speak() -> None:
        stream = subject.worker.start(subject.voice, subject.speech)
        last = False
        while not last:
            code = coming.get()
            last = code is None
            given = () if code is None else (code,)
            piece, stream = subject.worker.step(stream, given, last=last)
            if len(piece):
                spoken.append(len(piece))
                marks.reach("first sample")
        marks.reach("last sample")

    speaking = Worker(speak, "bench-speak")
    speaking.start()
    made = codes_made = 0
    for token, is_code in subject.reply_tokens(prompt, codes):
        made += 1
        marks.reach("first token")
        if is_code:
            codes_made += 1
            coming.put(token)
            if codes_made == min(first_chunk, codes):
                marks.reach("first codes")
    marks.reach("last token")
    coming.put(None)
    speaking.join()
    if speaking.failure is not None:
        raise speaking.failure
    at, rate = marks.at, subject.size.token2wav.rate
    audio = sum(spoken) / rate
    decoding = at["last token"] - at["prefill"]
    return {
        "codes": codes,
        "tokens": made,
        "audio_seconds": round(audio, 3),
        "first_sample_seconds": at["first sample"],
        "breakdown_seconds": _parts(at),
        "whole_seconds": at["last sample"],
        "whole_share_of_duration": round(at["last sample"] / audio, 4),
        "tokens_per_second_while_speaking": round(made / decoding, 1),
        "first_piece_seconds": spoken[0] / rate,
    }


def measure_all_first(subject: Subject, codes: int) -> dict[str, Any]:
    """Answer in the reference's order: all tokens, then all of the speech."""
    marks, prompt = _hear(subject)
    made = [token for token, is_code in subject.reply_tokens(prompt, codes) if is_code]
    marks.reach("last token")
    wave = subject.token2wav.synthesize(torch.tensor(made), subject.voice)
    wave.cpu()
    marks.reach("first sample")
    return {
        "codes": codes,
        "audio_seconds": round(len(wave) / subject.size.token2wav.rate, 3),
        "first_sample_seconds": marks.at["first sample"],
        "breakdown_seconds": _parts(marks.at),
    }


def _hear(subject: Subject) -> tuple[_Marks, torch.Tensor]:
    """Run from the end of speech to the end of the prefill."""
    subject.prepare()
    subject.clock.wait()
    marks = _Marks(time.perf_counter())
    turn = subject.features()
    marks.reach("features")
    heard = subject.network.hear(turn)
    subject.clock.wait()
    marks.reach("encoder")
    prompt = subject.turn_prompt(turn.placeholders)
    subject.decoder.append(subject.network.embed(prompt, heard))
    subject.clock.wait()
    marks.reach("prefill")
    return marks, prompt


def _parts(at: dict[str, float]) -> dict[str, float]:
    """Return seconds per part; they add up to the time to the first sample."""
    tokens = "first codes" if "first codes" in at else "last token"
    order = ("features", "encoder", "prefill", tokens, "first sample")
    names = ("features", "encoder", "prefill", "tokens", "speech")
    parts, before = {}, 0.0
    for name, mark in zip(names, order, strict=True):
        parts[name] = at[mark] - before
        before = at[mark]
    return parts
