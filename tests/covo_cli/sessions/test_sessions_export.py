"""Exports, judged by reading them with other programs, and replays on a virtual clock."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pysubs2
import pytest
import soundfile

from audio_io.clock import ASSISTANT_FRAME, samples
from audio_io.ends import DeviceStatus
from audio_io.playout import Playout
from audio_io.signal import Audio, Position
from covo_cli.errors import SessionError
from covo_cli.sessions.export import export_file, export_text
from covo_cli.sessions.files import ExportFormat
from covo_cli.sessions.replay import AHEAD_S, play_in_time, print_in_time
from covo_cli.sessions.store import Session, SessionStore
from covo_cli.sessions.transcript import TranscriptEntry, Who
from tests.fakes.session_factory import ANSWER, HEARD, QUESTION, SECONDS, UNHEARD, record_session

SAID = [
    (500, 2_000, f"You: {QUESTION}"),
    (2_500, 4_000, f"Covo: {ANSWER}"),
    (4_500, 6_000, "You: And koalas?"),
    (5_500, 7_000, f"Covo: {HEARD} —"),
]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    root = tmp_path_factory.mktemp("sessions")
    record_session(root)
    return SessionStore(root).open("last")


def user_entry(start: float, end: float, text: str) -> TranscriptEntry:
    return TranscriptEntry(Who.USER, 0, 0, samples(start), samples(end), text, final=True)


def with_turns(session: Session, *turns: TranscriptEntry) -> Session:
    changed = replace(session)
    changed.__dict__["transcript"] = turns  # the place of the cached property
    return changed


@pytest.mark.parametrize("kind", [ExportFormat.SRT, ExportFormat.VTT])
def test_subtitles_read_back(session: Session, kind: ExportFormat) -> None:
    text = export_text(session, kind)
    read = pysubs2.SSAFile.from_string(text)
    assert read.format == kind.value
    assert [(line.start, line.end, line.plaintext) for line in read] == SAID


def test_subtitles_keep_what_looks_like_markup(session: Session) -> None:
    turn = user_entry(0.0, 2.0, "{a} --> b\n\n<i>c</i> \\N & \x1b[31md")
    srt = export_text(with_turns(session, turn), ExportFormat.SRT)
    assert srt.splitlines()[1:3] == [
        "00:00:00,000 --> 00:00:02,000",
        "You: {a} → b <i>c</i> \\\u2060N & [31md",
    ]
    vtt = export_text(with_turns(session, turn), ExportFormat.VTT)
    assert "You: {a} → b &lt;i&gt;c&lt;/i&gt; \\\u2060N &amp; [31md" in vtt.splitlines()


def test_a_backchannel_is_in_parentheses_and_marked_in_json(session: Session) -> None:
    hum = replace(user_entry(1.0, 1.5, "Mm-hmm."), who=Who.ASSISTANT, number=-2, backchannel=True)
    hummed = with_turns(session, user_entry(0.0, 3.0, "a story"), hum)
    assert "**00:01 Covo:** (Mm-hmm.)" in export_text(hummed, ExportFormat.MARKDOWN).splitlines()
    assert "Covo: (Mm-hmm.)" in export_text(hummed, ExportFormat.SRT).splitlines()
    utterances = json.loads(export_text(hummed, ExportFormat.JSON))["utterances"]
    marks = [(said["text"], said["backchannel"]) for said in utterances]
    assert marks == [("a story", False), ("Mm-hmm.", True)]


def test_the_use_of_a_tool_is_no_subtitle(session: Session) -> None:
    use = replace(user_entry(1.0, 1.0, "lamp → on"), who=Who.TOOL)
    used = with_turns(session, user_entry(0.0, 3.0, "Lamp on"), use)
    assert "**00:01 Tool:** lamp → on" in export_text(used, ExportFormat.MARKDOWN).splitlines()
    assert "lamp →" not in export_text(used, ExportFormat.SRT)
    assert json.loads(export_text(used, ExportFormat.JSON))["utterances"][1]["speaker"] == "tool"


def test_markdown(session: Session) -> None:
    text = export_text(session, ExportFormat.MARKDOWN)
    assert text == (session.folder / "transcript.md").read_text()
    spoken = re.findall(r"^\*\*(\d\d:\d\d) (\w+):\*\* (.*)$", text, re.MULTILINE)
    assert spoken == [
        ("00:00", "You", QUESTION),
        ("00:02", "Covo", ANSWER),
        ("00:04", "You", "And koalas?"),
        ("00:05", "Covo", f"{HEARD} ~~{UNHEARD}~~ *(cut off)*"),
    ]
    assert "# Conversation of 2026-11-23 21:04:51" in text
    assert "- Voice: heart, echo" in text
    assert "- Ended: quit by the user" in text
    turn = user_entry(3_723.0, 3_724.0, "*a* [b](c)\n# <d>")
    assert r"**1:02:03 You:** \*a\* \[b\](c) \# \<d\>" in export_text(
        with_turns(session, turn), ExportFormat.MARKDOWN
    )


def test_json(session: Session) -> None:
    record = json.loads(export_text(session, ExportFormat.JSON))
    assert record["name"] == session.name
    assert record["state"] == "complete"
    assert record["seconds"] == SECONDS
    assert record["session"]["engine"]["name"] == "lite"
    assert len(record["events"]) == len(session.events)
    assert record["events"][5]["samples"] == 14_400
    assert [turn["text"] for turn in record["utterances"]][:2] == [QUESTION, ANSWER]
    assert record["utterances"][1]["latency"] == {
        "total": 0.8,
        "parts": {"endpoint": 0.4, "recognition": 0.3, "speech": 0.1},
    }
    assert record["utterances"][3]["cut_off"] == UNHEARD


def test_wav_holds_both_voices(session: Session, tmp_path: Path) -> None:
    target = tmp_path / "mix.wav"
    export_file(session, ExportFormat.WAV, target)
    sound, rate = soundfile.read(target)
    assert (rate, sound.shape) == (24_000, (round(SECONDS * 24_000),))
    spectrum = np.abs(np.fft.rfft(sound)) / (len(sound) / 2)
    at = {frequency: spectrum[round(frequency * SECONDS)] for frequency in (300, 400, 500)}
    assert at[300] == pytest.approx(0.5, abs=0.03)
    assert at[500] == pytest.approx(0.5, abs=0.03)
    assert at[400] < 0.01


@pytest.mark.parametrize("kind", list(ExportFormat))
def test_a_file_is_never_replaced_unasked(
    session: Session, tmp_path: Path, kind: ExportFormat
) -> None:
    target = tmp_path / "mine"
    target.write_text("precious")
    with pytest.raises(SessionError, match=r"exists already.*--force"):
        export_file(session, kind, target)
    assert target.read_text() == "precious"
    export_file(session, kind, target, overwrite=True)
    assert target.read_bytes() != b"precious"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_cannot_be_written_is_a_clear_error(session: Session, tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="is a folder"):
        export_file(session, ExportFormat.SRT, tmp_path)
    for kind in (ExportFormat.SRT, ExportFormat.WAV):
        with pytest.raises(SessionError, match="cannot write"):
            export_file(session, kind, tmp_path / "none" / "x")
    assert list(tmp_path.iterdir()) == []


def test_damaged_sound_leaves_no_half_a_file(session: Session, tmp_path: Path) -> None:
    (tmp_path / "audio.flac").write_bytes((session.folder / "audio.flac").read_bytes()[:30_000])
    target = tmp_path / "mix.wav"
    with pytest.raises(SessionError, match="cannot be read"):
        export_file(replace(session, folder=tmp_path), ExportFormat.WAV, target)
    assert [path.name for path in tmp_path.iterdir()] == ["audio.flac"]


class VirtualTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.time = 100.0

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def virtual(monkeypatch: pytest.MonkeyPatch) -> VirtualTime:
    """The time of the replay."""
    monkeypatch.setattr("covo_cli.sessions.replay.time", virtual := VirtualTime())
    return virtual


@pytest.mark.parametrize(
    ("start", "speed", "times"),
    [(0.0, 1.0, [0.5, 2.5, 4.5, 5.5]), (0.0, 4.0, [0.125, 0.625, 1.125, 1.375])],
)
def test_printing_keeps_time(
    session: Session, virtual: VirtualTime, start: float, speed: float, times: list[float]
) -> None:
    seen: list[float] = []

    def show(_: TranscriptEntry) -> None:
        seen.append(virtual.time - 100.0)
        virtual.sleep(0.01)  # a slow terminal delays nothing after it

    print_in_time(session.transcript, show, start=start, speed=speed)
    assert seen == pytest.approx(times)


def test_printing_from_the_middle(session: Session, virtual: VirtualTime) -> None:
    seen: list[tuple[str, float]] = []
    print_in_time(
        session.transcript,
        lambda turn: seen.append((turn.text, round(virtual.time - 100.0, 6))),
        start=3.0,
    )
    assert seen == [(ANSWER, 0.0), ("And koalas?", 1.5), (HEARD, 2.5)]


class FakeSpeaker:
    """A speaker on a virtual clock that plays one frame per tick, until it is unplugged."""

    def __init__(self, unplugged_after: int = 10**9) -> None:
        self.playout = Playout()
        self.heard: list[Audio] = []
        self.most_queued = 0
        self._left = unplugged_after

    def play(self, reply: int, samples: Audio) -> None:
        self.playout.play(reply, samples)
        self.most_queued = max(self.most_queued, self.playout.queued)

    def tick(self) -> Audio:
        self._left -= 1
        if self._left >= 0:
            self.heard.append(self.playout.render(ASSISTANT_FRAME))
        return np.zeros(ASSISTANT_FRAME, np.float32)

    @property
    def played(self) -> Position:
        return self.playout.played

    @property
    def status(self) -> DeviceStatus:
        return DeviceStatus("fake", message="it is gone" if self._left < 0 else "")


def mono(seconds: float) -> Iterator[np.ndarray]:
    sound = (np.arange(round(seconds * 24_000)) % 1_000).astype(np.int16)
    yield from np.array_split(sound, 3)


@pytest.mark.parametrize("start", [0.0, 3.0])
def test_playing_is_whole_in_step_with_the_lines_and_little_ahead(
    session: Session, virtual: VirtualTime, start: float
) -> None:
    speaker = FakeSpeaker()
    seen: list[tuple[str, float]] = []
    play_in_time(
        session.transcript,
        lambda turn: seen.append((turn.text, virtual.time - 100.0)),
        mono(SECONDS),
        speaker,
        start=start,
    )
    heard = np.concatenate(speaker.heard) * 32_768
    expected = np.concatenate(list(mono(SECONDS)))[round(start * 24_000) :]
    assert np.array_equal(heard[: len(expected)], expected)
    assert speaker.most_queued <= (AHEAD_S + 1.0) * 24_000
    times = {text: max(0.0, turn - start) for text, turn in ((HEARD, 5.5), ("And koalas?", 4.5))}
    for text, due in times.items():
        assert dict(seen)[text] == pytest.approx(due, abs=0.021)
    assert virtual.time - 100.0 == pytest.approx(SECONDS - start, abs=0.05)


def test_a_speaker_that_stops_playing_is_an_error(session: Session, virtual: VirtualTime) -> None:
    speaker = FakeSpeaker(unplugged_after=50)
    told: list[str] = []
    with pytest.raises(SessionError, match="stopped playing"):
        play_in_time(
            session.transcript,
            lambda _: None,
            mono(8.0),
            speaker,
            warn=told.append,
        )
    assert told == ["it is gone"]
    assert virtual.time - 101.0 == pytest.approx(5.0, abs=0.05)
