"""Turn taking: how a half-duplex reply generator becomes an engine.

The controller listens frame by frame and decides when the user's turn is over, when a reply may be
heard, and when it must stop::

    LISTENING --speech--> USER_SPEAKING --silence--> THINKING --first sound--> SPEAKING
        ^                      ^    <--the user goes on--/                       |
        |                      |                                                 |
        |                  INTERRUPTED <--barge-in confirmed---------------------+
        +----------------------(by key)               <--played to the end-------+

- A reply is begun at the first short silence (``speculate_after``) and held back until
  :mod:`model.turns.endpointing` finds that the turn is over. If the user goes on, it is thrown away
  and its turn continues.
- Speech over a reply ducks it at once; :mod:`model.turns.barge_in` finds what it is. The reply
  stops, and
  the history keeps what was heard; or it goes on where it stands (a cough, a "mm-hmm").
- A user who goes on talking just as the reply begins has paused, not interrupted: the reply is
  taken back and the same turn continues.

MUTED stands in for LISTENING while the microphone is muted.
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
    Command,
    EngineInfo,
    Frame,
    Interrupt,
    Progress,
    PushToTalk,
    SayText,
    SetMuted,
    SetVoice,
)
from model.events import Event, TurnState
from model.hearing.hearing import Hearing
from model.hearing.recognition import LoadableRecognizer, Recognition
from model.jobs.executor import Executor
from model.reply import ReplyGenerator
from model.turns.answering import Answering
from model.turns.endpointing import EndOfTurnModel
from model.turns.floor import Floor
from model.turns.listening import Listening
from model.turns.phrases import Phrases
from model.turns.turn_settings import TurnSettings
from model.turns.voice_changes import VoiceChanges


class TurnTakingEngine:
    """A reply generator that can hold a conversation (see the module's docstring).

    ``detector`` hears speech in frames, ``executor`` does everything that takes longer than a
    frame. The rest is optional: ``recognizer`` makes the transcripts,
    ``phrases`` are the rules by which words are judged, ``end_of_turn`` judges the sound.
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
    ) -> None:
        settings = settings or TurnSettings()
        self._hearing = Hearing(detector, settings)
        self._recognition = Recognition(recognizer, executor, samples(settings.partial_every))
        self._floor = Floor(generator, executor, self._hearing, self._recognition, settings)
        self._end_of_turn = end_of_turn
        self._answering = Answering(self._floor, phrases)
        self._listening = Listening(self._floor, self._answering, phrases, end_of_turn)
        self._voices = VoiceChanges(generator, executor)
        self._commands: deque[Command] = deque()
        self._typed: deque[str] = deque()

    @property
    def info(self) -> EngineInfo:
        """What the generator is made of, and what hears the end of a turn."""
        info, parts = self._floor.generator.info, dict[str, str]()
        if self._recognition.available:
            only = ", for the transcript only" if self._floor.generator.hears else ""
            parts["recogniser"] = self._recognition.name + only
        parts |= info.parts
        if self._end_of_turn is not None:
            parts["end of turn"] = self._end_of_turn.name
        return replace(info, parts=parts)

    @property
    def busy(self) -> bool:
        """Whether a turn, a reply or a command is under way."""
        return not self._resting or bool(self._commands or self._typed or self._hearing.run)

    def warm_up(self, progress: Progress) -> None:
        """Load the generator and run everything once. Raises: ModelError."""
        self._hearing.warm_up()
        if self._end_of_turn is not None:
            self._end_of_turn.probability(np.zeros(USER_RATE, np.float32))
        with ThreadPoolExecutor(1, "covo-load") as beside:
            recognizer = beside.submit(self._recognition.load)
            self._floor.generator.warm_up(progress)
            progress("waiting for the recogniser")
            recognizer.result()

    def command(self, command: Command) -> None:
        """Queue a command for the next frame."""
        self._commands.append(command)

    def close(self) -> None:
        """Stop all work and give back memory. Safe to call twice."""
        self._floor.executor.close()
        if self._end_of_turn is not None:
            self._end_of_turn.close()
        self._recognition.close()
        self._floor.generator.close()

    def process(self, frame: Frame) -> Sequence[Event]:
        """Take in one frame; return what happened, in order of time."""
        floor = self._floor
        floor.events = []
        floor.now, floor.playback = frame.end, frame.playback
        voiced = self._hearing.hear(frame)
        turn = floor.talk_over.turn if floor.talk_over is not None else floor.turn
        if turn is not None:
            turn.add(frame.samples, voiced, self._hearing.last_speech)
        while self._commands:
            self._obey(self._commands.popleft())
        floor.events.extend(self._voices.poll(floor.now))
        match floor.state:
            case TurnState.LISTENING | TurnState.MUTED:
                if self._typed:
                    self._listening.answer_typed(self._typed.popleft())
                else:
                    self._listening.listen()
            case TurnState.USER_SPEAKING:
                self._listening.hear_out()
            case TurnState.THINKING:
                self._answering.think()
            case TurnState.SPEAKING:
                self._answering.speak()
            case TurnState.INTERRUPTED:
                self._answering.fall_silent()
        return floor.events

    @property
    def _resting(self) -> bool:
        return self._floor.state in (TurnState.LISTENING, TurnState.MUTED)

    def _obey(self, command: Command) -> None:
        floor = self._floor
        match command:
            case Interrupt():
                self._answering.interrupt("interrupted by key")
            case SayText(text):
                if text.strip():
                    self._typed.append(text.strip())
                    if floor.state is TurnState.USER_SPEAKING:
                        self._listening.discard_turn("you typed")
                    self._answering.interrupt("you typed")
            case SetVoice(voice):
                self._voices.ask(voice, floor.now)
            case SetMuted(muted):
                floor.muted = muted
                if self._resting:
                    floor.rest("muted" if muted else "unmuted")
            case PushToTalk(True):
                self._push_to_talk()
            case PushToTalk(False):
                self._release()

    def _push_to_talk(self) -> None:
        floor = self._floor
        self._answering.interrupt("push-to-talk")
        speaking = floor.state is TurnState.USER_SPEAKING and floor.turn is not None
        turn = floor.turn = floor.turn or floor.open_turn()
        turn.held = True
        if speaking:
            if floor.reply is not None:
                floor.discard_reply("push-to-talk")
        elif floor.state is not TurnState.INTERRUPTED:
            floor.enter(TurnState.USER_SPEAKING, "push-to-talk")

    def _release(self) -> None:
        turn = self._floor.turn
        if turn is not None and turn.held:
            turn.held = False
            if self._floor.state is TurnState.USER_SPEAKING:
                self._listening.finish_turn("push-to-talk released")
