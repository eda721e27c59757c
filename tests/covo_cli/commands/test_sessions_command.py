"""``covo sessions`` as its users call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from audio_io.clock import ASSISTANT_FRAME
from audio_io.ends import DeviceStatus
from audio_io.errors import DeviceError
from audio_io.playout import Playout
from audio_io.signal import Audio, Position
from covo_cli.app import app
from covo_cli.errors import SessionError
from covo_cli.sessions import replay
from covo_cli.sessions.recorder import SessionRecorder
from tests.fakes.session_factory import (
    ANSWER,
    HEARD,
    META,
    QUESTION,
    STARTED,
    UNHEARD,
    record_session,
)

NAME = "2026-11-23_21-04-51"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of its own, for this process and its children."""
    for name in list(os.environ):
        if name.startswith("COVO_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "data" / "sessions"


def covo(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, ["sessions", *arguments], input=typed)


def said(*arguments: str) -> str:
    """What the command prints; it must succeed."""
    result = covo(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: str) -> str:
    """The message of the command's error, which must be one for the user."""
    result = covo(*arguments)
    assert result.exit_code != 0
    assert isinstance(result.exception, SessionError | DeviceError), result.exception
    return str(result.exception)


def in_process(*arguments: str, piped_to: str = "cat") -> subprocess.CompletedProcess[str]:
    command = f'"{sys.executable}" -m covo_cli sessions {" ".join(arguments)} | {piped_to}'
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )


def test_list(root: Path) -> None:
    assert "No sessions" in said("list")
    assert json.loads(said("list", "--json")) == []
    record_session(root)
    record_session(root, started=STARTED + timedelta(hours=1), finish=False)
    header, _, newer, older = [line for line in said("list").splitlines() if line.strip()]
    assert header.split() == ["Name", "When", "Length", "Turns", "Engine", "Voice", "State"]
    assert newer.startswith("2026-11-23_22-04-51")
    assert "unfinished: 8.0 s to recover" in newer
    assert older.split()[0] == NAME
    assert older.split()[-6:] == ["00:08", "2", "lite", "heart,", "echo", "complete"]
    records = json.loads(said("list", "--json"))
    assert [record["state"] for record in records] == ["unfinished", "complete"]
    assert records[1]["seconds"] == 8.0
    assert records[1]["voices"] == ["heart", "echo"]


def test_list_on_a_narrow_terminal_keeps_what_matters(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_session(root)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "60")
    lines = [line for line in said("list").splitlines() if NAME in line]
    assert [line.split() for line in lines] == [[NAME, "00:08", "2", "complete"]]


def test_the_folder_of_the_settings_is_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_session(root.parent / "elsewhere")
    monkeypatch.setenv("COVO_SESSION_DIR", str(root.parent / "elsewhere"))
    assert NAME in said("list")


def test_show(root: Path) -> None:
    record_session(root)
    text = said("show", "last")
    lines = [line.rstrip() for line in text.splitlines()]
    assert f"session       {NAME} (complete)" in lines
    assert "microphone    USB mic" in lines
    assert "  recognizer  whisper base" in lines
    assert lines[-5:] == [
        f"00:00  You   {QUESTION}",
        f"00:02  Covo  {ANSWER}",
        "             after 0.80 s (endpoint 0.40, recognition 0.30, speech 0.10)",
        "00:04  You   And koalas?",
        f"00:05  Covo  {HEARD} [cut off: {UNHEARD}]",
    ]
    record = json.loads(said("show", NAME, "--json"))
    assert record["utterances"][3]["cut_off"] == UNHEARD
    assert "events" not in record


def test_show_recovers_a_killed_session(root: Path) -> None:
    folder = record_session(root, finish=False)
    assert "(unfinished: recovered 8.0 s)" in said("show", "last")
    assert (folder / "audio.flac").exists()


def test_show_warns_of_what_is_damaged_and_shows_the_rest(root: Path) -> None:
    folder = record_session(root)
    with (folder / "events.jsonl").open("a") as file:
        file.write("{broken")
    result = covo("show", "last")
    assert result.exit_code == 0
    assert result.stderr.startswith("covo: warning: events.jsonl line 19 skipped")
    assert QUESTION in result.stdout


@pytest.mark.parametrize("command", ["show", "replay", "export", "delete"])
def test_an_unknown_session_is_a_clear_error(root: Path, command: str) -> None:
    assert "there are no sessions" in refused(command, "last")
    record_session(root)
    assert f"the nearest are {NAME}" in refused(command, "2026-11-23_21-04-52")


@pytest.mark.parametrize("kind", ["md", "srt", "vtt", "json", "wav"])
def test_export_to_a_file(root: Path, kind: str) -> None:
    record_session(root)
    target = Path(f"{NAME}.{kind}")
    assert said("export", "last", "--format", kind) == f"Wrote {target}\n"
    if kind == "wav":
        assert soundfile.info(target).frames == 8 * 24_000
    else:
        assert QUESTION in target.read_text()
        assert said("export", "last", "--format", kind, "--output", "-") == target.read_text()
    assert "exists already" in refused("export", "last", "--format", kind)
    said("export", "last", "--format", kind, "--force", "-o", str(target))


def test_export_refuses_what_it_cannot_do(root: Path) -> None:
    record_session(root)
    unknown = covo("export", "last", "-f", "mp3")
    assert (unknown.exit_code, "'mp3' is not one of" in unknown.output) == (2, True)
    assert "--output" in refused("export", "last", "-f", "wav", "-o", "-")
    assert list(Path.cwd().iterdir()) == []


def test_delete_asks(root: Path) -> None:
    folder = record_session(root)
    assert covo("delete", "last", typed="n\n").exit_code == 1
    assert str(covo("delete", "last").exception) == "cannot prompt: not a terminal; pass --yes"
    assert folder.exists()
    assert covo("delete", "last", typed="y\n").exit_code == 0
    assert not folder.exists()
    for _ in range(2):
        record_session(root)
    said("delete", NAME, f"{NAME}-2", "--yes")
    assert list(root.iterdir()) == []


def test_delete_refuses_a_session_being_recorded(root: Path) -> None:
    recorder = SessionRecorder(root, META, started=STARTED)
    assert "is being recorded" in refused("delete", "last", "--yes")
    recorder.close()
    said("delete", "last", "--yes")


class PacelessSpeaker:
    """Stands in for the live speaker: plays a frame whenever it is asked for one."""

    heard: list[Audio]

    def __init__(self, device: str) -> None:
        self.playout = Playout()
        type(self).heard = []

    def start(self) -> None:
        pass

    def play(self, reply: int, samples: Audio) -> None:
        self.playout.play(reply, samples)

    def tick(self) -> Audio:
        type(self).heard.append(self.playout.render(ASSISTANT_FRAME))
        return self.heard[-1]

    @property
    def played(self) -> Position:
        return self.playout.played

    @property
    def status(self) -> DeviceStatus:
        return DeviceStatus("fake")

    def close(self) -> None:
        pass


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No time passes but by sleeping, which is noted here."""
    naps: list[float] = []
    time = types.SimpleNamespace(monotonic=lambda: sum(naps), sleep=naps.append)
    monkeypatch.setattr(replay, "time", time)
    return naps


def test_replay_prints_in_time(root: Path, slept: list[float]) -> None:
    record_session(root)
    lines = said("replay", "last", "--speed", "2", "--from", "0:03").splitlines()
    assert [line.split()[1] for line in lines] == ["Covo", "You", "Covo"]
    assert sum(slept) == pytest.approx(1.25)


def test_replay_plays(root: Path, slept: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    record_session(root)
    monkeypatch.setattr("audio_io.live.speaker.LiveSpeaker", PacelessSpeaker)
    assert said("replay", "last", "--play", "--from", "4").count("\n") == 3
    heard = np.concatenate(PacelessSpeaker.heard)
    assert len(heard) / 24_000 == pytest.approx(4.0, abs=0.05)
    assert np.abs(heard).max() > 0.9
    assert sum(slept) == pytest.approx(4.0, abs=0.05)


def test_replay_without_a_device_is_a_clear_error(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_session(root)

    def no_device(_: PacelessSpeaker) -> None:
        raise DeviceError("no output device was found")

    monkeypatch.setattr("audio_io.live.speaker.LiveSpeaker", PacelessSpeaker)
    monkeypatch.setattr(PacelessSpeaker, "start", no_device)
    assert "no output device" in refused("replay", "last", "--play")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "noon"), "seconds or m:ss"),
        (("--from", "-1"), "seconds or m:ss"),
        (("--from", "nan"), "seconds or m:ss"),
        (("--from", "1:00"), "only 8.0 s long"),
        (("--play", "--speed", "2"), "leave out --speed"),
    ],
)
def test_replay_refuses_what_it_cannot_do(
    root: Path, arguments: tuple[str, ...], message: str
) -> None:
    record_session(root)
    assert message in refused("replay", "last", *arguments)


def test_an_error_is_one_line(root: Path) -> None:
    result = in_process("show", "last")
    assert result.returncode == 1
    assert result.stderr.startswith("covo: there are no sessions in ")
    assert result.stderr.count("\n") == 1
    assert not root.exists()


@pytest.mark.parametrize("command", ["list", "show last", "export last -f json -o -"])
def test_a_reader_that_goes_away_is_no_error_for_people(root: Path, command: str) -> None:
    for _ in range(3):
        record_session(root, seconds=0.1)
    result = in_process(command, piped_to="true")
    assert result.stderr == ""


def test_names_are_completed(root: Path) -> None:
    from covo_cli.commands.sessions import complete_session

    assert complete_session("") == ["last"]
    record_session(root, seconds=0.1)
    assert complete_session("") == [NAME, "last"]
    assert complete_session("2026") == [NAME]
    completed = subprocess.run(
        [sys.executable, "-m", "covo_cli"],
        env={
            **os.environ,
            "_COVO_COMPLETE": "complete_bash",
            "COMP_WORDS": "covo sessions show 20",
            "COMP_CWORD": "3",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.stdout.split() == [NAME]
