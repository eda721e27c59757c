"""Answer a turn: recognise its words, then generate and collect the reply."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from audio_io.clock import ASSISTANT_RATE, samples
from model.errors import ModelError, failing_as_model_error
from model.events import (
    Event,
    Notice,
    ToolAnswered,
    ToolCalled,
    ToolOutcome,
    TurnLatency,
    UserTranscript,
)
from model.hearing.open_turn import OpenTurn
from model.hearing.recognition import Recognition, Transcript
from model.jobs.channel import Cancelled
from model.jobs.executor import Executor, Job
from model.jobs.question import Question
from model.playback.spoken_reply import SpokenReply, latency_parts
from model.reply import (
    ReplyAudio,
    ReplyGenerator,
    ReplyNotice,
    ReplyPart,
    ReplyText,
    ReplyToolCall,
    ReplyToolResult,
    UserTurn,
)

REPLY_LANE = "reply"

LONGEST_REPLY_S = 240.0
"""Seconds of speech after which a reply is cut: the speaker queues no more than 300 s."""

_TOO_LONG = f"the reply was cut after {LONGEST_REPLY_S / 60:.0f} minutes of speech"


class TurnAnswer:
    """Answers ``turn`` as it stands at time ``now`` (user samples), often before it is over.

    A generator that hears audio begins at once; others begin when the words are known. Unless
    ``wanted``, no reply is generated.
    """

    def __init__(
        self,
        reply_id: int,
        turn: OpenTurn,
        generator: ReplyGenerator,
        executor: Executor,
        recognition: Recognition,
        now: int,
        *,
        wanted: bool = True,
    ) -> None:
        self._generator = generator
        self._executor = executor
        self._audio = turn.audio()
        self._begun_at = now
        self._words_at: int | None = None
        self._notices: list[ReplyNotice] = []
        self._tools: list[Event] = []
        self._calling: ReplyToolCall | None = None
        self._over = False
        self._job: Job[ReplyPart] | None = None
        self.turn = turn
        self.wanted = wanted
        self.end_of_speech = turn.end_of_speech
        """End of the answered speech, in user samples."""
        self.reply = SpokenReply(reply_id, turn.number, speaks=generator.info.speaks)
        self.words = turn.typed
        """The turn's words, empty where no speech was recognised, None while unknown."""
        self.language = ""
        """The code of the words' language, empty while unknown."""
        self.failed = False
        """Whether the reply failed; the user was told."""
        self.noticed = False
        """Whether the reply came with a notice."""
        self._question = self._ask(recognition, now)
        if wanted:
            self._job = self._begin(now)

    @property
    def words_coming(self) -> bool:
        """Whether the words are still being recognised."""
        return self._question is not None and self._question.pending

    @property
    def complete(self) -> bool:
        """Whether all parts of the reply have arrived."""
        return not self.words_coming and (self._job is None or self._job.finished)

    def poll(self, now: int, *, committed: bool) -> list[Event]:
        """Collect what is ready by ``now``; return the events.

        Until the answer is ``committed``, words may change, the reply's notices are kept back, and
        it uses no tools.
        """
        self._over = self._over or committed
        events, came = self._poll_words(now)
        try:
            self._poll_reply(now)
        except ModelError as error:
            self.failed = True
            events += self._end_call(now, ToolOutcome.FAILED)
            events.append(Notice(now, "error", str(error)))
        if self.complete:
            self.reply.end(whole=not self.failed)
        if came:
            events += self.transcript(now, final=committed)
        events += self._tools
        self._tools.clear()
        if committed:
            events += [Notice(now, notice.level, notice.text) for notice in self._notices]
            self._notices.clear()
        return events

    def transcript(self, now: int, *, final: bool) -> list[Event]:
        """Return the turn's transcript, if its words are known."""
        turn = self.turn
        if not self.words or turn.typed is not None:
            return []
        span = turn.start, turn.end_of_speech
        return [UserTranscript(now, turn.number, self.words, final, *span, self.language)]

    def cancel(self, now: int) -> list[Event]:
        """Stop generating the reply; return the end of the tool that it was using."""
        if self._question is not None:
            self._question.drop()
        if self._job is not None:
            self._job.cancel()
        return self._end_call(now, ToolOutcome.CANCELLED)

    def latency(self, now: int, committed_at: int) -> TurnLatency:
        """Return the time from the user's last sample to the first sample heard, by its parts.

        ``wait``: silence until the answer was begun; ``recognize``: until the words were known;
        ``think``: until the reply's first words; ``speak``: until they were sound;
        ``decide``: until the turn was over; ``play``: until they were heard.
        """
        reply, recognized = self.reply, self._words_at
        written = reply.first_text_at
        if recognized is not None and written is not None and recognized > written:
            recognized = None  # no step waited for the words
        parts = latency_parts(
            self.end_of_speech,
            {
                "wait": self._begun_at,
                "recognize": recognized,
                "think": written,
                "speak": reply.first_audio_at,
                "decide": committed_at,
                "play": reply.first_heard_at,
            },
        )
        return TurnLatency(now, reply.turn, reply.reply_id, sum(parts.values()), parts)

    def _ask(self, recognition: Recognition, now: int) -> Question[Transcript] | None:
        if self.turn.typed is not None or not recognition.available:
            return None
        if self._generator.hears:
            trouble, level = "what you said could not be written", "warning"
        else:
            trouble, level = "you were not understood", "error"
        return recognition.turn(now, self._audio, trouble, level)

    def _poll_words(self, now: int) -> tuple[list[Event], bool]:
        """Collect the words; return notices, and whether the words have just become known."""
        question = self._question
        if question is None or not question.pending:
            return [], False
        events: list[Event] = [*question.poll(now)]
        if question.failed and not self._generator.hears:
            self.failed = True
        if question.answer is None:
            return events, False
        self.words, self._words_at = _words(question.answer), now
        self.language = question.answer.language
        return events, True

    def _poll_reply(self, now: int) -> None:
        if self._job is None or (self.words_coming and not self._generator.hears):
            return
        with failing_as_model_error("the reply"):
            parts = self._job.poll(now)
        for part in parts:
            match part:
                case ReplyNotice():
                    self._notices.append(part)
                    self.noticed = True
                case ReplyText(delta):
                    self.reply.write(now, delta)
                case ReplyAudio(sound, text):
                    room = samples(LONGEST_REPLY_S, ASSISTANT_RATE) - self.reply.samples
                    self.reply.say(now, sound[:room], text)
                    if len(sound) > room:
                        self._job.cancel()
                        self._job = None
                        raise ModelError(_TOO_LONG)
                case ReplyToolCall(call, tool, arguments):
                    self._calling = part
                    called = ToolCalled(now, self.reply.reply_id, call, tool, arguments)
                    self._tools.append(called)
                case ReplyToolResult():
                    self._tools += self._end_call(now, part.outcome, part.result)

    def _end_call(self, now: int, outcome: ToolOutcome, result: str = "") -> list[Event]:
        """Return the end of the call under way, if there is one."""
        calling, self._calling = self._calling, None
        if calling is None:
            return []
        reply_id = self.reply.reply_id
        return [ToolAnswered(now, reply_id, calling.call, calling.tool, outcome, result)]

    def _begin(self, now: int) -> Job[ReplyPart] | None:
        """Begin the reply, or let it begin when the words are known."""
        hears, typed = self._generator.hears, self.turn.typed
        if hears or typed is not None:
            words = None if hears and len(self._audio) else typed
            return self._executor.submit(REPLY_LANE, now, partial(self._generate, words))
        if self._question is not None:
            return self._question.then(REPLY_LANE, self._generate_from)
        return None

    def _generate_from(self, heard: Transcript, cancelled: Cancelled) -> Iterator[ReplyPart]:
        words = _words(heard)
        return self._generate(words, cancelled) if words else iter(())

    def _generate(self, words: str | None, cancelled: Cancelled) -> Iterator[ReplyPart]:
        turn = UserTurn(self._audio, words, self.turn.added, lambda: self._over)
        return self._generator.reply(self.reply.reply_id, turn, cancelled)


def _words(heard: Transcript) -> str:
    return heard.text.strip()
