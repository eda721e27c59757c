"""What the live panel shows, at every width."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from covo_cli.process.text import clean, duration
from covo_cli.screen.keys import KeyState
from covo_cli.screen.panel import MOST_CHOICES, Panel
from covo_cli.screen.picker import VoicePicker
from covo_cli.screen.view import ConversationView, View
from covo_cli.screen.words import ASCII, Glyphs, clock, glyphs_for, latency_line
from covo_cli.sessions.transcript import TranscriptEntry, Who
from model.events import Notice, TurnLatency, TurnState
from tests import ROOT
from tests.fakes.screen_session import INFO, LATENCY, conversation, ticks
from tests.fakes.session_factory import record_session

WIDTHS = [20, 25, 30, 40, 59, 60, 80, 100, 160]


@cache
def at(second: float) -> View:
    """The example conversation at one moment."""
    view = ConversationView(INFO)
    for tick in ticks(conversation()):
        view.on_tick(tick)
        if tick.at >= second * 16_000:
            break
    return view.now


def entry(who: Who, text: str, unheard: str = "", **more: object) -> TranscriptEntry:
    return TranscriptEntry(who, 1, 1, 0, 0, text, unheard, **more)  # type: ignore[arg-type]


def drawn(
    view: View,
    width: int,
    keys: KeyState | None = None,
    height: int = 24,
    glyphs: Glyphs | None = None,
) -> list[str]:
    """The panel's lines as a recording console of this width shows them."""
    console = Console(record=True, file=io.StringIO(), width=width)
    panel = Panel(console, width, glyphs or Glyphs())
    done = [line for entry in view.entries[: view.settled] for line in panel.entry(entry)]
    lines = panel.lines(view, keys or KeyState(), height)
    assert len(lines) <= height
    for line in [*done, *lines]:
        assert line.cell_len <= width, line.plain
        console.print(line)
    shown = console.export_text().splitlines()
    assert len(shown) == len(done) + len(lines), "a line was wrapped"
    return shown


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_important_is_there_at_every_width(width: int) -> None:
    view = replace(at(13.0), latency=TurnLatency(0, 1, 1, 0.94, LATENCY))
    text = "\n".join(drawn(view, width))
    for word in ("◀ speaking", "REC", "in ", "out ", "0.94 s", "lite", "heart", "? help", "you"):
        assert word in text
    flat = " ".join(text.split())
    assert "What is the capital of Australia?" in flat
    assert "warning: the speaker fell behind" in flat


@pytest.mark.parametrize("state", list(TurnState))
@pytest.mark.parametrize("width", WIDTHS)
def test_every_state_is_told_in_words(state: TurnState, width: int) -> None:
    assert any(state.value in line for line in drawn(replace(at(0.5), state=state), width))


def test_wide_status_is_complete() -> None:
    text = "\n".join(drawn(at(13.0), 100))
    assert (
        "latency 0.94 s = wait 0.20 + recognize 0.31 + think 0.15 + speak 0.18 + decide 0.10"
        in text
    )
    assert "mic USB PnP Sound Device: Audio (hw:1,0)" in text
    assert "speaker Built-in Audio Analog Stereo" in text
    assert "● REC 00:13" in text
    assert "speaking  reply began" in text


def test_cut_off_is_marked_where_it_happened() -> None:
    text = " ".join(" ".join(drawn(at(30.0), 100)).split())
    assert "between Sydney ⟂ and Melbourne" in text
    assert "that the government held. (cut off: you spoke for 0.32 s)" in text


def test_styles_of_what_was_said() -> None:
    panel = Panel(Console(file=io.StringIO(), width=80), 80, Glyphs())

    def style_at(entry: TranscriptEntry, word: str) -> str:
        (line,) = panel.entry(entry)
        index = line.plain.index(word)
        return " ".join(
            str(span.style) for span in line.spans if span.start <= index < span.end and span.style
        )

    assert "dim" in style_at(entry(Who.USER, "maybe"), "maybe")
    assert style_at(entry(Who.USER, "surely", final=True), "surely") == ""
    hum = entry(Who.ASSISTANT, "Mm-hmm.", final=True, backchannel=True)
    assert style_at(hum, "(Mm-hmm.)") == "dim"
    console = Console(file=io.StringIO(), width=40)
    used = Panel(console, 40, Glyphs()).entry(entry(Who.TOOL, "lamp → it is on " * 9))
    assert [line.cell_len for line in used] == [40]
    speaking = entry(Who.ASSISTANT, "said", " unsaid")
    assert style_at(speaking, "said") == ""
    assert style_at(speaking, "unsaid") == "dim"
    assert "strike" in style_at(replace(speaking, cut_off="key", final=True), "unsaid")


def test_not_recording_and_muted_are_told() -> None:
    view = at(13.0)
    quiet = replace(view, info=replace(view.info, recording=""), muted=True)
    text = "\n".join(drawn(quiet, 60))
    assert "not recording" in text
    assert "REC" not in text
    assert "MUTED" in text


def test_device_warnings_are_named_once() -> None:
    text = "\n".join(drawn(replace(at(0.5), microphone="Microphone unplugged", speaker="slow"), 60))
    assert "! Microphone unplugged" in text
    assert "! speaker: slow" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_the_voices_to_choose_from_fit_around_the_chosen_one(width: int) -> None:
    names = tuple(f"voice-{number}" for number in range(30))
    view = replace(at(13.0), warning=None)
    voices = dict.fromkeys(names, "woman, 200 Hz, [b]2.8 kHz")
    view = replace(view, voice="voice-9", info=replace(view.info, voices=voices))
    for height in (5, 12, 24, 40):
        shown = drawn(view, width, KeyState(picker=VoicePicker(names, at=11)), height=height)
        rows = [line for line in shown if "voice-" in line and "speaker" not in line]
        assert any(line.startswith("   voice-11") for line in rows)
        assert len(rows) <= MOST_CHOICES + 1
    assert any(line.startswith("●  voice-9") for line in rows)
    assert "voice:" in shown[-1]
    if width >= 60:
        assert "woman, 200 Hz, [b]2.8 kHz" in rows[-2]
        assert "↑ ↓ choose  Enter use  Esc cancel" in shown[-1]
    picker = VoicePicker(names, letters="xyz")
    assert "no voice has 'xyz'"[:width] in "\n".join(drawn(view, width, KeyState(picker=picker)))


@pytest.mark.parametrize("width", WIDTHS)
def test_help_and_prompt_fit(width: int) -> None:
    text = "\n".join(drawn(at(13.0), width, KeyState(help=True)))
    assert "push-to-talk"[: width - 8] in text
    long = "wide 你好 and very long " * 8
    line = drawn(at(13.0), width, KeyState(typing=True, text=long, cursor=cell_len(long)))[-1]
    assert "very long" in line


@pytest.mark.parametrize("width", range(1, 9))
def test_the_narrowest_windows_hold_a_prompt(width: int) -> None:
    for keys in (KeyState(typing=True, text="abc", cursor=3), KeyState(help=True), KeyState()):
        assert drawn(at(13.0), width, keys)


def test_the_cursor_of_a_long_line_stays_visible() -> None:
    console = Console(file=io.StringIO(), width=20)
    panel = Panel(console, 20, Glyphs())
    text = "abcdefghijklmnopqrstuvwxyz"
    for cursor in range(len(text) + 1):
        keys = KeyState(typing=True, text=text, cursor=cursor)
        line = panel.lines(at(0.1), keys, 10)[-1]
        (mark,) = [span for span in line.spans if span.style == "reverse"]
        assert line.plain[mark.start : mark.end] == (text[cursor : cursor + 1] or " ")


@pytest.mark.parametrize("height", range(1, 12))
def test_low_terminals_keep_the_state_longest(height: int) -> None:
    lines = drawn(at(4.5), 60, height=height)
    assert any("speaking" in line for line in lines)
    prompt = drawn(at(4.5), 60, KeyState(typing=True, text="abc", cursor=3), height=max(2, height))
    assert any("abc" in line for line in prompt)


def test_what_does_not_fit_goes_at_the_top() -> None:
    lines = drawn(at(14.2), 40, height=10)
    assert not any("Tell me" in line for line in lines)
    assert any("won a competition" in line for line in lines)


def test_a_window_that_gets_half_as_wide_holds_the_old_panel() -> None:
    talk = replace(at(3.0), entries=(entry(Who.ASSISTANT, "word " * 400),), settled=0)
    for height in (24, 40, 60):
        assert len(drawn(talk, width=100, height=height - 1)) * 2 <= height + 1


def test_ascii_terminals_get_ascii() -> None:
    text = "\n".join(drawn(at(30.0), 60, glyphs=glyphs_for("ascii")))
    assert text.isascii()
    assert "| and" in " ".join(text.split())
    assert glyphs_for("ANSI_X3.4-1968") is ASCII
    assert glyphs_for("UTF-8").unicode


@settings(max_examples=100, deadline=None)
@given(
    width=st.integers(1, 120),
    height=st.integers(1, 40),
    words=st.text(max_size=200),
    more=st.text(max_size=200),
    keys=st.builds(
        KeyState, st.booleans(), st.text(max_size=40), st.integers(0, 60), st.booleans()
    ),
    state=st.sampled_from(TurnState),
    level=st.floats(-96, 6),
)
def test_nothing_that_is_said_breaks_the_panel(
    width: int, height: int, words: str, more: str, keys: KeyState, state: TurnState, level: float
) -> None:
    entries = (
        entry(Who.USER, words),
        entry(Who.ASSISTANT, more, words, cut_off=words),
        entry(Who.ASSISTANT, words, more),
    )
    info = replace(INFO, microphone=words, speaker=more)
    view = View(
        info, more, 99, state, words, entries, warning=Notice(0, "error", words),
        input_level=level, output_level=-level, microphone=more,
    )  # fmt: skip
    console = Console(file=io.StringIO(), width=width)
    lines = Panel(console, width, Glyphs()).lines(view, keys, height)
    assert len(lines) <= height
    for line in lines:
        assert line.cell_len <= width
        assert "\x1b" not in line.plain
        assert "\n" not in line.plain


def test_words() -> None:
    assert clean("a\x1b[31m\r\nb\x00 \t\x9bc") == "a [31m b c"
    assert clock(16_000 * 62 + 4800) == "01:02.3"
    assert clock(16_000 * 60 - 100) == "01:00.0"
    assert duration(42.9) == "00:42"
    assert duration(3642) == "1:00:42"


def test_latency_line_drops_the_shortest_parts() -> None:
    latency = TurnLatency(0, 1, 1, 0.94, LATENCY)
    full = "0.94 s = wait 0.20 + recognize 0.31 + think 0.15 + speak 0.18 + decide 0.10"
    assert latency_line(latency) == full
    assert latency_line(latency, 72) == full.replace(" = ", ": ").replace(" + ", ", ")
    assert latency_line(latency, 40) == "0.94 s: wait 0.20, recognize 0.31, ..."
    assert latency_line(latency, 10) == "0.94 s"
    for width in range(6, 90):
        assert len(latency_line(latency, width)) <= width
    assert latency_line(TurnLatency(0, 1, 1, 0.4, {})) == "0.40 s"


def test_picture_and_its_sound(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("picture", ROOT / "docs/make_screen_picture.py")
    assert spec is not None
    assert spec.loader is not None
    picture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(picture)
    svg = picture.screen_svg(at(19.0), title="an example", width=92)
    assert svg.startswith("<svg")
    assert "an&#160;example" in svg
    assert "Canberra" in svg
    assert "line-through" in svg
    picture.write_sound(record_session(tmp_path), tmp_path / "screen.ogg")
    sound = soundfile.info(tmp_path / "screen.ogg")
    assert (sound.subtype, sound.channels, sound.duration) == ("OPUS", 1, 8.0)
