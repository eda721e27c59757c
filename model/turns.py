"""Turn taking: how a half-duplex reply generator becomes an engine.

The controller listens frame by frame and decides when the user's turn is over, when a reply may be
heard, and when it must stop::

    LISTENING --speech--> USER_SPEAKING --silence--> THINKING --first sound--> SPEAKING
        ^                      ^    <--the user goes on--/                       |
        |                      |                                                 |
        |                  INTERRUPTED <--barge-in confirmed---------------------+
        +----------------------(by key)               <--played to the end-------+

- A reply is begun at the first short silence (``speculate_after``) and held back until the silence
  has lasted (``silence``). If the user goes on, it is thrown away and its turn continues.
- Speech over a reply ducks it at once. If it lasts (``barge_in_confirm``), the reply stops and the
  history keeps what was heard; if not (a cough, a "mm-hmm"), the reply returns to its level.
- A user who goes on talking just as the reply begins has paused, not interrupted: the reply is
  taken back and the same turn continues.

MUTED stands in for LISTENING while the microphone is muted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from model.clock import ASSISTANT_RATE, FRAME, samples, seconds
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
from model.errors import ModelError
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
    SpeculationDiscarded,
    StateChanged,
    TurnDiscarded,
    TurnLatency,
    TurnState,
    UserTranscript,
    VoiceChanged,
)
from model.open_turn import OpenTurn
from model.partials import PartialTranscripts
from model.reply import Recognizer, ReplyAudio, ReplyGenerator
from model.reply_run import REPLY_LANE, ReplyRun
from model.speech import SpeechDetector, SpeechTracker
from model.turn_settings import TurnSettings
from model.work import Executor, Job
from voices.errors import VoiceError

QUIET_FRAMES = 3
MOST_QUIET_FRAMES = 20


class TurnTakingEngine:
    """A reply generator that can hold a conversation (see the module's docstring).

    ``detector`` hears speech in frames, ``recognizer`` (optional) makes the partial transcripts
    while the user speaks, ``executor`` does everything that takes longer than a frame.
    """

    def __init__(
        self,
        generator: ReplyGenerator,
        detector: SpeechDetector,
        executor: Executor,
        settings: TurnSettings | None = None,
        recognizer: Recognizer | None = None,
    ) -> None:
        self._generator = generator
        self._detector = detector
        self._executor = executor
        s = self._settings = settings or TurnSettings()
        self._onset = samples(s.onset)
        self._speech = SpeechTracker(bridge=min(samples(0.1), samples(s.speculate_after)))
        self._recent: deque[Audio] = deque(maxlen=max(1, samples(s.pre_roll + s.onset) // FRAME))
        self._commands: deque[Command] = deque()
        self._typed: deque[str] = deque()
        self._events: list[Event] = []
        self._now = 0
        self._playback = Playback()
        self._state = TurnState.LISTENING
        self._muted = False
        self._turns = 0
        self._replies = 0
        self._turn: OpenTurn | None = None
        self._reply: ReplyRun | None = None
        self._barge_in: OpenTurn | None = None  # speech over a reply, not confirmed yet
        self._barge_in_voiced = 0  # speech of that turn from before the barge-in
        self._audio_ended = False
        self._stop_reason = ""
        self._last_heard = 0
        self._quiet = 0
        self._stopping = 0
        self._partials = PartialTranscripts(recognizer, executor, samples(s.partial_every))
        self._voice_jobs: list[Job[str]] = []

    @property
    def info(self) -> EngineInfo:
        """What the generator is made of."""
        return self._generator.info

    @property
    def busy(self) -> bool:
        """Whether a turn, a reply or a command is under way."""
        resting = self._state in (TurnState.LISTENING, TurnState.MUTED)
        return not resting or bool(self._commands or self._typed or self._speech.run_voiced)

    def warm_up(self, progress: Progress) -> None:
        """Load the generator and run everything once. Raises: ModelError."""
        self._detector.process(np.zeros(FRAME, np.float32))
        self._detector.reset()
        self._generator.warm_up(progress)

    def command(self, command: Command) -> None:
        """Queue a command for the next frame."""
        self._commands.append(command)

    def close(self) -> None:
        """Stop all work and give back memory. Safe to call twice."""
        self._executor.close()
        self._generator.close()

    def process(self, frame: Frame) -> Sequence[Event]:
        """Take in one frame; return what happened, in order of time."""
        self._events = []
        self._now = frame.end
        self._playback = frame.playback
        voiced = self._speech.update(self._detector.process(frame.samples), frame.start, frame.end)
        self._recent.append(frame.samples)
        for turn in (self._turn, self._barge_in):
            if turn is not None:
                turn.add(frame.samples, frame.end, voiced)
        while self._commands:
            self._obey(self._commands.popleft())
        self._collect_voice_changes()
        match self._state:
            case TurnState.LISTENING | TurnState.MUTED:
                self._listen()
            case TurnState.USER_SPEAKING:
                self._hear_out()
            case TurnState.THINKING:
                self._think()
            case TurnState.SPEAKING:
                self._speak()
            case TurnState.INTERRUPTED:
                self._fall_silent()
        return self._events

    # Listening

    def _listen(self) -> None:
        if self._typed:
            self._answer_typed(self._typed.popleft())
        elif self._speech.run_voiced >= self._onset:
            self._turn = self._open_turn()
            self._enter(TurnState.USER_SPEAKING, "speech began")

    def _open_turn(self, *, held: bool = False, typed: str | None = None) -> OpenTurn:
        self._turns += 1
        heard = self._speech.run_voiced
        turn = OpenTurn(
            self._turns,
            start=self._speech.run_start if heard else self._now,
            end_of_speech=self._speech.last_voiced if heard else self._now,
            frames=() if typed is not None else self._recent,
            held=held,
            typed=typed,
        )
        turn.voiced = heard
        return turn

    def _answer_typed(self, text: str) -> None:
        self._turn = self._open_turn(typed=text)
        self._emit_transcript(text, final=True)
        self._begin_reply()
        self._commit("typed")

    # The user speaks

    def _hear_out(self) -> None:
        turn = self._require_turn()
        speaking = not self._speech.silence(self._now) and self._reply is None
        for event in self._partials.poll(self._now, turn, speaking=speaking):
            self._emit(event)
        if self._reply is not None:
            self._poll_reply()
        silence = self._speech.silence(self._now)
        if turn.held:
            return
        if self._reply is not None and not silence and self._speech.run_voiced >= self._onset:
            self._discard_reply("you went on")
        enough = turn.voiced >= samples(self._settings.min_speech)
        if silence >= samples(self._settings.silence):
            if enough:
                self._commit(f"silence of {seconds(silence):.2f} s")
            else:
                self._discard_turn(f"only {seconds(turn.voiced):.2f} s of speech")
        elif self._now - turn.start >= samples(self._settings.max_turn):
            turn.closed = True
            self._commit(f"turn of {self._settings.max_turn:.0f} s")
        elif self._reply is None and enough and silence >= samples(self._settings.speculate_after):
            self._begin_reply()

    def _begin_reply(self) -> None:
        self._partials.drop()
        self._replies += 1
        self._reply = ReplyRun(
            self._replies, self._require_turn(), self._generator, self._executor, self._now
        )

    def _commit(self, reason: str) -> None:
        if self._reply is None:
            self._begin_reply()
        reply = self._require_reply()
        reply.committed_at = self._now
        if reply.turn_text and self._require_turn().typed is None:
            self._emit_transcript(reply.turn_text, final=True)
        self._enter(TurnState.THINKING, reason)
        self._think()

    def _discard_turn(self, reason: str) -> None:
        turn = self._require_turn()
        if self._reply is not None:
            self._discard_reply(reason)
        self._partials.drop()
        self._emit(TurnDiscarded(self._now, turn.number, reason))
        self._turn = None
        self._rest(reason)

    def _discard_reply(self, reason: str) -> None:
        """Throw away a speculation: neither the reply nor its turn ever happened."""
        reply = self._require_reply()
        reply.cancel()
        self._generator.settle(reply.number, None)
        self._reply = None
        self._emit(SpeculationDiscarded(self._now, self._require_turn().number, reason))

    # The reply is made, and spoken

    def _think(self) -> None:
        reply, turn = self._require_reply(), self._require_turn()
        if turn.went_on_after(reply.committed_at) and self._speech.run_voiced >= self._onset:
            self._discard_reply("you went on")
            self._enter(TurnState.USER_SPEAKING, "you went on")
            return
        self._poll_reply()
        if reply.turn_text == "":
            self._discard_turn("nothing recognised")
        elif reply.first_audio_at is not None:
            self._audio_ended = False
            self._emit(ReplyStarted(self._now, reply.number, turn.number))
            self._enter(TurnState.SPEAKING, "reply began")
            self._pass_on()
        elif reply.complete:
            self._generator.settle(reply.number, 0)
            self._end_reply("no reply came")

    def _speak(self) -> None:
        reply = self._require_reply()
        self._poll_reply()
        self._pass_on()
        if reply.complete and not self._audio_ended:
            self._audio_ended = True
            self._emit(ReplyAudioEnded(self._now, reply.number, reply.samples))
        heard = self._heard()
        if reply.heard(self._now - FRAME, heard):
            self._emit_latency(reply)
        if heard >= samples(self._settings.continuation, ASSISTANT_RATE) and not self._barge_in:
            self._turn = None
        if reply.complete and heard >= reply.samples:
            self._generator.settle(reply.number, reply.samples)
            self._emit(ReplyFinished(self._now, reply.number, reply.text))
            self._end_reply("reply ended")
        elif self._settings.barge_in:
            self._watch_for_barge_in()

    def _pass_on(self) -> None:
        reply = self._require_reply()
        for part in reply.take():
            if isinstance(part, ReplyAudio):
                self._emit(AssistantAudio(self._now, reply.number, part.samples, part.text))
            else:
                self._emit(AssistantText(self._now, reply.number, part.delta))

    def _poll_reply(self) -> None:
        reply = self._require_reply()
        try:
            text_came = reply.poll(self._now)
        except ModelError as error:
            self._emit(Notice(self._now, "error", str(error)))
            return
        turn = self._turn
        if text_came and reply.turn_text and turn is not None and turn.typed is None:
            self._emit_transcript(reply.turn_text, final=reply.committed_at is not None)

    def _end_reply(self, reason: str) -> None:
        """The reply is settled. Speech that had begun over its end is a turn of its own."""
        reply = self._require_reply()
        self._reply, self._turn = None, None
        if self._barge_in is None:
            self._rest(reason)
            return
        self._control(reply, PlaybackAction.RESUME, reason)
        self._turn, self._barge_in = self._barge_in, None
        self._enter(TurnState.USER_SPEAKING, "speech began")

    def _heard(self) -> int:
        """Samples (24 kHz) of the current reply that were really played."""
        mine = self._reply is not None and self._playback.reply == self._reply.number
        return self._playback.samples if mine else 0

    # Barge-in

    def _watch_for_barge_in(self) -> None:
        reply = self._require_reply()
        if self._barge_in is None:
            if self._speech.run_voiced >= self._onset:
                turn, self._turn = self._turn, None
                self._barge_in = turn if turn and not turn.closed else self._open_turn()
                self._barge_in_voiced = self._barge_in.voiced - self._speech.run_voiced
                self._control(reply, PlaybackAction.DUCK, "speech over the reply")
            return
        voiced = self._barge_in.voiced - self._barge_in_voiced
        if voiced >= samples(self._settings.barge_in_confirm):
            self._turn, self._barge_in = self._barge_in, None
            self._stop_reply(f"you spoke for {seconds(voiced):.2f} s")
        elif self._speech.silence(self._now) >= samples(self._settings.barge_in_release):
            self._barge_in = None
            self._control(reply, PlaybackAction.RESUME, f"only {seconds(voiced):.2f} s of speech")

    def _stop_reply(self, reason: str) -> None:
        reply = self._require_reply()
        reply.cancel()
        self._control(reply, PlaybackAction.STOP, reason)
        self._stop_reason = reason
        self._quiet = self._stopping = 0
        self._last_heard = self._heard()
        self._enter(TurnState.INTERRUPTED, reason)

    def _fall_silent(self) -> None:
        """Wait until the speaker is really silent: only then is it known what was heard."""
        reply = self._require_reply()
        heard = self._heard()
        self._quiet = self._quiet + 1 if heard == self._last_heard else 0
        self._stopping += 1
        self._last_heard = heard
        if self._quiet < QUIET_FRAMES and self._stopping < MOST_QUIET_FRAMES:
            return
        turn = self._turn
        if turn is not None and turn.went_on_after(reply.committed_at):
            self._generator.settle(reply.number, None)
            self._emit(Interrupted(self._now, reply.number, heard, "", reply.text, "you went on"))
        else:
            split = self._generator.settle(reply.number, heard)
            self._emit(
                Interrupted(
                    self._now, reply.number, heard, split.heard, split.unheard, self._stop_reason
                )
            )
        self._reply = None
        if turn is None:
            self._rest(self._stop_reason)
        else:
            self._enter(TurnState.USER_SPEAKING, self._stop_reason)

    # Commands

    def _obey(self, command: Command) -> None:
        match command:
            case Interrupt():
                self._interrupt("interrupted by key")
            case SayText(text):
                if text.strip():
                    self._typed.append(text.strip())
                    self._interrupt("you typed")
            case SetVoice(voice):
                self._change_voice(voice)
            case SetMuted(muted):
                self._muted = muted
                if self._state in (TurnState.LISTENING, TurnState.MUTED):
                    self._rest("muted" if muted else "unmuted")
            case PushToTalk(held):
                self._push_to_talk(held)

    def _interrupt(self, reason: str) -> None:
        if self._state is TurnState.SPEAKING:
            self._turn = self._barge_in = None
            self._stop_reply(reason)
        elif self._state is TurnState.THINKING:
            reply = self._require_reply()
            reply.cancel()
            split = self._generator.settle(reply.number, 0)
            self._emit(Interrupted(self._now, reply.number, 0, split.heard, split.unheard, reason))
            self._reply, self._turn = None, None
            self._rest(reason)

    def _push_to_talk(self, held: bool) -> None:
        if not held:
            if self._turn is not None and self._turn.held:
                self._turn.held = False
                if self._state is TurnState.USER_SPEAKING:
                    self._release_turn(self._turn)
            return
        self._interrupt("push-to-talk")
        if self._state is TurnState.USER_SPEAKING and self._turn is not None:
            self._turn.held = True
            if self._reply is not None:
                self._discard_reply("push-to-talk")
            return
        self._turn = self._open_turn(held=True)
        if self._state is not TurnState.INTERRUPTED:
            self._enter(TurnState.USER_SPEAKING, "push-to-talk")

    def _release_turn(self, turn: OpenTurn) -> None:
        if turn.voiced >= samples(self._settings.min_speech):
            self._commit("push-to-talk released")
        else:
            self._discard_turn(f"only {seconds(turn.voiced):.2f} s of speech")

    def _change_voice(self, voice: str) -> None:
        def load() -> str:
            self._generator.set_voice(voice)
            return voice

        job = self._executor.submit(REPLY_LANE, self._now, lambda _: (load() for _ in range(1)))
        self._voice_jobs.append(job)

    def _collect_voice_changes(self) -> None:
        for job in self._voice_jobs:
            try:
                for voice in job.poll(self._now):
                    self._emit(VoiceChanged(self._now, voice))
            except (ModelError, VoiceError) as error:
                self._emit(Notice(self._now, "error", str(error)))
        self._voice_jobs = [job for job in self._voice_jobs if not job.finished]

    # Saying what happened

    def _emit(self, event: Event) -> None:
        self._events.append(event)

    def _enter(self, state: TurnState, reason: str) -> None:
        self._state = state
        self._emit(StateChanged(self._now, state, reason))

    def _rest(self, reason: str) -> None:
        self._speech.forget()
        self._enter(TurnState.MUTED if self._muted else TurnState.LISTENING, reason)

    def _control(self, reply: ReplyRun, action: PlaybackAction, reason: str) -> None:
        self._emit(PlaybackControl(self._now, reply.number, action, reason))

    def _emit_transcript(self, text: str, *, final: bool) -> None:
        turn = self._require_turn()
        self._emit(
            UserTranscript(self._now, turn.number, text, final, turn.start, turn.end_of_speech)
        )

    def _emit_latency(self, reply: ReplyRun) -> None:
        parts = reply.latency()
        total = sum(parts.values())
        self._emit(TurnLatency(self._now, reply.turn, reply.number, total, parts))

    def _require_turn(self) -> OpenTurn:
        if self._turn is None:
            raise RuntimeError(f"no turn is open in state {self._state}")
        return self._turn

    def _require_reply(self) -> ReplyRun:
        if self._reply is None:
            raise RuntimeError(f"no reply is being made in state {self._state}")
        return self._reply
