"""One reply in the making: from the moment it is begun (often early) until it is settled."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from audio_io.clock import ASSISTANT_RATE, USER_RATE, seconds
from model.errors import ModelError, failing_as_model_error
from model.hearing.open_turn import OpenTurn
from model.jobs.executor import Executor, Job
from model.reply import (
    ReplyAudio,
    ReplyGenerator,
    ReplyNotice,
    ReplyPart,
    ReplyText,
    TurnText,
)

REPLY_LANE = "reply"


class ReplyRun:
    """Collects a reply's parts and the times at which they came.

    Until it is committed, the reply is a speculation: its parts are held back. All times are user
    samples; ``turn`` is the turn that it answers, as it stands at time ``now``.
    """

    def __init__(
        self,
        number: int,
        turn: OpenTurn,
        generator: ReplyGenerator,
        executor: Executor,
        now: int,
    ) -> None:
        question = turn.snapshot()

        def work(cancelled: Callable[[], bool]) -> Iterator[ReplyPart]:
            return generator.reply(number, question, cancelled)

        self.number = number
        self.turn = turn.number
        self.question = turn
        self.text = ""
        self.samples = 0
        self.turn_text: str | None = None
        self.committed_at: int | None = None
        self.first_audio_at: int | None = None
        self.failed = False
        self.first_heard_at: int | None = None
        self._end_of_speech = turn.end_of_speech
        self._begun_at = now
        self._turn_text_at: int | None = None
        self._first_text_at: int | None = None
        self._held: list[ReplyText | ReplyAudio] = []
        self._notices: list[ReplyNotice] = []
        self._job: Job[ReplyPart] = executor.submit(REPLY_LANE, now, work)

    def poll(self, now: int) -> bool:
        """Collect what is ready; whether the turn's text came. Raises: ModelError."""
        text_came = False
        try:
            with failing_as_model_error("the reply"):
                parts = self._job.poll(now)
        except ModelError:
            self.failed = True
            raise
        for part in parts:
            if isinstance(part, TurnText):
                self.turn_text = part.text
                self._turn_text_at = now
                text_came = True
                continue
            if isinstance(part, ReplyNotice):
                self._notices.append(part)
                continue
            if isinstance(part, ReplyText):
                self.text += part.delta
                if self._first_text_at is None:
                    self._first_text_at = now
            else:
                self.samples += len(part.samples)
                if self.first_audio_at is None:
                    self.first_audio_at = now
            self._held.append(part)
        return text_came

    def take(self) -> list[ReplyText | ReplyAudio]:
        """The parts that came since the last call, in order."""
        held, self._held = self._held, []
        return held

    def take_notices(self) -> list[ReplyNotice]:
        """The notices that came since the last call, in order."""
        notices, self._notices = self._notices, []
        return notices

    @property
    def complete(self) -> bool:
        """Whether no part will come any more."""
        return self._job.finished

    def cancel(self) -> None:
        """Stop making it; what is held back is dropped."""
        self._job.cancel()
        self._held.clear()

    def heard(self, now: int, samples: int) -> bool:
        """Note that ``samples`` (24 kHz) were played by ``now``; whether they are the first."""
        if self.first_heard_at is not None or not samples:
            return False
        played = samples * USER_RATE // ASSISTANT_RATE
        self.first_heard_at = max(now - played, self.committed_at or 0)
        return True

    def latency(self) -> dict[str, float]:
        """The parts of the time from the user's last sample to the first sample heard, in seconds.

        In order of time: ``wait`` (silence until the reply was begun), ``recognize`` (until the
        user's words were known), ``think`` (until the reply's first words), ``speak`` (until they
        were sound), ``hold`` (until the turn was surely over), ``play`` (until they were heard).
        They add up; a stage that was over before the one ahead of it counts as 0.
        """
        recognized, written = self._turn_text_at, self._first_text_at
        if recognized is not None and written is not None and recognized > written:
            recognized = None  # it ran beside: nobody waited for it
        times = {
            "wait": self._begun_at,
            "recognize": recognized,
            "think": written,
            "speak": self.first_audio_at,
            "hold": self.committed_at,
            "play": self.first_heard_at,
        }
        parts: dict[str, float] = {}
        before = self._end_of_speech
        for name, time in times.items():
            after = before if time is None else max(before, time)
            parts[name] = seconds(after - before)
            before = after
        return parts
