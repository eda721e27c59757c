"""One conversation: microphone → frames → engine → events → speaker, screen, recorder.

Live mode and file mode run this same object; only the endpoints differ. Each turn of the loop is
one frame (20 ms) of the user's audio, and everything is timed in its samples.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

import numpy as np

from audio_io.clock import ASSISTANT_RATE, FRAME, USER_RATE
from audio_io.endpoints import Microphone, Speaker
from audio_io.resample import FrameResampler
from audio_io.signal import Audio
from covo_cli.conversation.consumer import Consumer, Tick
from covo_cli.conversation.request import Quit, Request
from covo_cli.errors import SessionError
from model.engine import Engine, Frame, PushToTalk, SetMuted
from model.events import (
    AssistantAudio,
    Event,
    Notice,
    PlaybackAction,
    PlaybackControl,
    StateChanged,
    TurnState,
)

READ_TIMEOUT = 0.5
"""Seconds to wait for a frame before looking whether the conversation is to end."""


class Ending(StrEnum):
    """Why a conversation ended."""

    QUIT = "quit by the user"
    INPUT_OVER = "the input is over"
    ERROR = "an error"


class Echo(Protocol):
    """Takes the assistant's own voice out of the microphone's signal."""

    def process(self, near: Audio, far: Audio) -> Audio:
        """``near``: the microphone, ``far``: what was played; both (320,) at 16 kHz."""


class Conversation:
    """Wires endpoints, engine and consumers.

    ``over`` is asked once per frame, with the engine's ``busy``, whether the conversation ends by
    itself (file mode: the input is over and the last reply was heard). ``echo`` is None where
    there is no echo to cancel.
    """

    def __init__(
        self,
        microphone: Microphone,
        speaker: Speaker,
        engine: Engine,
        consumers: Sequence[Consumer],
        *,
        echo: Echo | None = None,
        over: Callable[[bool], bool] = lambda busy: False,
    ) -> None:
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
        self._news: list[Event] = []
        self.failures: list[str] = []
        """What went wrong without ending the conversation (a recording that had to stop)."""

    @property
    def at(self) -> int:
        """How long it has lasted, in user samples."""
        return self._at

    def send(self, request: Request) -> None:
        """Ask for something from any thread; it is done at the next frame."""
        self._inbox.put(request)

    def run(self) -> Ending:
        """Hold the conversation until it is over.

        Whoever made the endpoints and consumers starts them before and closes them after it.
        Raises: AudioError when an endpoint fails for good.
        """
        try:
            while True:
                if self._read_inbox():
                    return Ending.QUIT
                frame = self._microphone.read(READ_TIMEOUT)
                if frame is not None:
                    self._step(frame)
                if self._microphone.ended or self._over(self._engine.busy):
                    return Ending.INPUT_OVER
        except BrokenPipeError:
            # Whoever read our output has gone: that ends the conversation, but is no fault of it.
            return Ending.QUIT

    def _read_inbox(self) -> bool:
        while True:
            try:
                request = self._inbox.get_nowait()
            except queue.Empty:
                return False
            match request:
                case Quit():
                    return True
                case SetMuted(muted):
                    self._muted = muted
                case PushToTalk(held):
                    self._talking = held
            self._engine.command(request)

    def _step(self, captured: Audio) -> None:
        heard = self._speaker.tick()
        muted = self._muted and not self._talking
        user = self._without_echo(captured, heard)  # also when muted: the canceller keeps adapted
        if muted:
            user = np.zeros(FRAME, np.float32)
        played = self._speaker.played
        frame = Frame(self._at, user, played)
        events = [*self._news, *self._engine.process(frame)]
        self._news.clear()
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
            )
        )
        self._at += FRAME

    def _without_echo(self, near: Audio, heard: Audio) -> Audio:
        if self._echo is None:
            return near
        return self._echo.process(near, self._far.process(heard))

    def _act(self, event: Event) -> None:
        match event:
            case AssistantAudio(reply=reply, samples=samples):
                self._speaker.play(reply, samples)
            case PlaybackControl(action=PlaybackAction.DUCK):
                self._speaker.duck()
            case PlaybackControl(action=PlaybackAction.HOLD):
                self._speaker.hold()
            case PlaybackControl(action=PlaybackAction.RESUME):
                self._speaker.resume()
            case PlaybackControl(action=PlaybackAction.STOP):
                self._speaker.stop()
            case StateChanged(state=TurnState.THINKING):
                self._talking = False  # push-to-talk may also have ended by itself

    def _tell(self, tick: Tick) -> None:
        """Hand the tick to every consumer. One that fails is let go; the next tick says so."""
        for consumer in tuple(self._consumers):
            try:
                consumer.on_tick(tick)
            except SessionError as error:
                self._consumers.remove(consumer)
                consumer.close()
                self.failures.append(str(error))
                self._news.append(Notice(tick.at + FRAME, "error", str(error)))
