"""Run one conversation: microphone → frames → engine → events → speaker, screen, recorder.

The same loop serves live and file conversations; only their ends differ. One round is one frame
(20 ms) of the user's audio, and every time is counted in its samples.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Sequence
from enum import StrEnum

import numpy as np

from audio_io.clock import ASSISTANT_RATE, FRAME, USER_RATE
from audio_io.echo import EchoCanceller
from audio_io.ends import Microphone, Speaker
from audio_io.resample import FrameResampler
from audio_io.signal import Audio
from covo_cli.conversation.clock_watch import ClockWatch
from covo_cli.conversation.consumer import Consumer, Tick
from covo_cli.conversation.request import FailureReport, Quit, Request
from covo_cli.errors import OutputClosed, SessionError
from model.engine import Engine, Frame, PushToTalk, SetMuted
from model.events import (
    AssistantAudio,
    Event,
    Notice,
    PlaybackAction,
    PlaybackControl,
    SoundBeside,
    StateChanged,
    TurnState,
)

READ_TIMEOUT_S = 0.5
"""Longest wait for a frame between two looks at the requests."""

log = logging.getLogger(__name__)


class Ending(StrEnum):
    """Why a conversation ended."""

    QUIT = "it was asked to"
    OUTPUT_CLOSED = "nobody takes the output"
    INPUT_OVER = "the input is over"
    ERROR = "an error"


class Conversation:
    """Connects the two ends, engine and consumers; the caller starts and closes them.

    ``over`` gets the engine's ``busy`` once per frame and returns whether to end the conversation,
    as when a file is over and the last reply was heard. ``echo`` None: nothing to cancel. ``watch``
    reports standstills and changes of the clock, in real time.
    """

    def __init__(
        self,
        microphone: Microphone,
        speaker: Speaker,
        engine: Engine,
        consumers: Sequence[Consumer],
        *,
        echo: EchoCanceller | None = None,
        over: Callable[[bool], bool] = lambda busy: False,
        watch: ClockWatch | None = None,
    ) -> None:
        self._watch = watch
        self._microphone = microphone
        self._speaker = speaker
        self._engine = engine
        self._consumers = list(consumers)
        self._echo = echo
        self._far = FrameResampler(ASSISTANT_RATE, USER_RATE, FRAME)
        self._over = over
        self._inbox: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._at = 0
        self._muted = False
        self._talking = False
        self._notices: list[Event] = []
        self.reason = ""
        """Why the conversation ended; empty after an error."""
        self.failures: list[str] = []
        """Failures that the conversation outlived, such as the recording's."""

    @property
    def at(self) -> int:
        """The conversation's length so far, in user samples."""
        return self._at

    def send(self, request: Request) -> None:
        """Carry out ``request`` at the next frame. Thread-safe."""
        self._inbox.put(request)

    def run(self) -> Ending:
        """Hold the conversation until it is over. Raises: AudioError when a device is lost."""
        while (ending := self.advance(READ_TIMEOUT_S)) is None:
            pass
        return ending

    def advance(self, timeout: float) -> Ending | None:
        """Take in the next frame if it comes within ``timeout`` s; return why the conversation is
        over, or None. Raises: AudioError when a device is lost."""
        try:
            if self._read_inbox():
                return Ending.QUIT
            frame = self._microphone.read(timeout)
            if frame is not None:
                self._step(frame)
        except OutputClosed as closed:
            self.reason = str(closed)
            return Ending.OUTPUT_CLOSED
        if self._microphone.ended or self._over(self._engine.busy):
            self.reason = str(Ending.INPUT_OVER)
            return Ending.INPUT_OVER
        return None

    def _read_inbox(self) -> bool:
        while True:
            try:
                request = self._inbox.get_nowait()
            except queue.Empty:
                return False
            match request:
                case Quit(reason):
                    self.reason = reason
                    return True
                case FailureReport(text):
                    self._note_failure(text)
                    continue
                case SetMuted(muted):
                    self._muted = muted
                case PushToTalk(talking):
                    self._talking = talking
            self._engine.command(request)

    def _step(self, captured: Audio) -> None:
        heard = self._speaker.tick()
        user = captured
        if self._echo is not None:  # also while muted, to keep the canceller tuned
            user = self._echo.process(captured, self._far.process(heard))
        if self._muted and not self._talking:
            user = np.zeros(FRAME, np.float32)
        played = self._speaker.played
        if self._watch is not None:
            self._notices += [Notice(self._at, "warning", text) for text in self._watch.look()]
        events = [*self._notices, *self._engine.process(Frame(self._at, user, played))]
        self._notices.clear()
        for event in events:
            self._act(event)
        self._tell(
            Tick(
                at=self._at,
                user=user,
                assistant=heard,
                events=tuple(events),
                muted=self._muted,
                talking=self._talking,
                microphone=self._microphone.status.message,
                speaker=self._speaker.status.message,
                played=played,
            )
        )
        self._at += FRAME

    def _act(self, event: Event) -> None:
        match event:
            case AssistantAudio(reply=reply, samples=samples):
                self._speaker.play(reply, samples)
            case SoundBeside(number=number, samples=samples):
                self._speaker.play(number, samples)
            case PlaybackControl(action=PlaybackAction.DUCK):
                self._speaker.duck()
            case PlaybackControl(action=PlaybackAction.HOLD):
                self._speaker.hold()
            case PlaybackControl(action=PlaybackAction.RESUME):
                self._speaker.resume()
            case PlaybackControl(action=PlaybackAction.STOP):
                self._speaker.stop()
            case StateChanged(state=state):
                log.debug("%s: %s", event.at, state)
                if state is TurnState.THINKING:
                    self._talking = False  # the engine ends push-to-talk, too
            case Notice(level=level, text=text):
                log.log(logging.getLevelNamesMapping()[level.upper()], "notice: %s", text)

    def _tell(self, tick: Tick) -> None:
        """Give the tick to every consumer; drop one that fails and report it on the next tick."""
        for consumer in tuple(self._consumers):
            try:
                consumer.on_tick(tick)
            except SessionError as error:
                self._consumers.remove(consumer)
                self._note_failure(str(error))

    def _note_failure(self, text: str) -> None:
        self.failures.append(text)
        self._notices.append(Notice(self._at + FRAME, "error", text))
