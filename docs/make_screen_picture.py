"""Draw docs/screen.svg, a picture of the live screen, and write its sound, docs/screen.ogg.

``python docs/make_screen_picture.py`` draws a made-up conversation, and says so in the title;
``--session FOLDER [--at SECONDS]`` draws a recorded one at that time (default: its end), with the
sound of the whole beside it. Those in this folder are ``covo demo``'s, at 20 s: hibari's voice
answers Kokoro's, both Apache-2.0.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from audio_io.clock import ASSISTANT_FRAME, ASSISTANT_RATE, FRAME, USER_RATE  # noqa: E402
from audio_io.signal import NOTHING_PLAYED, Position  # noqa: E402
from covo_cli.conversation.consumer import Tick  # noqa: E402
from covo_cli.screen.keys import KeyState  # noqa: E402
from covo_cli.screen.panel import Panel  # noqa: E402
from covo_cli.screen.view import ConversationInfo, ConversationView, View  # noqa: E402
from covo_cli.screen.words import Glyphs  # noqa: E402
from covo_cli.sessions.audio import mixed, read_audio  # noqa: E402
from covo_cli.sessions.event_log import RecordedAudio, read_events  # noqa: E402
from covo_cli.sessions.info import read_info  # noqa: E402
from model.events import AssistantAudio, Event, ReplyStarted  # noqa: E402
from tests.fakes import screen_session as example  # noqa: E402


def screen_svg(view: View, *, title: str, width: int = 92, height: int = 20) -> str:
    """Return the screen at ``view`` in a window frame, with its last ``height`` lines."""
    console = Console(record=True, file=io.StringIO(), width=width, color_system="truecolor")
    panel = Panel(console, width, Glyphs())
    status = panel.lines(view, KeyState(), height)
    done = [line for entry in view.entries[: view.settled] for line in panel.entry(entry)]
    for line in [*done, *status][-height:]:
        console.print(line, no_wrap=True, highlight=False)
    return console.export_svg(title=title)


def session_info(folder: Path) -> ConversationInfo:
    """Return what the session was held with."""
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
    """Yield the session frame by frame.

    How far the speaker had got was not recorded; it is counted from a reply's first sound.
    """
    stereo = np.concatenate(list(read_audio(folder))).astype(np.float32) / 32_768
    user = soxr.resample(stereo[:, 0], ASSISTANT_RATE, USER_RATE)
    events = sorted((_played(event) for event in read_events(folder).events), key=lambda e: e.at)
    last, played = 0, NOTHING_PLAYED
    for frame in range(len(user) // FRAME):
        at = frame * FRAME
        count = last
        while count < len(events) and events[count].at < at + FRAME:
            count += 1
        heard = stereo[frame * ASSISTANT_FRAME : (frame + 1) * ASSISTANT_FRAME, 1]
        started = [e.reply for e in events[last:count] if isinstance(e, ReplyStarted)]
        played = Position(started[-1]) if started else played
        if played.samples or np.any(heard):
            played = Position(played.reply_id, played.samples + len(heard))
        yield Tick(at, user[at : at + FRAME], heard, tuple(events[last:count]), played=played)
        last = count


def write_sound(folder: Path, target: Path) -> None:
    """Write what was said in the session as Opus, both voices in one channel."""
    sound = np.concatenate(list(mixed(folder)))
    soundfile.write(target, sound, ASSISTANT_RATE, format="OGG", subtype="OPUS")


def _played(event: Event) -> Event:
    """Return the event that a record of sound was; the sound itself is in the recording."""
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
        write_sound(options.session, options.output.with_suffix(".ogg"))
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
