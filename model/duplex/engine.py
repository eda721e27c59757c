"""The full-duplex network as an engine, which listens and speaks at once.

Only the network decides who speaks: SHIFT begins a reply, BREAK ends it, and what was said before
BREAK is played to its end (a fraction of a second). The speech detector only times the user's last
word, and tells whether a reply ended by itself or the user spoke over it.

Chunks are stepped in order on one lane of the executor, and codes are turned into sound on another.
No audio of the user is dropped: late chunks queue (64 KB per second), and
:class:`~model.duplex.network.loop.Effort` says what the steps leave out until they catch up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from audio_io.clock import samples
from audio_io.signal import Audio, SpeechDetector
from model.duplex.assemble import DuplexAssistant
from model.duplex.network.loop import ChunkStep, Effort, LoopState, PaceReport
from model.duplex.speaking import DuplexReply, SpokenReplies
from model.duplex.transcripts import UserTranscripts
from model.engine import (
    AnswerNow,
    Command,
    CutReply,
    EngineInfo,
    Frame,
    Interrupt,
    NewSpeaker,
    Progress,
    PushToTalk,
    Remember,
    SayAudio,
    SayText,
    SetMuted,
    SetPersona,
    SetTurnTaking,
    SetVoice,
)
from model.errors import ModelError, failing_as_model_error
from model.events import (
    Event,
    Interrupted,
    Notice,
    PlaybackAction,
    PlaybackControl,
    ReplyStarted,
    StateChanged,
    TurnState,
)
from model.hearing.hearing import Hearing
from model.hearing.recognition import LoadableRecognizer
from model.jobs.executor import Executor, Job
from model.turns.turn_settings import TurnSettings

STEP_LANE = "duplex"

LACKS = (
    *("SayText", "SayAudio", "AnswerNow", "DropTurn", "EndTurn", "SetVoice", "NewSpeaker"),
    *("SetPersona", "SetTurnTaking", "Remember", "Forget"),
)

ANSWER_WAIT_S = 2.0
"""Silence after which no reply is expected any more, and a file's conversation may end."""

SPOKE_OVER_S = 0.2
"""A reply whose end so much speech overlaps was interrupted."""


class DuplexEngine:
    """A conversation with a full-duplex network.

    Args:
        load: loads the assistant, when the engine is warmed up.
        info: describes the assistant before it is loaded.
        detector: finds speech in frames, for timing only.
        recognizer: makes the recogniser of the user's words; None for no transcript.
    """

    def __init__(
        self,
        load: Callable[[Progress], DuplexAssistant],
        info: EngineInfo,
        detector: SpeechDetector,
        executor: Executor,
        recognizer: Callable[[], LoadableRecognizer] | None = None,
    ) -> None:
        self._load = load
        self._info = replace(info, lacks=LACKS)
        self._executor = executor
        self._detector = detector
        settings = TurnSettings()
        self._hearing = Hearing(detector, settings)
        self._transcripts = UserTranscripts(self._hearing, executor, recognizer, settings)
        self._assistant: DuplexAssistant | None = None
        self._loop_state: LoopState | None = None
        self._begin()

    def _begin(self) -> None:
        self.pace = PaceReport()
        """How well the steps keep up with the user."""
        self._events: list[Event] = []
        self._commands: deque[Command] = deque()
        self._now = 0
        self._sounded = 0  # end of the last frame that was not digital silence
        self._frames: list[Audio] = []
        self._chunks = 0
        self._steps: deque[tuple[int, Job[ChunkStep]]] = deque()
        self._failing = False  # whether the last step failed; consecutive failures are one notice
        self._spoken = SpokenReplies(self._executor)
        self._reply: DuplexReply | None = None  # the reply the network is speaking
        self._replies = 0
        self._answered = 0  # the last turn that got a reply
        self._stop = False
        self._muted = False

    @property
    def info(self) -> EngineInfo:
        """Describe the engine and its parts."""
        return self._info

    @property
    def busy(self) -> bool:
        """Whether a reply is under way or may still come, or audio waits to be stepped or
        recognised."""
        expecting = self._now - self._sounded < samples(ANSWER_WAIT_S)
        working = self._steps or self._spoken.busy or self._transcripts.busy
        return expecting or bool(working or self._commands)

    def warm_up(self, progress: Progress) -> None:
        """Load everything and run it once. Raises: ModelError."""
        self._hearing.warm_up()
        self._transcripts.load(progress)
        assistant = self._load(progress)
        progress("warming up")
        self._loop_state = self._executor.run(STEP_LANE, assistant.warm_up)
        self._assistant = assistant

    def command(self, command: Command) -> None:
        """Queue a command for the next frame."""
        self._commands.append(command)

    def start_over(self) -> None:
        """See :meth:`model.engine.Engine.start_over`. Raises: ModelError."""
        assistant, state = self._assistant, self._loop_state
        if assistant is None or state is None:
            raise ModelError("the engine is not loaded; warm it up first")
        self._executor.start_over()
        self._loop_state = self._executor.run(
            STEP_LANE, lambda: assistant.loop.start(context=state.context)
        )
        replies = self._replies
        self._detector.reset()
        self._hearing = Hearing(self._detector, TurnSettings())
        self._transcripts.start_over(self._hearing)
        self._begin()
        self._replies = replies  # a reply's number is never used twice

    def close(self) -> None:
        """Stop all work and free the memory. Safe to call twice."""
        self._executor.close()
        self._transcripts.close()
        self._assistant = self._loop_state = None

    def process(self, frame: Frame) -> Sequence[Event]:
        """Take in one frame; return the events up to its end, in order."""
        if self._assistant is None:
            raise ModelError("the engine is not loaded; warm it up first")
        self._events = []
        self._now = frame.end
        voiced, newest = self._hearing.hear(frame), self._spoken.newest
        self._transcripts.hear(frame, voiced=voiced, over=newest.reply_id if newest else 0)
        if np.any(frame.samples):
            self._sounded = frame.end
        while self._commands:
            self._obey(self._commands.popleft())
        self._listen(self._assistant, frame.samples)
        self._poll_steps(self._assistant)
        for event in self._spoken.poll(self._now, frame.playback):
            self._emit(event)
            if isinstance(event, Interrupted) and (
                self._reply is None or self._reply.reply_id == event.reply
            ):
                self._enter(self._resting, event.reason)
        self._events += self._transcripts.poll(self._now, self._spoken.settled)
        return self._events

    # Steps of the network

    def _listen(self, assistant: DuplexAssistant, audio: Audio) -> None:
        self._frames.append(audio)
        size = assistant.loop.profile.chunk_samples
        if sum(map(len, self._frames)) < size:
            return
        heard = np.concatenate(self._frames)
        self._frames = [heard[size:]]
        number = self._chunks
        self._chunks += 1

        def work(cancelled: Callable[[], bool]) -> Iterator[ChunkStep]:
            if self._loop_state is None:
                return
            state, effort = self._loop_state, Effort.for_lag(self._chunks - number - 1)
            try:
                step, after = assistant.loop.step(state, heard[:size], effort, stop=self._stop)
            except Exception:
                # The context may hold half a step, so the conversation starts over.
                self._loop_state = assistant.loop.start(context=state.context)
                raise
            self._loop_state = after
            if step.broke:
                self._stop = False  # or a reply that begins at once would be stopped as well
            yield step

        self._steps.append((number, self._executor.submit(STEP_LANE, self._now, work)))

    def _poll_steps(self, assistant: DuplexAssistant) -> None:
        while self._steps:
            number, job = self._steps[0]
            try:
                with failing_as_model_error("the duplex network"):
                    steps = job.poll(self._now)
            except ModelError as error:
                if not self._failing:
                    self._emit(Notice(self._now, "error", f"{error}; the network starts over"))
                self._failing = True
                self._steps.popleft()
                if self._reply is not None:  # without BREAK it must be ended here
                    self._spoken.say(self._now, self._reply, "", (), last=True)
                self._break_off()
                continue
            for step in steps:
                self._failing = False
                due = (number + 2) * assistant.loop.profile.chunk_samples
                if self.pace.add(step, late=self._now > due):
                    self._warn(f"too slow: {self.pace}")
                self._take(assistant, step)
            if not job.finished:
                return
            self._steps.popleft()

    def _take(self, assistant: DuplexAssistant, step: ChunkStep) -> None:
        if step.shifted:
            self._begin_reply(assistant)
        reply = self._reply
        if reply is None:
            return
        codes = () if step.broke else step.codes  # BREAK's chunk is not part of the reply
        self._spoken.say(self._now, reply, reply.decode(step.text), codes, last=step.broke)
        if step.broke:
            self._break_off()

    def _begin_reply(self, assistant: DuplexAssistant) -> None:
        self._replies += 1
        turn = self._transcripts.newest
        spoke = self._hearing.last_speech if turn != self._answered else 0
        self._answered = turn
        self._reply = DuplexReply(assistant, self._replies, turn, spoke, self._now)
        self._spoken.begin(self._reply)
        self._emit(ReplyStarted(self._now, self._replies, turn))
        self._enter(TurnState.SPEAKING, "SHIFT")

    def _break_off(self) -> None:
        reply, self._reply = self._reply, None
        self._stop = False
        if reply is None:
            return
        reply.over_speech = self._hearing.run >= samples(SPOKE_OVER_S)
        if not reply.stopped:
            over = reply.over_speech
            state = TurnState.INTERRUPTED if over else self._resting
            self._enter(state, "BREAK, you spoke over it" if over else "BREAK")

    # Commands

    def _obey(self, command: Command) -> None:
        match command:
            case Interrupt():
                self._stop_reply("interrupted by key")
            case SetMuted(muted):
                self._muted = muted
                if self._reply is None:
                    self._enter(self._resting, "muted" if muted else "unmuted")
            case PushToTalk(talking):
                if talking:
                    self._stop_reply("push-to-talk")
            case CutReply(reply, heard):
                newest = self._spoken.newest
                if newest is not None and newest.reply_id == reply:
                    newest.heard_at_most = heard
                    self._stop_reply("cut short")
            case SayText() | SayAudio() | AnswerNow():
                self._warn("this engine answers when it chooses, and only speech; speak to it")
            case NewSpeaker():
                self._warn("this engine does not tell voices apart")
            case SetVoice():
                self._warn("this engine cannot change its voice during a conversation")
            case SetPersona() | Remember():
                self._warn("this engine's persona and history are only what it hears and says")
            case SetTurnTaking(settings) if settings is not None:
                self._warn("this engine takes its turns by itself")

    def _stop_reply(self, reason: str) -> None:
        """Stop playing at once, and make the network stop with its next chunk."""
        reply = self._spoken.stop(reason)
        if reply is None:
            return
        self._stop = self._reply is not None
        self._emit(PlaybackControl(self._now, reply.reply_id, PlaybackAction.STOP, reason))
        self._enter(TurnState.INTERRUPTED, reason)

    # Events

    def _warn(self, text: str) -> None:
        self._emit(Notice(self._now, "warning", text))

    @property
    def _resting(self) -> TurnState:
        return TurnState.MUTED if self._muted else TurnState.LISTENING

    def _emit(self, event: Event) -> None:
        self._events.append(event)

    def _enter(self, state: TurnState, reason: str) -> None:
        self._emit(StateChanged(self._now, state, reason))
