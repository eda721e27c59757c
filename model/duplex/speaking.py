"""Replies on their way to the user's ear: sound is made of their codes, and followed to its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from audio_io.clock import ASSISTANT_RATE, samples
from audio_io.signal import Audio, Position
from model.duplex.assistant import DuplexAssistant
from model.duplex.network.speech import speak
from model.duplex.replies import SpokenReply
from model.errors import ModelError, failing_as_model_error
from model.events import (
    AssistantAudio,
    Event,
    Interrupted,
    Notice,
    ReplyAudioEnded,
    ReplyFinished,
    TurnLatency,
)
from model.jobs.executor import Executor, Job
from model.playback.falling_silent import FallingSilent

SPEECH_LANE = "speech"

CUSHION = 0.06
"""Seconds of silence before a reply's first sound. Each chunk's speech is ready a little earlier or
later than the last one's; without it the speaker would run dry in between."""

STALLED = 2.0
"""Seconds without progress after which a reply that is not played to its end is given up."""


class SpokenReplies:
    """The replies that are not settled yet, in order: one is settled when it has fallen silent and
    that was told. Sound is made of codes on a lane of its own. Times are user samples."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._sounds: deque[tuple[SpokenReply, str, bool, Job[Audio]]] = deque()
        self._replies: deque[SpokenReply] = deque()
        self.settled = 0
        """The number of the last reply that is settled."""

    @property
    def newest(self) -> SpokenReply | None:
        """The newest that is not settled."""
        return self._replies[-1] if self._replies else None

    @property
    def busy(self) -> bool:
        """Whether there is one."""
        return bool(self._replies or self._sounds)

    def begin(self, reply: SpokenReply) -> None:
        """A reply has begun; it has no sound yet."""
        self._replies.append(reply)

    def say(
        self,
        assistant: DuplexAssistant,
        now: int,
        reply: SpokenReply,
        delta: str,
        codes: tuple[int, ...],
        *,
        last: bool,
    ) -> None:
        """Have ``assistant`` make sound of the next ``codes`` of ``reply``, beside which the text
        ``delta`` stands. ``last``: nothing follows."""

        def work(cancelled: Callable[[], bool]) -> Iterator[Audio]:
            if reply.stopped:
                return
            rate = assistant.loop.profile.code_rate
            sound, reply.speech = speak(assistant.speech, reply.speech, codes, rate, last=last)
            yield sound

        job = self._executor.submit(SPEECH_LANE, now, work)
        self._sounds.append((reply, delta, last, job))

    def stop(self, reason: str) -> SpokenReply | None:
        """Nothing more of any reply is to be heard; the newest, if there is one that was not
        stopped before."""
        newest = self.newest
        if newest is None or newest.stopped:
            return None
        for reply in self._replies:
            if not reply.stopped:
                reply.falling = FallingSilent(reply.heard, reason)
        return newest

    def poll(self, now: int, playback: Position) -> Iterator[Event]:
        """What became of the replies by ``now``."""
        while self._sounds:
            reply, delta, last, job = self._sounds[0]
            yield from self._collect(now, reply, delta, job)
            if not job.finished:
                break
            self._sounds.popleft()
            if last:
                reply.complete = True
                if not reply.stopped:
                    yield ReplyAudioEnded(now, reply.number, reply.samples)
        while self._replies:
            reply = self._replies[0]
            yield from _follow(now, reply, playback)
            over = _over(now, reply)
            if over is None:
                return
            yield from over
            self._replies.popleft()
            self.settled = reply.number

    def _collect(
        self, now: int, reply: SpokenReply, delta: str, job: Job[Audio]
    ) -> Iterator[Event]:
        try:
            with failing_as_model_error("the reply's speech"):
                sounds = job.poll(now)
        except ModelError as error:
            if not reply.failed:
                yield Notice(now, "error", str(error))
            reply.failed = True
            return
        for sound in sounds:
            reply.add_text(delta)
            if len(sound) and not reply.stopped:
                whole = sound if reply.sound_at is not None else _first(now, reply, sound)
                reply.samples += len(whole)
                yield AssistantAudio(now, reply.number, whole, delta)


def _first(now: int, reply: SpokenReply, sound: Audio) -> Audio:
    """A reply's first sound, behind the cushion."""
    reply.sound_at = now
    reply.cushion = samples(CUSHION, ASSISTANT_RATE)
    return np.concatenate((np.zeros(reply.cushion, np.float32), sound))


def _follow(now: int, reply: SpokenReply, playback: Position) -> Iterator[Event]:
    """Take note of what was played of it."""
    if playback.reply_id == reply.number:
        heard = playback.samples
    else:
        heard = reply.samples if playback.reply_id > reply.number else 0
    if reply.play(now, heard) and reply.end_of_speech:
        parts = reply.latency()
        yield TurnLatency(now, reply.turn, reply.number, sum(parts.values()), parts)


def _over(now: int, reply: SpokenReply) -> list[Event] | None:
    """How it ended, to be told; None while it can still be heard."""
    if reply.falling is not None:
        if not reply.falling.silent(reply.heard):
            return None
        return [_interrupted(now, reply, reply.falling.reason)]
    if not reply.complete:
        return None
    events: list[Event] = []
    if reply.heard < reply.samples:
        if now - max(reply.heard_since, reply.sound_at or 0) < samples(STALLED):
            return None
        events.append(Notice(now, "warning", "the speaker lost the end of the reply"))
    if reply.over_speech:
        return [*events, _interrupted(now, reply, "you spoke over it")]
    return [*events, ReplyFinished(now, reply.number, reply.text)]


def _interrupted(now: int, reply: SpokenReply, reason: str) -> Interrupted:
    said, unsaid = reply.split(reply.heard)
    return Interrupted(now, reply.number, reply.heard, said, unsaid, reason)
