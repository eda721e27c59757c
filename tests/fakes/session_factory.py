"""A small realistic conversation, made of events and tones, for the tests of sessions.

``python -m tests.fakes.session_factory ROOT SECONDS real|fast [--die-in FUNCTION]`` records it in a
process that the tests kill. It prints the session's folder, then after every tick how many the
recorder had taken and how many of them it had written.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np

from audio_io.clock import ASSISTANT_FRAME, ASSISTANT_RATE, FRAME, USER_RATE, samples
from covo_cli.conversation.consumer import Tick
from covo_cli.sessions import finish as finishing
from covo_cli.sessions.recorder import SessionMeta, SessionRecorder
from model.engine import EngineInfo
from model.events import (
    AssistantAudio,
    AssistantText,
    Event,
    Interrupted,
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

STARTED = datetime(2026, 11, 23, 21, 4, 51).astimezone()
SECONDS = 8.0

ENGINE = EngineInfo(
    name="lite",
    description="a cascade of small models",
    voice="heart",
    device="cpu",
    parts={"recognizer": "whisper base", "chat": "smollm2", "voice": "hibari"},
)
META = SessionMeta(ENGINE, "USB mic", "Headphones", {"turns": {"silence": 0.7}})

QUESTION = "What is the capital of Australia?"
ANSWER = "Canberra. It is a planned city."
HEARD, UNHEARD = "A koala sleeps", "up to twenty hours a day."


def conversation_events() -> list[Event]:
    """Two turns in 8 s: one answered to its end, one whose answer is cut off after 1 s."""

    def at(time: float) -> int:
        return samples(time, USER_RATE)

    def sound(time: float) -> np.ndarray:
        return np.full(samples(time, ASSISTANT_RATE), 0.1, np.float32)

    return [
        StateChanged(at(0.5), TurnState.USER_SPEAKING, "speech"),
        UserTranscript(at(1.0), 0, "What is", False, at(0.5), at(1.0)),
        UserTranscript(at(2.0), 0, QUESTION, True, at(0.5), at(1.7)),
        ReplyStarted(at(2.4), 0, 0),
        AssistantText(at(2.4), 0, "Canberra. "),
        AssistantAudio(at(2.5), 0, sound(0.6), "Canberra."),
        TurnLatency(at(2.5), 0, 0, 0.8, {"endpoint": 0.4, "recognition": 0.3, "speech": 0.1}),
        AssistantText(at(2.6), 0, "It is a planned city."),
        AssistantAudio(at(2.7), 0, sound(0.9), "It is a planned city."),
        ReplyAudioEnded(at(2.7), 0, samples(1.5, ASSISTANT_RATE)),
        ReplyFinished(at(4.0), 0, ANSWER),
        VoiceChanged(at(4.1), "echo"),
        UserTranscript(at(5.2), 1, "And koalas?", True, at(4.5), at(5.0)),
        ReplyStarted(at(5.5), 1, 1),
        AssistantText(at(5.5), 1, f"{HEARD} {UNHEARD}"),
        AssistantAudio(at(5.5), 1, sound(2.5), f"{HEARD} {UNHEARD}"),
        PlaybackControl(at(6.5), 1, PlaybackAction.STOP, "the user speaks"),
        Interrupted(
            at(6.5), 1, samples(1.0, ASSISTANT_RATE), HEARD, UNHEARD, "interrupted by the user"
        ),
    ]


def tone(at: int, length: int, rate: int, frequency: float) -> np.ndarray:
    """``length`` samples of a sine at half level from sample ``at`` on."""
    time = np.arange(at, at + length) / rate
    return (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def conversation_ticks(seconds: float = SECONDS) -> Iterator[Tick]:
    """The conversation tick by tick: 300 Hz on the user's side, 500 Hz on the assistant's."""
    waiting = conversation_events()
    for n in range(round(seconds * USER_RATE / FRAME)):
        start = n * FRAME
        due = [event for event in waiting if event.at < start + FRAME]
        waiting = waiting[len(due) :]
        yield Tick(
            at=start,
            user=tone(start, FRAME, USER_RATE, 300.0),
            assistant=tone(n * ASSISTANT_FRAME, ASSISTANT_FRAME, ASSISTANT_RATE, 500.0),
            events=tuple(due),
        )


def wait_until_written(recorder: SessionRecorder) -> None:
    """Wait until the recorder's thread has taken in every tick."""
    end = time.monotonic() + 30
    while recorder.waiting:
        assert time.monotonic() < end
        time.sleep(0.001)


def record_session(
    root: Path, *, started: datetime = STARTED, seconds: float = SECONDS, finish: bool = True
) -> Path:
    """Record the conversation into a new folder of ``root``; return it.

    Not ``finish``: what lies on the disk before it is closed, locked by nobody, as after a kill.
    """
    recorder = SessionRecorder(root if finish else root / ".live", META, started=started)
    for tick in conversation_ticks(seconds):
        recorder.on_tick(tick)
    wait_until_written(recorder)
    if not finish:
        folder = root / recorder.folder.name
        shutil.copytree(recorder.folder, folder)
        recorder.close()
        shutil.rmtree(root / ".live")
        return folder
    recorder.close("quit by the user")
    return recorder.folder


def main() -> None:
    """Record in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("pace", choices=("real", "fast"))
    parser.add_argument("--die-in")
    options = parser.parse_args()
    if options.die_in:
        setattr(finishing, options.die_in, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    recorder = SessionRecorder(options.root, META, started=STARTED)
    tell(recorder.folder)
    began = time.monotonic()
    for n, tick in enumerate(conversation_ticks(options.seconds), 1):
        if options.pace == "real":
            time.sleep(max(0.0, began + n * 0.02 - time.monotonic()))
        recorder.on_tick(tick)
        tell(f"{n} {n - recorder.waiting}")
    recorder.close()


def tell(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
