"""The full-duplex network as an engine: it listens and speaks at once.

Whose turn it is, only the network decides: SHIFT begins a reply, BREAK ends it, and what it has
said until then is played to its end (a fraction of a second). The speech detector decides nothing.
It tells apart what BREAK does not: a reply that was over from one that the user spoke over, and it
times the user's last word.

Chunks are stepped on one lane of the executor, in order, and sound is made of codes on another.
Nothing of the user's audio is ever dropped: a chunk that cannot be stepped in time waits (64 KB for
a second), and :mod:`model.duplex.pace` says what is left out of the steps until they have caught
up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from model.clock import ASSISTANT_RATE, FRAME, samples
from model.duplex.assistant import DuplexAssistant
from model.duplex.loop import ChunkStep, LoopState
from model.duplex.pace import PaceReport, effort
from model.duplex.replies import SpokenReply
from model.duplex.speech import speak
from model.duplex.tokenizer import TextStream
from model.engine import (
    Audio,
    Command,
    EngineInfo,
    Frame,
    Interrupt,
    Playback,
    Progress,
    PushToTalk,
    SayText,
    SetMuted,
    SetVoice,
)
from model.errors import ModelError, failing_as_model_error
from model.events import (
    AssistantAudio,
    AssistantText,
    Event,
    Interrupted,
    Notice,
    PlaybackAction,
    PlaybackControl,
    ReplyAudioEnded,
    ReplyFinished,
    ReplyStarted,
    StateChanged,
    TurnLatency,
    TurnState,
)
from model.falling_silent import FallingSilent
from model.speech import SpeechDetector, SpeechTracker
from model.work import Executor, Job

STEP_LANE, SPEECH_LANE = "duplex", "speech"

ANSWER_WAIT = 2.0
"""Seconds of silence in which an answer may still come: file mode does not end before."""

SPOKE_OVER = 0.2
"""Seconds of speech over a reply's end that make an interruption of it."""

CUSHION = 0.06
"""Seconds of silence before a reply's first sound. Each chunk's speech is ready a little earlier or
later than the last one's; without it the speaker would run dry in between."""

STALLED = 2.0
"""Seconds without progress after which a reply that is not played to its end is given up."""


class DuplexEngine:
    """``load`` makes the assistant when the engine is warmed up; ``info`` describes it before.

    ``detector`` hears speech in frames (it only measures, see above).
    """

    def __init__(
        self,
        load: Callable[[Progress], DuplexAssistant],
        info: EngineInfo,
        detector: SpeechDetector,
        executor: Executor,
    ) -> None:
        self._load = load
        self._info = info
        self._detector = detector
        self._executor = executor
        self._speech = SpeechTracker(bridge=samples(0.1))
        self._assistant: DuplexAssistant | None = None
        self._loop_state: LoopState | None = None
        self._text: TextStream | None = None
        self.pace = PaceReport()
        """How well the steps keep up."""
        self._events: list[Event] = []
        self._commands: deque[Command] = deque()
        self._now = 0
        self._sounded = 0  # the last frame that was not nothing
        self._frames: list[Audio] = []
        self._chunks = 0
        self._steps: deque[tuple[int, Job[ChunkStep]]] = deque()
        self._sounds: deque[tuple[SpokenReply, str, bool, Job[Audio]]] = deque()
        self._reply: SpokenReply | None = None  # the one that is being spoken
        self._played: deque[SpokenReply] = deque()  # and those not settled yet, it included
        self._falling: FallingSilent | None = None
        self._replies = 0
        self._stop = False
        self._muted = False

    @property
    def info(self) -> EngineInfo:
        """What this engine is made of."""
        return self._info

    @property
    def busy(self) -> bool:
        """Whether a reply is under way or may still come, or chunks wait to be heard."""
        waits = self._now - self._sounded < samples(ANSWER_WAIT)
        return waits or bool(self._steps or self._sounds or self._played or self._commands)

    def warm_up(self, progress: Progress) -> None:
        """Load everything and run it once. Raises: ModelError."""
        self._detector.process(np.zeros(FRAME, np.float32))
        self._detector.reset()
        assistant = self._load(progress)
        progress("warming up")
        self._loop_state = assistant.warm_up()
        self._assistant = assistant

    def command(self, command: Command) -> None:
        """Queue a command for the next frame."""
        self._commands.append(command)

    def close(self) -> None:
        """Stop all work and give back memory. Safe to call twice."""
        self._executor.close()
        self._assistant = self._loop_state = None

    def process(self, frame: Frame) -> Sequence[Event]:
        """Take in one frame; return what happened, in order of time."""
        if self._assistant is None:
            raise ModelError("the engine was not loaded: warm it up first")
        self._events = []
        self._now = frame.end
        self._speech.update(self._detector.process(frame.samples), frame.start, frame.end)
        if np.any(frame.samples):
            self._sounded = frame.end
        while self._commands:
            self._obey(self._commands.popleft())
        self._listen(self._assistant, frame.samples)
        self._poll_steps(self._assistant)
        self._poll_sounds()
        self._follow(frame.playback)
        return self._events

    # The network hears, and speaks

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
            state, waiting = self._loop_state, effort(self._chunks - number - 1)
            try:
                step, after = assistant.loop.step(state, heard[:size], waiting, stop=self._stop)
            except Exception:
                # Half a step may be in it: only a new beginning is sure to be right.
                self._loop_state = assistant.loop.start(context=state.context)
                raise
            self._loop_state = after
            yield step

        self._steps.append((number, self._executor.submit(STEP_LANE, self._now, work)))

    def _poll_steps(self, assistant: DuplexAssistant) -> None:
        while self._steps:
            number, job = self._steps[0]
            try:
                with failing_as_model_error("the duplex network"):
                    steps = job.poll(self._now)
            except ModelError as error:
                self._emit(Notice(self._now, "error", f"{error}; it begins anew"))
                self._steps.popleft()
                self._break_off()
                continue
            for step in steps:
                due = (number + 2) * assistant.loop.profile.chunk_samples
                if self.pace.add(step, late=self._now > due):
                    self._emit(Notice(self._now, "warning", f"too slow: {self.pace}"))
                self._take(assistant, step)
            if not job.finished:
                return
            self._steps.popleft()

    def _take(self, assistant: DuplexAssistant, step: ChunkStep) -> None:
        if step.shifted:
            self._replies += 1
            reply = SpokenReply(self._replies, self._speech.last_voiced, self._now)
            self._reply = reply
            self._played.append(reply)
            self._text = assistant.text_stream()
            self._emit(ReplyStarted(self._now, reply.number, reply.number))
            self._enter(TurnState.SPEAKING, "SHIFT")
        if self._reply is None:
            return
        reply = self._reply
        text = self._text
        delta = "".join(text.step(token) for token in step.text) if text is not None else ""
        if delta and not reply.stopped:
            self._emit(AssistantText(self._now, reply.number, delta))
        self._speak(assistant, reply, delta, step.codes, last=step.broke)
        if step.broke:
            self._break_off()

    def _break_off(self) -> None:
        reply, self._reply = self._reply, None
        self._stop = False
        if reply is None:
            return
        reply.broke = True
        voiced = self._speech.run_voiced >= samples(SPOKE_OVER)
        reply.over_speech = voiced and self._speech.silence(self._now) < samples(SPOKE_OVER)
        if not reply.stopped:
            over = reply.over_speech
            state = TurnState.INTERRUPTED if over else self._resting
            self._enter(state, "BREAK, you spoke over it" if over else "BREAK")

    def _speak(
        self,
        assistant: DuplexAssistant,
        reply: SpokenReply,
        delta: str,
        codes: tuple[int, ...],
        *,
        last: bool,
    ) -> None:
        def work(cancelled: Callable[[], bool]) -> Iterator[Audio]:
            if reply.stopped:
                return
            rate = assistant.loop.profile.code_rate
            sound, reply.speech = speak(assistant.speech, reply.speech, codes, rate, last=last)
            yield sound

        job = self._executor.submit(SPEECH_LANE, self._now, work)
        self._sounds.append((reply, delta, last, job))

    def _poll_sounds(self) -> None:
        while self._sounds:
            reply, delta, last, job = self._sounds[0]
            try:
                with failing_as_model_error("the reply's speech"):
                    sounds = job.poll(self._now)
            except ModelError as error:
                self._emit(Notice(self._now, "error", str(error)))
                sounds = []
            for sound in sounds:
                self._pass_on(reply, delta, sound)
            if not job.finished:
                return
            self._sounds.popleft()
            if last:
                reply.complete = True
                if not reply.stopped:
                    self._emit(ReplyAudioEnded(self._now, reply.number, reply.samples))

    def _pass_on(self, reply: SpokenReply, delta: str, sound: Audio) -> None:
        reply.add_text(delta)
        if len(sound) and not reply.stopped:
            if reply.sound_at is None:
                reply.sound_at = self._now
                reply.cushion = samples(CUSHION, ASSISTANT_RATE)
                sound = np.concatenate((np.zeros(reply.cushion, np.float32), sound))
            reply.samples += len(sound)
            self._emit(AssistantAudio(self._now, reply.number, sound, delta))

    # What of it was heard

    def _follow(self, playback: Playback) -> None:
        while self._played:
            reply = self._played[0]
            if playback.reply == reply.number:
                heard = playback.samples
            else:
                heard = reply.samples if playback.reply > reply.number else 0
            if reply.play(self._now, heard) and reply.end_of_speech:
                parts = reply.latency()
                total = sum(parts.values())
                self._emit(TurnLatency(self._now, reply.number, reply.number, total, parts))
            if not self._over(reply):
                return
            self._played.popleft()

    def _over(self, reply: SpokenReply) -> bool:
        """Whether it has fallen silent, and everybody was told."""
        if reply.stopped:
            if self._falling is None or not self._falling.silent(reply.heard):
                return False
            self._falling = None
            self._interrupted(reply, reply.stopped)
            return True
        if not reply.complete:
            return False
        if reply.heard < reply.samples:
            since = max(reply.heard_since, reply.sound_at or 0)
            if self._now - since < samples(STALLED):
                return False
            self._emit(Notice(self._now, "warning", "the speaker lost the end of the reply"))
        if reply.over_speech:
            self._interrupted(reply, "you spoke over it")
        else:
            self._emit(ReplyFinished(self._now, reply.number, reply.text))
        return True

    def _interrupted(self, reply: SpokenReply, reason: str) -> None:
        said, unsaid = reply.split(reply.heard)
        self._emit(Interrupted(self._now, reply.number, reply.heard, said, unsaid, reason))
        if self._reply is None or self._reply is reply:
            self._enter(self._resting, reason)

    # Commands

    def _obey(self, command: Command) -> None:
        match command:
            case Interrupt():
                self._stop_reply("interrupted by key")
            case SetMuted(muted):
                self._muted = muted
                if self._reply is None:
                    self._enter(self._resting, "muted" if muted else "unmuted")
            case SayText():
                self._cannot("read what is typed: it only hears")
            case SetVoice():
                self._cannot("change its voice while it talks")
            case PushToTalk(held):
                if held:
                    self._stop_reply("push-to-talk")

    def _stop_reply(self, reason: str) -> None:
        """Silence at once; the network is made to stop with its next chunk."""
        reply = self._reply or (self._played[-1] if self._played else None)
        if reply is None or reply.stopped:
            return
        self._stop = self._reply is not None
        reply.stopped = reason
        self._falling = FallingSilent(reply.heard, reason)
        self._emit(PlaybackControl(self._now, reply.number, PlaybackAction.STOP, reason))
        self._enter(TurnState.INTERRUPTED, reason)

    def _cannot(self, what: str) -> None:
        self._emit(Notice(self._now, "warning", f"the full-duplex network cannot {what}"))

    # Saying what happened

    @property
    def _resting(self) -> TurnState:
        return TurnState.MUTED if self._muted else TurnState.LISTENING

    def _emit(self, event: Event) -> None:
        self._events.append(event)

    def _enter(self, state: TurnState, reason: str) -> None:
        self._emit(StateChanged(self._now, state, reason))
