"""Replies on their way to the user's ear: sound is made of their codes, and followed to its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from audio_io.clock import ASSISTANT_RATE, samples
from audio_io.signal import Audio, Position
from model.duplex.assistant import DuplexAssistant
from model.duplex.network.speech import SpokenState, speak
from model.errors import ModelError, failing_as_model_error
from model.events import Event, Interrupted, Notice, ReplyFinished, TurnLatency
from model.jobs.executor import Executor, Job
from model.playback.spoken_reply import SpokenReply, latency_parts

SPEECH_LANE = "speech"

CUSHION = 0.06
"""Seconds of silence before a reply's first sound. Each chunk's speech is ready a little earlier or
later than the last one's; without it the speaker would run dry in between."""


class DuplexReply(SpokenReply):
    """A reply that begins with SHIFT, at ``shifted_at``, and ends with BREAK. Times: user samples.

    ``end_of_speech``: when the user had last spoken as it began, 0 if nothing new was said.
    """

    def __init__(self, reply_id: int, turn: int, end_of_speech: int, shifted_at: int) -> None:
        super().__init__(reply_id, turn, cushion=samples(CUSHION, ASSISTANT_RATE))
        self.end_of_speech = end_of_speech
        self.shifted_at = shifted_at
        self.over_speech = False
        """Whether the user was speaking when BREAK came."""
        self.failed = False
        """Whether some of its speech could not be made."""
        self.stop_reason = ""
        self.speech: SpokenState[Any] = SpokenState()
        """Where its sound is; used only on the speech lane."""

    def latency(self, now: int) -> TurnLatency:
        """Return the time from the user's last speech to the first sound played, by its parts."""
        marks = {
            "turn taking": self.shifted_at,
            "speech": self.first_audio_at,
            "playing": self.first_heard_at,
        }
        parts = latency_parts(self.end_of_speech, marks)
        return TurnLatency(now, self.turn, self.reply_id, sum(parts.values()), parts)


class SpokenReplies:
    """The replies that are not settled yet, in order: one is settled when it has fallen silent and
    that was told. Sound is made of codes on a lane of its own. Times are user samples."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._sounds: deque[tuple[DuplexReply, str, bool, Job[Audio]]] = deque()
        self._replies: deque[DuplexReply] = deque()
        self.settled = 0
        """The number of the last reply that is settled."""

    @property
    def newest(self) -> DuplexReply | None:
        """The newest that is not settled."""
        return self._replies[-1] if self._replies else None

    @property
    def busy(self) -> bool:
        """Whether there is one."""
        return bool(self._replies or self._sounds)

    def begin(self, reply: DuplexReply) -> None:
        """A reply has begun; it has no sound yet."""
        self._replies.append(reply)

    def say(
        self,
        assistant: DuplexAssistant,
        now: int,
        reply: DuplexReply,
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

    def stop(self, reason: str) -> DuplexReply | None:
        """Nothing more of any reply is to be heard; the newest, if there is one that was not
        stopped before."""
        newest = self.newest
        if newest is None or newest.stopped:
            return None
        for reply in self._replies:
            if not reply.stopped:
                reply.stop()
                reply.stop_reason = reason
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
                reply.end(whole=not reply.failed)
        for reply in self._replies:
            yield from reply.take(now)
        while self._replies:
            reply = self._replies[0]
            if reply.follow(now, playback) and reply.end_of_speech:
                yield reply.latency(now)
            over = _over(now, reply)
            if over is None:
                return
            yield from over
            self._replies.popleft()
            self.settled = reply.reply_id

    def _collect(
        self, now: int, reply: DuplexReply, delta: str, job: Job[Audio]
    ) -> Iterator[Notice]:
        try:
            with failing_as_model_error("the reply's speech"):
                sounds = job.poll(now)
        except ModelError as error:
            if not reply.failed:
                yield Notice(now, "error", str(error))
            reply.failed = True
            return
        for sound in sounds:
            first = len(sound) and reply.first_audio_at is None
            silence = np.zeros(reply.cushion if first else 0, np.float32)
            reply.say(now, np.concatenate((silence, sound)), delta)


def _over(now: int, reply: DuplexReply) -> list[Event] | None:
    """How it ended, to be told; None while it can still be heard."""
    if reply.stopped:
        return [_interrupted(now, reply, reply.stop_reason)] if reply.silent else None
    events: list[Event] = []
    if not reply.finished:
        if not reply.stalled(now):
            return None
        events.append(Notice(now, "warning", "the speaker lost the end of the reply"))
    if reply.over_speech:
        return [*events, _interrupted(now, reply, "you spoke over it")]
    return [*events, ReplyFinished(now, reply.reply_id, reply.text)]


def _interrupted(now: int, reply: DuplexReply, reason: str) -> Interrupted:
    heard = reply.split()
    return Interrupted(now, reply.reply_id, heard.samples, heard.text, heard.unheard, reason)
