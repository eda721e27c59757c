"""A scripted conversation for the screen's tests, as ticks, and a program that plays it.

``python -m tests.fakes.screen_session [live|lines|json] [pace]`` shows it; ``pace`` 1 is real time.
It fails after COVO_FAKE_FAILURE seconds.
No figure in it was measured.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event as Flag

import numpy as np

from audio_io.clock import ASSISTANT_FRAME, ASSISTANT_RATE, FRAME, USER_RATE, samples
from audio_io.signal import NOTHING_PLAYED, Position
from covo_cli.conversation.consumer import Tick
from covo_cli.screen import choose_mode, make_screen
from covo_cli.screen.view import ConversationInfo
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
    UserTranscript,
    VoiceChanged,
)

INFO = ConversationInfo(
    engine="lite",
    voice="heart",
    microphone="USB PnP Sound Device: Audio (hw:1,0)",
    speaker="Built-in Audio Analog Stereo",
    recording="/home/ada/.local/share/covo/sessions/2026-11-23_14-05-09",
    voices={"heart": "woman, 197 Hz, 2.8 kHz, 12.3/s", "nova": "", "ryan": "man"},
)
LATENCY = {
    "wait": 0.20,
    "recognize": 0.31,
    "think": 0.15,
    "speak": 0.18,
    "decide": 0.10,
    "play": 0.0,
}


class Script:
    """Collects the events of a conversation, each with its time."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.loud: list[tuple[float, float, str]] = []
        self.now = 0.0

    def add(self, kind: type[Event], *args: object) -> None:
        self.events.append(kind(samples(self.now), *args))

    def ask(self, turn: int, text: str, pace: float = 0.3) -> None:
        self.add(StateChanged, TurnState.USER_SPEAKING, "speech began")
        words, start = text.split(), self.now
        self.loud.append((start, start + pace * len(words), "user"))
        for count in range(1, len(words) + 1):
            self.now += pace
            span = (samples(start), samples(self.now))
            self.add(UserTranscript, turn, " ".join(words[:count]), count == len(words), *span)
        self.add(StateChanged, TurnState.THINKING, "silence of 0.70 s")
        self.now += 0.5

    def answer(
        self, reply: int, text: str, cut_after: float = 0.0, voice_rate: float = 0.3
    ) -> None:
        self.add(ReplyStarted, reply, reply)
        self.add(StateChanged, TurnState.SPEAKING, "reply began")
        self.add(TurnLatency, reply, reply, 0.94, LATENCY)
        words, start, sent = text.split(), self.now, 0
        for index, word in enumerate(words):
            self.add(AssistantText, reply, word if index == 0 else f" {word}")
            size = samples(voice_rate, ASSISTANT_RATE)
            self.add(AssistantAudio, reply, np.full(size, 0.3, np.float32), f"{word} ")
            sent += size
            self.now += voice_rate / 3
        end = start + (cut_after or voice_rate * len(words))
        self.loud.append((start, end, "assistant"))
        self.now = end
        if cut_after:
            heard = round(cut_after / voice_rate)
            self.add(PlaybackControl, reply, PlaybackAction.STOP, "you spoke for 0.32 s")
            self.add(StateChanged, TurnState.INTERRUPTED, "you spoke for 0.32 s")
            split = (" ".join(words[:heard]), " " + " ".join(words[heard:]))
            played = samples(cut_after, ASSISTANT_RATE)
            self.add(Interrupted, reply, played, *split, "you spoke for 0.32 s")
            return
        self.add(ReplyAudioEnded, reply, sent)
        self.add(ReplyFinished, reply, text)
        self.add(StateChanged, TurnState.LISTENING, "reply ended")


def conversation() -> Script:
    """Three turns: one answered, one cut off, one answered at length; a warning in between."""
    script = Script()
    script.add(StateChanged, TurnState.LISTENING, "ready")
    script.now = 1.0
    script.ask(1, "What is the capital of Australia?")
    script.answer(1, "The capital of Australia is Canberra, and not Sydney, as many believe.")
    script.now += 0.8
    script.add(Notice, "warning", "the speaker fell behind by 40 ms: another program is busy")
    script.ask(2, "Tell me something about the history of the place, would you?")
    script.answer(
        2,
        "Canberra was founded in 1913 as a compromise between Sydney and Melbourne, and Walter "
        "Burley Griffin drew its plan after he had won a competition that the government held.",
        cut_after=3.0,
    )
    script.ask(3, "Stop, stop. Is it warm there in July?")
    script.add(VoiceChanged, "nova")
    script.answer(3, "No. July is the middle of winter in Canberra: about 12 degrees at noon.")
    script.now += 1.0
    return script


def ticks(script: Script) -> Iterator[Tick]:
    """The conversation frame by frame, with sound where somebody speaks."""
    noise = np.random.default_rng(1)
    events = sorted(script.events, key=lambda event: event.at)
    last = 0
    for frame in range(int(script.now / 0.02) + 1):
        at = frame * FRAME
        loud = {who for begin, end, who in script.loud if begin <= at / 16_000 < end}
        user, assistant = (
            np.float32(noise.uniform(0.05, 0.5) if who in loud else 0.0)
            for who in ("user", "assistant")
        )
        count = sum(event.at < at + FRAME for event in events)
        yield Tick(
            at,
            noise.uniform(-1, 1, FRAME).astype(np.float32) * (user + np.float32(0.002)),
            noise.uniform(-1, 1, ASSISTANT_FRAME).astype(np.float32) * assistant,
            tuple(events[last:count]),
            played=_position(script, at),
        )
        last = count


def _position(script: Script, at: int) -> Position:
    """How far the speaker has got: reply n is the n-th time that the assistant is loud."""
    position = NOTHING_PLAYED
    spoken = [(begin, end) for begin, end, who in script.loud if who == "assistant"]
    for reply, (begin, end) in enumerate(spoken, 1):
        if at >= samples(begin):
            played = min(at + FRAME, samples(end)) - samples(begin)
            position = Position(reply, played * ASSISTANT_RATE // USER_RATE)
    return position


def main(mode: str, pace: float) -> None:
    """Play it on a screen (auto: the one that fits), with the keyboard, until it ends or the user
    quits."""
    from covo_cli.conversation.request import Quit, Request
    from covo_cli.screen.job_control import job_control
    from covo_cli.screen.keyboard import Keyboard
    from covo_cli.screen.keys import KeyMachine

    done = Flag()

    def act(action: Request) -> None:
        if isinstance(action, Quit):
            done.set()

    failure = float(os.environ.get("COVO_FAKE_FAILURE", "inf"))
    chosen = choose_mode() if mode == "auto" else mode
    machine = KeyMachine(tuple(INFO.voices), "heart")
    with ExitStack() as stack:
        screen = make_screen(chosen, INFO, lambda: machine.state, real_time=pace > 0)
        keyboard = Keyboard(machine, act)
        for part in (job_control(keyboard, screen), screen, keyboard):
            stack.enter_context(part)
        due = time.monotonic()
        for tick in ticks(conversation()):
            screen.on_tick(tick)
            if tick.at >= failure * USER_RATE:
                raise RuntimeError("as asked")
            due += 0.02 * pace
            if done.wait(max(0.0, due - time.monotonic())):
                break


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else "auto",
        float(sys.argv[2]) if len(sys.argv) > 2 else 1.0,
    )
