"""The recorder: both channels on one clock to the sample, and nothing lost to a kill."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_io.clock import ASSISTANT_FRAME, FRAME
from covo_cli.conversation.consumer import Tick
from covo_cli.errors import SessionError
from covo_cli.sessions.audio import PartWriter, mixed, read_audio
from covo_cli.sessions.export import export_file
from covo_cli.sessions.files import ExportFormat, try_lock
from covo_cli.sessions.finish import recover
from covo_cli.sessions.recorder import SessionRecorder, check_recordable
from covo_cli.sessions.store import SessionState, SessionStore
from tests import ROOT
from tests.fakes.session_factory import (
    META,
    SECONDS,
    STARTED,
    conversation_events,
    conversation_ticks,
    record_session,
    wait_until_written,
)

HALF_STEP = 0.5 / 32_768


def ticks_of(user: np.ndarray, assistant: np.ndarray) -> list[Tick]:
    """Ticks of the two channels, without events."""
    return [
        Tick(
            n * FRAME,
            user[n * FRAME : (n + 1) * FRAME],
            assistant[n * ASSISTANT_FRAME : (n + 1) * ASSISTANT_FRAME],
            (),
        )
        for n in range(len(user) // FRAME)
    ]


def stereo(folder: Path) -> np.ndarray:
    blocks = [np.zeros((0, 2), np.int16), *read_audio(folder)]
    return np.concatenate(blocks).astype(np.float64) / 32_768


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ticks=st.integers(0, 60), seed=st.integers(0, 2**32 - 1))
def test_both_channels_are_exact(
    ticks: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    user = rng.uniform(-0.7, 0.7, ticks * FRAME).astype(np.float32)
    assistant = rng.uniform(-0.9, 0.9, ticks * ASSISTANT_FRAME).astype(np.float32)
    recorder = SessionRecorder(tmp_path_factory.mktemp("sessions"), META)
    for tick in ticks_of(user, assistant):
        recorder.on_tick(tick)
    recorder.close()

    sound = stereo(recorder.folder)
    assert len(sound) == ticks * ASSISTANT_FRAME
    if ticks:
        left = np.clip(soxr.resample(user, 16_000, 24_000), -1.0, 32_767 / 32_768)
        assert np.abs(sound[:, 0] - left).max() <= HALF_STEP + 1e-7
        assert np.abs(sound[:, 1] - assistant).max() <= HALF_STEP + 1e-7
        assert soundfile.info(recorder.folder / "audio.flac").subtype == "PCM_16"


def test_loud_and_broken_samples_are_clipped_not_wrapped(tmp_path: Path) -> None:
    recorder = SessionRecorder(tmp_path, META)
    loud = np.array([1.5, -1.5, 1.0, np.nan] * (ASSISTANT_FRAME // 4), np.float32)
    recorder.on_tick(Tick(0, np.zeros(FRAME, np.float32), loud, ()))
    recorder.close()
    right = stereo(recorder.folder)[:4, 1] * 32_768
    assert right.tolist() == [32_767, -32_768, 32_767, 0]


def test_a_finished_session_is_complete(tmp_path: Path) -> None:
    folder = record_session(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "audio.flac",
        "events.jsonl",
        "session.json",
        "transcript.md",
    ]
    assert [path.name for path in folder.iterdir() if path.stat().st_mode & 0o111] == []
    info = json.loads((folder / "session.json").read_text())
    assert info["format"] == 1
    assert info["duration"] == SECONDS
    assert info["turns"] == 2
    assert info["voices"] == ["heart", "echo"]
    assert info["engine"]["parts"]["chat"] == "smollm2"
    assert info["end_reason"] == "quit by the user"
    assert info["ended"] > info["started"]
    assert info["versions"]["numpy"] == np.__version__
    lines = (folder / "events.jsonl").read_text().splitlines()
    assert len(lines) == len(conversation_events())
    assert json.loads(lines[5])["samples"] == 14_400


def test_conversations_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    folders = [record_session(tmp_path, started=STARTED).name for _ in range(3)]
    assert folders == ["2026-11-23_21-04-51", "2026-11-23_21-04-51-2", "2026-11-23_21-04-51-3"]


def test_a_recording_survives_being_taken_for_unfinished_as_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []

    def late_lock(descriptor: int) -> bool:
        if not seen:  # somebody opens the session between the file's creation and its lock
            seen.append(SessionStore(tmp_path).open("last").folder)
        return try_lock(descriptor)

    monkeypatch.setattr("covo_cli.sessions.audio.try_lock", late_lock)
    folder = record_session(tmp_path, seconds=1.0)
    assert seen == [folder]
    assert SessionStore(tmp_path).open("last").state is SessionState.COMPLETE
    assert len(stereo(folder)) == 24_000


def test_closing_twice_is_safe_and_later_ticks_are_ignored(tmp_path: Path) -> None:
    recorder = SessionRecorder(tmp_path, META)
    ticks = list(conversation_ticks(1.0))
    recorder.on_tick(ticks[0])
    recorder.close()
    recorder.close("again")
    recorder.on_tick(ticks[1])
    assert len(stereo(recorder.folder)) == ASSISTANT_FRAME


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match=r"cannot record into .*file"):
        SessionRecorder(tmp_path / "file" / "sessions", META)


def test_a_folder_that_takes_no_session_is_found_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    with pytest.raises(SessionError, match=r"is a link to .*--no-record"):
        check_recordable(tmp_path / "link" / "sessions")
    check_recordable(tmp_path / "new" / "sessions")
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_a_live_session_opens_but_is_neither_recovered_nor_deleted(tmp_path: Path) -> None:
    recorder = SessionRecorder(tmp_path, META, started=STARTED)
    for tick in conversation_ticks(3.0):
        recorder.on_tick(tick)
    wait_until_written(recorder)
    store = SessionStore(tmp_path)
    session = store.open("last")
    assert session.state is SessionState.RECORDING
    assert session.transcript[0].text == "What is the capital of Australia?"
    assert 2.5 < sum(map(len, mixed(session.folder))) / 24_000 <= 3.0
    with pytest.raises(SessionError, match="is being recorded"):
        recover(session.folder)
    with pytest.raises(SessionError, match="is being recorded"):
        store.delete(session.name)
    recorder.close()
    assert store.open("last").state is SessionState.COMPLETE
    assert len(stereo(recorder.folder)) == 3 * 24_000


def run_child(root: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "tests.fakes.session_factory",
        str(root),
        *map(str, arguments),
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def finished(child: subprocess.Popen[str]) -> tuple[Path, list[str]]:
    """The child's folder and the rest of its lines, when it is dead."""
    assert child.stdout is not None
    folder, *lines = child.stdout.read().splitlines()
    child.wait()
    child.stdout.close()
    return Path(folder), lines


@cache
def whole(seconds: float) -> np.ndarray:
    """The sound of the conversation's first ``seconds``."""
    with tempfile.TemporaryDirectory() as folder:
        return stereo(record_session(Path(folder), seconds=seconds))


def matching_samples(folder: Path, seconds: float = SECONDS) -> int:
    """The length of the sound in ``folder``, which must be the beginning of the conversation's."""
    sound = stereo(folder)
    expected = whole(seconds)[: len(sound)]
    assert np.abs(sound - expected).max(initial=0.0) <= 4 * HALF_STEP
    return len(sound)


@dataclass
class Killed:
    """A child that recorded until it was killed, and the last ticks and writes it told of."""

    folder: Path
    ticks: int
    written: int
    returncode: int


def record_and_kill(root: Path, seed: int) -> Killed:
    delay = random.Random(seed).uniform(0.0, 2.5)
    child = run_child(root, SECONDS, "real")
    assert child.stdout is not None
    first = child.stdout.readline()
    time.sleep(delay)
    child.send_signal(signal.SIGKILL)
    last = (child.stdout.read().splitlines() or ["0 0"])[-1]
    ticks, written = map(int, last.split())
    child.wait()
    child.stdout.close()
    return Killed(Path(first.strip()), ticks, written, child.returncode)


KILLS = range(5)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[Killed]:
    """They record in real time, and so side by side."""
    roots = [tmp_path_factory.mktemp("sessions") for _ in KILLS]
    with ThreadPoolExecutor(len(KILLS)) as pool:
        return list(pool.map(record_and_kill, roots, KILLS))


@pytest.mark.parametrize("seed", KILLS)
def test_a_kill_loses_less_than_a_second(seed: int, killed: list[Killed], tmp_path: Path) -> None:
    child = killed[seed]
    folder, root = child.folder, child.folder.parent
    assert child.returncode == -signal.SIGKILL

    store = SessionStore(root)
    (listed,) = store.list()
    assert listed.state is SessionState.UNFINISHED
    assert listed.state_text == f"unfinished: {listed.duration:.1f} s to recover"
    session = store.open("last")
    assert session.state is SessionState.RECOVERED
    assert session.warnings == ()
    assert session.duration >= child.ticks * 0.02 - 1.0
    assert matching_samples(folder) / 24_000 == pytest.approx(session.duration, abs=1e-3)
    due = [event for event in conversation_events() if event.at < child.written * FRAME]
    assert len(session.events) >= len(due)
    assert "started" in (folder / "session.json").read_text()
    assert (folder / "transcript.md").exists()
    assert not (folder / "audio.part").exists()
    exported = {kind: tmp_path / f"exported.{kind}" for kind in ExportFormat}
    for kind, target in exported.items():
        export_file(session, kind, target)
    mix = soundfile.info(exported[ExportFormat.WAV])
    assert mix.duration == pytest.approx(session.duration, abs=1e-3)
    assert session.name in exported[ExportFormat.JSON].read_text()
    assert store.list()[0].state_text == f"unfinished: recovered {session.duration:.1f} s"


@pytest.mark.parametrize("moment", ["write_sound", "write_text", "write_info"])
def test_a_kill_while_finishing_loses_nothing(moment: str, tmp_path: Path) -> None:
    root = tmp_path / "sessions"
    child = run_child(root, 2.0, "fast", "--die-in", moment)
    folder, lines = finished(child)
    assert child.returncode == -signal.SIGKILL
    assert lines[-1].split()[0] == "100"
    session = SessionStore(root).open("last")
    assert session.state is SessionState.RECOVERED
    assert matching_samples(folder, 2.0) == 2 * 24_000


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Let no file of this process get longer than ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("limit", [20_000, 100_001, 250_000])
def test_a_full_disk_is_said_once_and_what_was_written_stays(limit: int, tmp_path: Path) -> None:
    recorder = SessionRecorder(tmp_path, META, started=STARTED)
    errors: list[str] = []
    with file_limit(limit):
        for tick in conversation_ticks():
            try:
                recorder.on_tick(tick)
            except SessionError as error:
                errors.append(str(error))
        recorder._worker.join(30)
        try:
            recorder.on_tick(tick)
        except SessionError as error:
            errors.append(str(error))
        recorder.close()
    assert len(errors) == 1
    assert "recording stopped: File too large" in errors[0]
    assert str(recorder.folder) in errors[0]

    session = SessionStore(tmp_path).open("last")
    assert session.state is SessionState.COMPLETE
    assert session.info.end_reason.startswith("recording stopped")
    assert session.warnings == ()
    assert matching_samples(recorder.folder) == limit // 4


class BlockedWriter(PartWriter):
    """Waits until it may write."""

    go_on = threading.Event()

    def write(self, user: np.ndarray, assistant: np.ndarray) -> None:
        assert self.go_on.wait(30)
        super().write(user, assistant)


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The event that lets a recorder's disk go on."""
    BlockedWriter.go_on = threading.Event()
    monkeypatch.setattr("covo_cli.sessions.recorder.PartWriter", BlockedWriter)
    return BlockedWriter.go_on


def test_a_slow_disk_does_not_hold_up_the_conversation_and_loses_nothing(
    blocked: threading.Event, tmp_path: Path
) -> None:
    recorder = SessionRecorder(tmp_path, META)
    for tick in conversation_ticks():
        recorder.on_tick(tick)
    assert recorder.waiting >= SECONDS * 50 - 1
    blocked.set()
    recorder.close()
    assert matching_samples(recorder.folder) == round(SECONDS * 24_000)


def test_a_disk_that_is_too_slow_ends_the_recording_and_keeps_what_was_taken(
    blocked: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covo_cli.sessions.recorder.MOST_WAITING", 100)
    recorder = SessionRecorder(tmp_path, META)
    ticks = list(conversation_ticks())
    taken = 0
    while recorder.waiting < 100:
        recorder.on_tick(ticks[taken])
        taken += 1
    with pytest.raises(SessionError, match="disk is too slow; what was recorded before is kept"):
        recorder.on_tick(ticks[taken])
    recorder.close()  # by the conversation: does not wait
    assert recorder.waiting
    recorder.on_tick(ticks[taken])
    blocked.set()
    recorder.close("quit by the user")
    session = SessionStore(tmp_path).open("last")
    assert session.state is SessionState.COMPLETE
    assert session.info.end_reason == "recording stopped: the disk is too slow"
    assert matching_samples(recorder.folder, taken * 0.02) == taken * ASSISTANT_FRAME


def test_closing_waits_for_a_slow_disk_but_not_for_ever(
    blocked: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covo_cli.sessions.recorder.CLOSE_LIMIT_S", 0.05)
    recorder = SessionRecorder(tmp_path, META)
    for tick in conversation_ticks(1.0):
        recorder.on_tick(tick)
    with pytest.raises(SessionError, match="not finished: the disk is too slow"):
        recorder.close()
    blocked.set()
    recorder._worker.join(30)
    assert len(stereo(SessionStore(tmp_path).open("last").folder)) == 24_000


def test_a_bug_ends_the_recording_and_keeps_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = SessionRecorder(tmp_path, META)
    ticks = list(conversation_ticks(2.0))
    for tick in ticks[:50]:
        recorder.on_tick(tick)
    wait_until_written(recorder)
    monkeypatch.setattr("covo_cli.sessions.recorder.encode_events", lambda events: 1 / 0)
    recorder.on_tick(ticks[50])
    recorder._worker.join(30)
    with pytest.raises(SessionError, match="recording stopped: internal error"):
        recorder.on_tick(ticks[51])
    recorder.on_tick(ticks[52])
    recorder.close()
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.undo()
    session = SessionStore(tmp_path).open("last")
    assert session.info.end_reason == "recording stopped: internal error"
    assert session.duration > 0.8


def test_a_disk_that_is_full_at_the_end_leaves_the_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = SessionRecorder(tmp_path, META, started=STARTED)
    for tick in conversation_ticks(1.0):
        recorder.on_tick(tick)

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("covo_cli.sessions.finish.write_sound", full)
        with pytest.raises(SessionError, match="No space left on device"):
            recorder.close()
        session = SessionStore(tmp_path).open("last")
        assert session.state is SessionState.UNFINISHED
        assert "No space left" in session.warnings[0]
        assert len(stereo(session.folder)) == 24_000
    assert SessionStore(tmp_path).open("last").state is SessionState.RECOVERED


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_opens_unrecovered(tmp_path: Path) -> None:
    folder = record_session(tmp_path, finish=False)
    folder.chmod(0o500)
    try:
        session = SessionStore(tmp_path).open("last")
        assert session.state is SessionState.UNFINISHED
        assert len(session.transcript) == 4
    finally:
        folder.chmod(0o700)


def test_the_mix_keeps_both_voices_and_never_clips(tmp_path: Path) -> None:
    def mix(level: float, name: timedelta) -> np.ndarray:
        recorder = SessionRecorder(tmp_path, META, started=STARTED + name)
        constant = np.full(FRAME * 50, level, np.float32)
        voice = np.full(ASSISTANT_FRAME * 50, level, np.float32)
        for tick in ticks_of(constant, voice):
            recorder.on_tick(tick)
        recorder.close()
        return np.concatenate(list(mixed(recorder.folder)))

    quiet = mix(0.25, timedelta(0))
    assert quiet[12_000] == pytest.approx(0.5 * 32_768, abs=2)
    loud = mix(0.75, timedelta(seconds=1))
    assert np.abs(loud).max() == 32_767
    assert loud[12_000] == pytest.approx(loud.max(), rel=0.2)


def test_meta_voice_may_be_empty(tmp_path: Path) -> None:
    meta = replace(META, engine=replace(META.engine, voice=""))
    recorder = SessionRecorder(tmp_path, meta)
    recorder.close()
    assert SessionStore(tmp_path).open("last").info.voices == ()


def test_what_cannot_be_begun_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[PartWriter] = []

    def full(folder: Path, info: object) -> None:
        raise OSError(28, "No space left on device")

    def kept(path: Path) -> PartWriter:
        opened.append(PartWriter(path))
        return opened[0]

    monkeypatch.setattr("covo_cli.sessions.recorder.write_info", full)
    monkeypatch.setattr("covo_cli.sessions.recorder.PartWriter", kept)
    with pytest.raises(SessionError, match=r"No space left on device.*--no-record"):
        SessionRecorder(tmp_path, META)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        opened[0].write(
            np.zeros(FRAME * 20, np.float32), np.zeros(ASSISTANT_FRAME * 20, np.float32)
        )


def test_no_file_of_a_session_is_a_program(tmp_path: Path) -> None:
    folder = record_session(tmp_path)
    assert [path.name for path in folder.iterdir() if path.stat().st_mode & 0o111] == []


def test_a_device_may_have_a_name_that_is_no_text(tmp_path: Path) -> None:
    """As the input file has whose name is in another encoding."""
    recorder = SessionRecorder(tmp_path, replace(META, input_device="gr\udcfcn.wav"))
    recorder.close()
    session = SessionStore(tmp_path).open("last")
    assert (session.state, session.info.input_device) == (SessionState.COMPLETE, "gr?n.wav")


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptors: list[int] = []

    def refused(descriptor: int) -> bool:
        descriptors.append(descriptor)
        raise OSError(37, "No locks available")

    monkeypatch.setattr("covo_cli.sessions.audio.try_lock", refused)
    with pytest.raises(SessionError, match="No locks available"):
        SessionRecorder(tmp_path, META)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptors[0])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_on_windows_the_recording_is_closed_before_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def refuse_open(path: Path, missing_ok: bool = False) -> None:
        opened = [os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir()]
        if str(path) in opened:
            raise PermissionError(errno.EACCES, "used by another process", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse_open)
    monkeypatch.setattr("covo_cli.sessions.finish.sys", types.SimpleNamespace(platform="win32"))
    folder = record_session(tmp_path)
    assert (folder / "audio.flac").exists()
    assert not (folder / "audio.part").exists()
