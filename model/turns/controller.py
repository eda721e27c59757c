"""Turn taking: turn a half-duplex reply generator into an engine.

Each frame runs one step of the current state (:mod:`model.turns.states`), which returns the next::

    Listening --speech--> UserSpeaking --silence--> Thinking --first sound--> ReplySpeaking
        ^                     ^  ^   <--you went on--/    |                      |      |
        |                     |  |                        | no reply, a noise    |      |
        |                     |  +----what was said----ReplyStopping <--barge-in-+      |
        |                     |                           | by key                      |
        +---------------------|---------------------------+<---------heard to the end---+
                              +<-----------speech over the end of a reply---------------+

- An answer is begun at the first short silence (``speculate_after``) and held back until
  :mod:`model.turns.endpointing` finds that the turn is over. If the user goes on, it is discarded
  and the turn continues.
- Speech over a reply ducks it at once; :mod:`model.turns.barge_in` decides what it is. The reply
  stops, and the history keeps what was heard; or it goes on (after a cough, a "mm-hmm").
- If the user goes on talking just as the reply begins, the reply is taken back and the same turn
  continues.

A muted microphone is not a state: Listening is shown as MUTED then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from audio_io.clock import USER_RATE, samples
from audio_io.signal import SpeechDetector
from model.engine import (
    AnswerNow,
    Command,
    CutReply,
    DropTurn,
    EndTurn,
    EngineInfo,
    Forget,
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
from model.events import Event, TurnDiscarded
from model.hearing.hearing import Hearing
from model.hearing.identity.profile import SpeakerEmbedder
from model.hearing.identity.speaker_check import SpeakerCheck
from model.hearing.open_turn import OpenTurn
from model.hearing.recognition import LoadableRecognizer, Recognition
from model.jobs.executor import Executor
from model.playback.backchannels import Backchannels
from model.playback.timers import Timers
from model.reply import ReplyGenerator
from model.turns import answering, listening
from model.turns.answer import REPLY_LANE
from model.turns.answering import cut, interrupt
from model.turns.context import TurnContext
from model.turns.end_of_turn import EndOfTurnProbe
from model.turns.endings.models import EndOfTurnModel, OutlookModel
from model.turns.language_notices import LanguageNotices
from model.turns.phrases import Phrases
from model.turns.states import (
    ConversationState,
    Listening,
    ReplySpeaking,
    ReplyStopping,
    Thinking,
    UserSpeaking,
    open_turn_of,
)
from model.turns.turn_settings import TurnSettings
from model.turns.voice_changes import VoiceChanges


class TurnTakingEngine:
    """A reply generator that can hold a conversation (see the module's docstring).

    ``detector`` detects speech in frames; ``executor`` runs work that outlasts a frame. Optional:
    ``recognizer`` recognises words (a generator that does not hear needs one). ``phrases`` are the
    rules for words whose language is unknown; without, no words are judged. ``end_of_turn`` judges
    the sound and ``outlook`` the words. ``language``: the user's, if it is known before they speak.
    ``speaker_embedder`` tells the user's voice from others, which are then not answered.
    ``timers``: those that ring in the conversation.
    """

    def __init__(
        self,
        generator: ReplyGenerator,
        detector: SpeechDetector,
        executor: Executor,
        settings: TurnSettings | None = None,
        recognizer: LoadableRecognizer | None = None,
        phrases: Phrases | None = None,
        end_of_turn: EndOfTurnModel | None = None,
        language: str = "",
        speaker_embedder: SpeakerEmbedder | None = None,
        outlook: OutlookModel | None = None,
        timers: Timers | None = None,
    ) -> None:
        self._settings = s = settings or TurnSettings()
        self._embedder = speaker_embedder
        self._ending_models = [model for model in (end_of_turn, outlook) if model is not None]
        self._detector = detector
        ringing = timers or Timers()

        def begin() -> TurnContext:
            self._voices = VoiceChanges(generator, executor)
            self._languages = LanguageNotices(generator, phrases, language)
            self._commands: deque[Command] = deque()
            self._asked: deque[SayText | SayAudio | AnswerNow] = deque()
            self._along: OpenTurn | None = None  # answered along with what was asked for last
            self._state: ConversationState = Listening()
            recognition = Recognition(recognizer, executor, samples(s.partial_every))
            probe = EndOfTurnProbe(end_of_turn, outlook, executor)
            hearing = Hearing(detector, s)
            speakers = SpeakerCheck(speaker_embedder, executor)
            humming = Backchannels(generator, executor, s.humming)
            ringing.start_over()
            return TurnContext(
                generator,
                executor,
                hearing,
                recognition,
                probe,
                speakers,
                humming,
                ringing,
                s,
                phrases,
            )

        self._begin = begin
        self._context = begin()

    @property
    def info(self) -> EngineInfo:
        """The generator's info, and what hears the user."""
        generator, recognition = self._context.generator, self._context.recognition
        parts: dict[str, str] = {}
        if recognition.available:
            only = ", for the transcript only" if generator.hears else ""
            parts["recogniser"] = recognition.name + only
        parts |= generator.info.parts
        if self._ending_models:
            parts["end of turn"] = ", ".join(model.name for model in self._ending_models)
        if self._embedder is not None:
            parts["whose voice"] = self._embedder.name
        return replace(generator.info, parts=parts)

    @property
    def busy(self) -> bool:
        """Whether a turn, a reply or a command is under way."""
        waiting = bool(self._commands or self._asked or self._context.hearing.run)
        return waiting or not isinstance(self._state, Listening)

    def warm_up(self, progress: Progress) -> None:
        """Load all parts and run them once. Raises: ModelError."""
        c = self._context
        c.hearing.warm_up()
        for model in self._ending_models:
            model.load()
        if self._embedder is not None:
            self._embedder.embed(np.zeros(USER_RATE, np.float32))
        with ThreadPoolExecutor(1, "covo-load") as beside:
            recognizer = beside.submit(c.recognition.load)
            c.generator.warm_up(progress)
            if c.recognition.available:
                progress("waiting for the recogniser")
            recognizer.result()

    def command(self, command: Command) -> None:
        """Queue a command for the next frame."""
        self._commands.append(command)

    def start_over(self) -> None:
        """See :meth:`model.engine.Engine.start_over`. Raises: ModelError, VoiceError."""
        old = self._context
        old.executor.start_over()
        old.executor.run(REPLY_LANE, old.generator.start_over)  # after the reply that was cancelled
        self._detector.reset()
        old.recognition.start_over()
        self._context = self._begin()
        # The number of a reply, a hum or a ring is never used twice.
        self._context.replies = old.replies
        self._context.backchannels.number = old.backchannels.number

    def close(self) -> None:
        """Stop all work and free the memory. Safe to call twice."""
        self._context.executor.close()
        for model in self._ending_models:
            model.close()
        self._context.recognition.close()
        self._context.generator.close()

    def process(self, frame: Frame) -> Sequence[Event]:
        """Take in one frame; return what happened, in order of time."""
        c = self._context
        c.begin(frame)
        voiced = c.hearing.hear(frame)
        turn = open_turn_of(self._state)
        if turn is not None:
            turn.add(frame.samples, voiced, c.hearing.last_speech)
        if self._commands:
            c.timers.acknowledge()
        while self._commands:
            self._state = self._obey(self._commands.popleft(), self._state)
        c.events += self._voices.poll(c.now)
        c.events += c.speakers.poll(c.now)
        self._state = self._step(self._state)
        self._ask_again()
        listening.ring_timers(c, self._state)
        c.events += self._languages.poll(c.now, c.events)
        c.events += c.backchannels.poll(c.now, c.events)
        return c.events

    def _step(self, state: ConversationState) -> ConversationState:
        c = self._context
        match state:
            case Listening():
                if self._asked:
                    return self._answer(self._asked.popleft())
                return listening.listen(c, state)
            case UserSpeaking():
                return self._make_way(state) if self._asked else listening.hear_out(c, state)
            case Thinking():
                return answering.think(c, state)
            case ReplySpeaking():
                return answering.speak(c, state)
            case ReplyStopping():
                return answering.fall_silent(c, state)

    def _answer(self, asked: SayText | SayAudio | AnswerNow) -> ConversationState:
        match asked:
            case SayText(text):
                return listening.answer_typed(self._context, text.strip())
            case SayAudio(sound, wanted):
                return listening.answer_sound(self._context, sound, wanted=wanted)
            case AnswerNow(text):
                return listening.answer_waiting(self._context, text.strip())

    def _obey(self, command: Command, state: ConversationState) -> ConversationState:
        c = self._context
        match command:
            case Interrupt():
                state = interrupt(c, state, "interrupted by key")
            case SayText() | SayAudio() | AnswerNow():
                state = self._ask(command, state)
            case EndTurn() if isinstance(state, UserSpeaking):
                state = listening.end_turn(c, state, "said to be over")
            case DropTurn(turn):
                state = listening.drop_turn(c, state, turn)
            case CutReply(reply, heard):
                state = cut(c, state, reply, heard)
            case SetMuted(muted):
                c.muted = muted
                if isinstance(state, Listening):
                    state = c.rest("muted" if muted else "unmuted")
            case PushToTalk(talking):
                state = self._push_to_talk(state) if talking else self._release(state)
            case _:
                self._adjust(command)
        return state

    def _ask(
        self, asked: SayText | SayAudio | AnswerNow, state: ConversationState
    ) -> ConversationState:
        """Queue what is to be answered, and end what it ends."""
        if isinstance(asked, SayText) and not asked.text.strip():
            return state
        self._asked.append(asked)
        if isinstance(state, UserSpeaking):
            return self._make_way(state)
        return interrupt(self._context, state, "you typed") if isinstance(asked, SayText) else state

    def _make_way(self, state: UserSpeaking) -> ConversationState:
        """End the user's turn for what is to be answered next, which answers the turn as well if it
        is an :class:`AnswerNow`."""
        c, asked = self._context, self._asked[0]
        if isinstance(asked, SayText):
            return listening.discard_turn(c, state, "you typed")
        if isinstance(asked, AnswerNow) and not c.unanswered:
            self._asked.popleft()
            state.turn.added, self._along = asked.text.strip(), state.turn
            return listening.end_turn(c, state, "asked to answer", wanted=True)
        return listening.end_turn(c, state, "asked to answer", wanted=False)

    def _ask_again(self) -> None:
        """Answer without the turn what was to be answered along with one that was none."""
        along, events = self._along, self._context.events
        if along is None:
            return
        if any(isinstance(e, TurnDiscarded) and e.turn == along.number for e in events):
            self._asked.appendleft(AnswerNow(along.added))
            self._along = None

    def _adjust(self, command: Command) -> None:
        """Carry out a command that leaves the turn as it is."""
        c = self._context
        match command:
            case SetVoice(voice):
                self._voices.ask(voice, c.now)
            case NewSpeaker():
                c.emit(c.speakers.begin_anew(c.now))
            case SetTurnTaking(settings):
                c.settings = settings or self._settings
                c.hearing.tune(c.settings)
            case SetPersona(persona):
                c.generator.set_persona(persona)
            case Remember(number, user, assistant):
                c.generator.remember(number, user, assistant)
            case Forget(number):
                c.generator.forget(number)

    def _push_to_talk(self, state: ConversationState) -> ConversationState:
        c = self._context
        state = interrupt(c, state, "push-to-talk")
        match state:
            case UserSpeaking():
                listening.discard_answer(c, state, "push-to-talk")
                state.turn.push_to_talk = True
                return state
            case ReplyStopping():
                state.next_turn = state.next_turn or c.open_turn()
                state.next_turn.push_to_talk = True
                return state
            case _:
                turn = c.open_turn()
                turn.push_to_talk = True
                return c.enter(UserSpeaking(turn), "push-to-talk")

    def _release(self, state: ConversationState) -> ConversationState:
        turn = open_turn_of(state)
        if turn is None or not turn.push_to_talk:
            return state
        turn.push_to_talk = False
        if isinstance(state, UserSpeaking):
            return listening.finish_turn(self._context, state, "push-to-talk released")
        return state
