"""Makes docs/screen.svg: what the live screen looks like.

``python docs/make_screen_picture.py`` draws a made-up conversation and says so in the picture's
title; ``--session FOLDER [--at SECONDS]`` draws a recorded one at that time of it (its end).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from audio_io.clock import ASSISTANT_FRAME, ASSISTANT_RATE, FRAME, USER_RATE  # noqa: E402
from covo_cli.conversation.consumer import Tick  # noqa: E402
from covo_cli.screen.picture import screen_svg  # noqa: E402
from covo_cli.screen.view import ConversationInfo, ConversationView  # noqa: E402
from covo_cli.sessions.audio import read_audio  # noqa: E402
from covo_cli.sessions.event_log import RecordedAudio, read_events  # noqa: E402
from covo_cli.sessions.info import read_info  # noqa: E402
from model.events import AssistantAudio, Event  # noqa: E402
from tests.fakes import screen_session as example  # noqa: E402


def session_info(folder: Path) -> ConversationInfo:
    """What the session was held with."""
    info, _ = read_info(folder)
    engine = info.engine
    return ConversationInfo(
        engine=str(engine.get("name", "")),
        voice=str(engine.get("voice", "")),
        microphone=info.input_device,
        speaker=info.output_device,
        recording=folder.name,
    )


def session_ticks(folder: Path) -> Iterator[Tick]:
    """The session frame by frame, as it was."""
    stereo = np.concatenate(list(read_audio(folder))).astype(np.float32) / 32_768
    user = soxr.resample(stereo[:, 0], ASSISTANT_RATE, USER_RATE)
    events = sorted((_played(event) for event in read_events(folder).events), key=lambda e: e.at)
    last = 0
    for frame in range(len(user) // FRAME):
        at = frame * FRAME
        count = last
        while count < len(events) and events[count].at < at + FRAME:
            count += 1
        heard = stereo[frame * ASSISTANT_FRAME : (frame + 1) * ASSISTANT_FRAME, 1]
        yield Tick(at, user[at : at + FRAME], heard, tuple(events[last:count]))
        last = count


def _played(event: Event) -> Event:
    """The record of a sound, as the event it was: the sound itself is in the other channel."""
    if isinstance(event, RecordedAudio):
        silence = np.zeros(event.samples, np.float32)
        return AssistantAudio(event.at, event.reply, silence, event.text)
    return event


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--session", type=Path, help="a recorded session's folder")
    parser.add_argument("--at", type=float, help="when, in seconds from the beginning")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "screen.svg")
    options = parser.parse_args()
    if options.session:
        view = ConversationView(session_info(options.session))
        ticks, title = session_ticks(options.session), "covo chat"
    else:
        view = ConversationView(example.INFO)
        ticks = example.ticks(example.conversation())
        title = "covo chat (an example: words and figures are made up)"
        options.at = options.at or 19.0
    for tick in ticks:
        view.on_tick(tick)
        if options.at is not None and tick.at >= options.at * USER_RATE:
            break
    options.output.write_text(screen_svg(view.now, title=title), encoding="utf-8")


if __name__ == "__main__":
    main()
