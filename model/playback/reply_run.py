"""One reply in the making: from the moment it is begun (often early) until it is settled."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from audio_io.clock import ASSISTANT_RATE, USER_RATE, seconds
from model.errors import ModelError, failing_as_model_error
from model.events import Notice
from model.hearing.open_turn import OpenTurn
from model.hearing.recognition import Recognition, Transcript
from model.jobs.executor import Executor, Job
from model.jobs.question import Question
from model.playback.spoken_text import SpokenText
from model.reply import ReplyAudio, ReplyGenerator, ReplyNotice, ReplyPart, ReplyText, UserTurn

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
        recognition: Recognition,
        now: int,
    ) -> None:
        self._generator = generator
        self._executor = executor
        self._audio = turn.audio()
        self.number = number
        self.turn = turn.number
        self.question = turn
        self.spoken = SpokenText(speaks=generator.info.speaks)
        self.turn_text = turn.typed
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
        self._words: Question[Transcript] | None = None
        self._job: Job[ReplyPart] | None = None
        if turn.typed is None and recognition.available:
            hears = generator.hears
            self._words = recognition.turn(
                now,
                self._audio,
                "what you said could not be written" if hears else "you were not understood",
                "warning" if hears else "error",
            )
        if turn.typed is not None or generator.hears:
            self._begin(now)

    def poll_words(self, now: int) -> tuple[bool, list[Notice]]:
        """Collect the turn's words; whether they are known from now on, and notices."""
        words = self._words
        if words is None or not words.pending:
            return False, []
        notices = words.poll(now)
        if words.failed and not self._generator.hears:
            self.failed = True
        if words.answer is None:
            return False, notices
        self.turn_text, self._turn_text_at = words.answer.text.strip(), now
        if self.turn_text and not self._generator.hears:
            self._begin(now)
        return True, notices

    @property
    def words_pending(self) -> bool:
        """Whether the turn's words may still become known."""
        return self._words is not None and self._words.pending

    def poll(self, now: int) -> None:
        """Collect what is ready. Raises: ModelError."""
        if self._job is None:
            return
        try:
            with failing_as_model_error("the reply"):
                parts = self._job.poll(now)
        except ModelError:
            self.failed = True
            raise
        for part in parts:
            if isinstance(part, ReplyNotice):
                self._notices.append(part)
                continue
            if isinstance(part, ReplyText):
                self.spoken.write(part.delta)
                if self._first_text_at is None:
                    self._first_text_at = now
            else:
                self.spoken.say(len(part.samples), part.text)
                if self.first_audio_at is None:
                    self.first_audio_at = now
            self._held.append(part)
        self.spoken.complete = self.complete and not self.failed

    def _begin(self, now: int) -> None:
        turn = UserTurn(self._audio, self.turn_text)

        def work(cancelled: Callable[[], bool]) -> Iterator[ReplyPart]:
            return self._generator.reply(self.number, turn, cancelled)

        self._job = self._executor.submit(REPLY_LANE, now, work)

    @property
    def text(self) -> str:
        """All that is written of it."""
        return self.spoken.written

    @property
    def samples(self) -> int:
        """How much sound was made of it, at 24 kHz."""
        return self.spoken.samples

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
        return not self.words_pending if self._job is None else self._job.finished

    def cancel(self) -> None:
        """Stop making it; what is held back is dropped."""
        if self._words is not None:
            self._words.drop()
        if self._job is not None:
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
