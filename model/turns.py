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
from typing import TypeVar

import numpy as np

from model.barge_in import BargeIn, FallingSilent
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
)
from model.open_turn import OpenTurn
from model.partials import PartialTranscripts
from model.reply import Recognizer, ReplyAudio, ReplyGenerator
from model.reply_run import ReplyRun
from model.speech import SpeechDetector, SpeechTracker
from model.turn_settings import TurnSettings
from model.voice_changes import VoiceChanges
from model.work import Executor

STALLED = 2.0
"""Seconds without progress after which a reply that is not played to its end is given up."""

T = TypeVar("T")


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
        self._barge_in: BargeIn | None = None  # speech over a reply, not confirmed yet
        self._stopping: FallingSilent | None = None
        self._audio_ended = False
        self._progress = (0, 0)  # samples heard of the reply, and since when
        self._deaf_until = 0
        self._partials = PartialTranscripts(recognizer, executor, samples(s.partial_every))
        self._voices = VoiceChanges(generator, executor)

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
        turn = self._barge_in.turn if self._barge_in is not None else self._turn
        if turn is not None:
            turn.add(frame.samples, frame.end, voiced)
        while self._commands:
            self._obey(self._commands.popleft())
        self._events.extend(self._voices.poll(self._now))
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
        if self._now < self._deaf_until:
            self._speech.forget()
            self._recent.clear()
        if self._typed:
            self._answer_typed(self._typed.popleft())
        elif self._speech.run_voiced >= self._onset:
            self._turn = self._open_turn()
            self._enter(TurnState.USER_SPEAKING, "speech began")

    def _open_turn(self, typed: str | None = None) -> OpenTurn:
        self._turns += 1
        heard = self._speech.run_voiced
        turn = OpenTurn(
            self._turns,
            start=self._speech.run_start if heard else self._now,
            end_of_speech=self._speech.last_voiced if heard else self._now,
            frames=() if typed is not None else self._recent,
            typed=typed,
        )
        turn.voiced = heard
        return turn

    def _answer_typed(self, text: str) -> None:
        self._turn = self._open_turn(typed=text)
        self._emit_transcript(self._turn, text, final=True)
        self._begin_reply()
        self._commit("typed")

    # The user speaks

    def _hear_out(self) -> None:
        turn = _present(self._turn)
        speaking = not self._speech.silence(self._now) and self._reply is None
        self._events.extend(self._partials.poll(self._now, turn, speaking=speaking))
        if self._reply is not None:
            self._poll_reply()
        silence = self._speech.silence(self._now)
        enough = turn.voiced >= samples(self._settings.min_speech)
        if self._now - turn.start >= samples(self._settings.max_turn):
            turn.closed, turn.held = True, False
            self._speech.forget()  # what follows is the next turn
            self._finish_turn(turn, f"turn of {self._settings.max_turn:.0f} s")
            return
        if turn.held:
            return
        if self._reply is not None and not silence and self._speech.run_voiced >= self._onset:
            self._discard_reply("you went on")
        if silence >= samples(self._settings.silence):
            self._finish_turn(turn, f"silence of {seconds(silence):.2f} s")
        elif self._reply is None and enough and silence >= samples(self._settings.speculate_after):
            self._begin_reply()

    def _finish_turn(self, turn: OpenTurn, reason: str) -> None:
        """Answer the turn, or drop it if there is too little speech in it."""
        if turn.voiced >= samples(self._settings.min_speech):
            self._commit(reason)
        else:
            self._discard_turn(f"only {seconds(turn.voiced):.2f} s of speech")

    def _begin_reply(self) -> None:
        self._partials.drop()
        self._replies += 1
        self._reply = ReplyRun(
            self._replies, _present(self._turn), self._generator, self._executor, self._now
        )

    def _commit(self, reason: str) -> None:
        if self._reply is None:
            self._begin_reply()
        reply = _present(self._reply)
        reply.committed_at = self._now
        if reply.turn_text and reply.question.typed is None:
            self._emit_transcript(reply.question, reply.turn_text, final=True)
        self._enter(TurnState.THINKING, reason)
        self._think()

    def _discard_turn(self, reason: str) -> None:
        turn, next_turn = _present(self._turn), self._barge_in
        if self._reply is not None:
            self._discard_reply(reason)
        self._partials.drop()
        self._emit(TurnDiscarded(self._now, turn.number, reason))
        self._turn = self._barge_in = None
        if next_turn is None:
            self._rest(reason)
        else:
            self._turn = next_turn.turn
            self._enter(TurnState.USER_SPEAKING, "speech began")

    def _discard_reply(self, reason: str) -> None:
        """Throw away a speculation: neither the reply nor its turn ever happened."""
        reply = _present(self._reply)
        reply.cancel()
        self._generator.settle(reply.number, None)
        self._reply = None
        self._emit(SpeculationDiscarded(self._now, _present(self._turn).number, reason))

    # The reply is made, and spoken

    def _think(self) -> None:
        reply, turn = _present(self._reply), _present(self._turn)
        if turn.went_on_after(reply.committed_at) and self._speech.run_voiced >= self._onset:
            self._discard_reply("you went on")
            self._enter(TurnState.USER_SPEAKING, "you went on")
            return
        if turn.closed and not self._barge_in and self._speech.run_voiced >= self._onset:
            self._barge_in = BargeIn(self._open_turn(), self._speech.run_voiced)
        self._poll_reply()
        if reply.turn_text == "":
            self._discard_turn("nothing recognised")
        elif reply.first_audio_at is not None or (reply.text and not self._generator.info.speaks):
            self._audio_ended, self._progress = False, (0, self._now)
            self._emit(ReplyStarted(self._now, reply.number, turn.number))
            self._enter(TurnState.SPEAKING, "reply began")
            self._pass_on()
        elif reply.complete:
            if not reply.failed:
                self._emit(Notice(self._now, "warning", f"nothing to say in {reply.text!r}"))
            self._generator.settle(reply.number, 0)
            self._end_reply("no reply came")

    def _speak(self) -> None:
        reply = _present(self._reply)
        self._poll_reply()
        self._pass_on()
        if reply.complete and not self._audio_ended:
            self._audio_ended = True
            self._emit(ReplyAudioEnded(self._now, reply.number, reply.samples))
        heard = self._heard()
        if reply.heard(self._now, heard):
            self._emit_latency(reply)
        if heard > self._progress[0]:
            self._progress = (heard, self._now)
        if heard >= samples(self._settings.continuation, ASSISTANT_RATE) and not self._barge_in:
            self._turn = None
        if reply.complete and heard >= reply.samples:
            self._generator.settle(reply.number, reply.samples)
            self._emit(ReplyFinished(self._now, reply.number, reply.text))
            self._end_reply("reply ended")
        elif reply.complete and self._now - self._progress[1] >= samples(STALLED):
            # No speaker should do this; but then the conversation must not wait for ever.
            self._emit(Notice(self._now, "warning", "the speaker lost the end of the reply"))
            self._generator.settle(reply.number, heard)
            self._end_reply("the speaker stands still")
        elif self._settings.barge_in:
            self._watch_for_barge_in()

    def _pass_on(self) -> None:
        reply = _present(self._reply)
        for part in reply.take():
            if isinstance(part, ReplyAudio):
                self._emit(AssistantAudio(self._now, reply.number, part.samples, part.text))
            else:
                self._emit(AssistantText(self._now, reply.number, part.delta))

    def _poll_reply(self) -> None:
        reply = _present(self._reply)
        try:
            text_came = reply.poll(self._now)
        except ModelError as error:
            self._emit(Notice(self._now, "error", str(error)))
            return
        committed = reply.committed_at is not None
        if text_came and reply.turn_text and reply.question.typed is None:
            self._emit_transcript(reply.question, reply.turn_text, final=committed)
        for notice in reply.take_notices() if committed else ():
            self._emit(Notice(self._now, notice.level, notice.text))

    def _end_reply(self, reason: str) -> None:
        """The reply is settled. Speech that had begun over its end is a turn of its own."""
        reply, barge_in = _present(self._reply), self._barge_in
        self._reply = self._turn = self._barge_in = None
        if barge_in is None:
            self._rest(reason)
            if not self._settings.barge_in:
                self._deaf_until = self._now + samples(self._settings.deaf_after)
            return
        self._control(reply, PlaybackAction.RESUME, reason)
        answered = barge_in.turn.number == reply.turn
        self._turn = self._open_turn() if answered else barge_in.turn
        self._enter(TurnState.USER_SPEAKING, "speech began")

    def _heard(self) -> int:
        """Samples (24 kHz) of the current reply that were really played."""
        mine = self._reply is not None and self._playback.reply == self._reply.number
        return self._playback.samples if mine else 0

    # Barge-in

    def _watch_for_barge_in(self) -> None:
        reply, barge_in = _present(self._reply), self._barge_in
        if barge_in is None:
            if self._speech.run_voiced >= self._onset:
                turn, self._turn = self._turn, None
                turn = turn if turn and not turn.closed else self._open_turn()
                self._barge_in = BargeIn(turn, self._speech.run_voiced)
                self._control(reply, PlaybackAction.DUCK, "speech over the reply")
        elif barge_in.voiced >= samples(self._settings.barge_in_confirm):
            self._turn, self._barge_in = barge_in.turn, None
            self._stop_reply(f"you spoke for {seconds(barge_in.voiced):.2f} s")
        elif self._speech.silence(self._now) >= samples(self._settings.barge_in_release):
            self._barge_in = None
            reason = f"only {seconds(barge_in.voiced):.2f} s of speech"
            self._control(reply, PlaybackAction.RESUME, reason)

    def _stop_reply(self, reason: str) -> None:
        reply = _present(self._reply)
        reply.cancel()
        self._control(reply, PlaybackAction.STOP, reason)
        self._stopping = FallingSilent(self._heard(), reason)
        self._enter(TurnState.INTERRUPTED, reason)

    def _fall_silent(self) -> None:
        reply, stopping, turn = _present(self._reply), _present(self._stopping), self._turn
        heard, reason = self._heard(), stopping.reason
        if not stopping.silent(heard):
            return
        if turn is not None and turn.went_on_after(reply.committed_at):
            self._generator.settle(reply.number, None)
            self._emit(Interrupted(self._now, reply.number, heard, "", reply.text, "you went on"))
        else:
            split = self._generator.settle(reply.number, heard)
            self._emit(
                Interrupted(self._now, reply.number, heard, split.heard, split.unheard, reason)
            )
        self._reply = self._stopping = None
        if turn is None:
            self._rest(reason)
        else:
            self._enter(TurnState.USER_SPEAKING, reason)

    # Commands

    def _obey(self, command: Command) -> None:
        match command:
            case Interrupt():
                self._interrupt("interrupted by key")
            case SayText(text):
                if text.strip():
                    self._typed.append(text.strip())
                    if self._state is TurnState.USER_SPEAKING:
                        self._discard_turn("you typed")
                    self._interrupt("you typed")
            case SetVoice(voice):
                self._voices.ask(voice, self._now)
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
            reply = _present(self._reply)
            reply.cancel()
            split = self._generator.settle(reply.number, 0)
            self._emit(Interrupted(self._now, reply.number, 0, split.heard, split.unheard, reason))
            self._reply = self._turn = self._barge_in = None
            self._rest(reason)

    def _push_to_talk(self, held: bool) -> None:
        if not held:
            if self._turn is not None and self._turn.held:
                self._turn.held = False
                if self._state is TurnState.USER_SPEAKING:
                    self._finish_turn(self._turn, "push-to-talk released")
            return
        self._interrupt("push-to-talk")
        if self._state is TurnState.USER_SPEAKING and self._turn is not None:
            self._turn.held = True
            if self._reply is not None:
                self._discard_reply("push-to-talk")
            return
        self._turn = self._turn or self._open_turn()
        self._turn.held = True
        if self._state is not TurnState.INTERRUPTED:
            self._enter(TurnState.USER_SPEAKING, "push-to-talk")

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

    def _emit_transcript(self, turn: OpenTurn, text: str, *, final: bool) -> None:
        self._emit(
            UserTranscript(self._now, turn.number, text, final, turn.start, turn.end_of_speech)
        )

    def _emit_latency(self, reply: ReplyRun) -> None:
        parts = reply.latency()
        total = sum(parts.values())
        self._emit(TurnLatency(self._now, reply.turn, reply.number, total, parts))


def _present(value: T | None) -> T:
    """What must be there in the state the controller is in."""
    if value is None:
        raise RuntimeError("the turn-taking controller is in a state that cannot be")
    return value
