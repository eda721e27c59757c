"""Speak replies: turn their codes into sound beside the loop, and follow them to the ear.

Times are user samples, lengths samples at 24 kHz.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from tokenizers.decoders import DecodeStream

from audio_io.clock import ASSISTANT_RATE, samples
from audio_io.signal import Audio, Position
from model.duplex.assemble import DuplexAssistant
from model.duplex.network.speech import ReplySound
from model.errors import ModelError, failing_as_model_error
from model.events import Event, Interrupted, Notice, ReplyFinished, TurnLatency
from model.jobs.executor import Executor, Job
from model.playback.spoken_reply import SpokenReply, latency_parts

SPEECH_LANE = "speech"

CUSHION_S = 0.06
"""Silence before a reply's first sound, so that the speaker does not run dry when a chunk's speech
is ready a little late."""


class DuplexReply(SpokenReply):
    """A reply that begins with SHIFT, at ``shifted_at``, and ends with BREAK.

    ``end_of_speech``: when the user last spoke before it, 0 if nothing new was said.
    """

    def __init__(
        self,
        assistant: DuplexAssistant,
        reply_id: int,
        turn: int,
        end_of_speech: int,
        shifted_at: int,
    ) -> None:
        super().__init__(reply_id, turn, cushion=samples(CUSHION_S, ASSISTANT_RATE))
        self.end_of_speech = end_of_speech
        self.shifted_at = shifted_at
        self.over_speech = False
        """Whether the user was speaking when BREAK came."""
        self.failed = False
        """Whether some of its speech could not be made."""
        self.stop_reason = ""
        self.sound = ReplySound(
            assistant.speech, assistant.loop.profile.code_rate, assistant.loudness
        )
        """Makes its sound; used on the speech lane only."""
        self._tokenizer = assistant.tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def decode(self, tokens: tuple[int, ...]) -> str:
        """Return the text that ``tokens`` add; a character comes when it is complete."""
        return "".join(self._stream.step(self._tokenizer, token) or "" for token in tokens)

    def latency(self, now: int) -> TurnLatency:
        """Return the time from the user's last speech to the first sound played, by its parts."""
        marks = {
            "turn taking": self.shifted_at,
            "speech": self.first_audio_at,
            "playing": self.first_heard_at,
        }
        parts = latency_parts(self.end_of_speech, marks)
        return TurnLatency(now, self.turn, self.reply_id, sum(parts.values()), parts)

    def ending(self, now: int) -> list[Event]:
        """Return the events that end it, empty while it can still be heard."""
        if self.stopped:
            return [self._interrupted(now, self.stop_reason)] if self.silent else []
        if not (self.finished or self.stalled(now)):
            return []
        events: list[Event] = []
        if not self.finished:
            events = [Notice(now, "warning", "the speaker did not play the end of the reply")]
        if self.over_speech:
            return [*events, self._interrupted(now, "you spoke over it")]
        return [*events, ReplyFinished(now, self.reply_id, self.text)]

    def _interrupted(self, now: int, reason: str) -> Interrupted:
        heard = self.split()
        return Interrupted(now, self.reply_id, heard.samples, heard.text, heard.unheard, reason)


class SpokenReplies:
    """The replies whose end was not reported yet, in order, and the sound being made of them."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._sounds: deque[tuple[DuplexReply, str, bool, Job[Audio]]] = deque()
        self._replies: deque[DuplexReply] = deque()
        self.settled = 0
        """The number of the last reply whose end was reported."""

    @property
    def newest(self) -> DuplexReply | None:
        """The newest reply whose end was not reported yet."""
        return self._replies[-1] if self._replies else None

    @property
    def busy(self) -> bool:
        """Whether a reply is being made or heard."""
        return bool(self._replies or self._sounds)

    def begin(self, reply: DuplexReply) -> None:
        """Add a reply that has begun."""
        self._replies.append(reply)

    def say(
        self, now: int, reply: DuplexReply, text: str, codes: tuple[int, ...], *, last: bool
    ) -> None:
        """Add ``text`` and the sound of ``codes`` to ``reply``. ``last``: nothing follows."""

        def work(cancelled: Callable[[], bool]) -> Iterator[Audio]:
            if not reply.stopped:
                yield reply.sound.add(codes, last=last)

        if text:
            reply.write(now, text)
        job = self._executor.submit(SPEECH_LANE, now, work)
        self._sounds.append((reply, text, last, job))

    def stop(self, reason: str) -> DuplexReply | None:
        """Stop all replies; return the newest one, or None if it was stopped before."""
        newest = self.newest
        if newest is None or newest.stopped:
            return None
        for reply in self._replies:
            if not reply.stopped:
                reply.stop()
                reply.stop_reason = reason
        return newest

    def poll(self, now: int, playback: Position) -> Iterator[Event]:
        """Yield what happened to the replies by ``now``."""
        while self._sounds:
            reply, text, last, job = self._sounds[0]
            yield from self._collect(now, reply, text, job)
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
            ending = reply.ending(now)
            if not ending:
                return
            yield from ending
            self._replies.popleft()
            self.settled = reply.reply_id

    def _collect(
        self, now: int, reply: DuplexReply, text: str, job: Job[Audio]
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
            reply.say(now, np.concatenate((silence, sound)), text)
