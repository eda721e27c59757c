"""kill -9 at random moments: everything opens, and no file is half written.

A child records, finishes, exports, changes settings and adds voices in turn; ``make fuzz`` kills a
hundred. A pull that is killed is tested in tests/model/weights/test_hub_processes.py.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import sys
import time
from ctypes import c_int
from pathlib import Path

import pytest
import soundfile

from covo_cli.sessions.audio import read_audio
from covo_cli.sessions.export import export_file
from covo_cli.sessions.files import INFO, ExportFormat
from covo_cli.sessions.recorder import SessionRecorder
from covo_cli.sessions.store import SessionState, SessionStore
from covo_cli.settings.settings import load_settings, save_setting
from tests.fakes.session_factory import META, conversation_ticks
from tests.fakes.voices import make_pack
from tests.fuzz.inputs import INPUTS, unfinished_files
from voices.store import VoiceStore

LOST_S = 0.4
"""A piece of 0.3 s waits to be written, and the resampler holds 40 ms."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")


def work(folder: Path, written: c_int) -> None:
    """Write everything that covo writes, over and over. ``written``: frames of this session."""
    voices = VoiceStore(folder / "voices")
    for number in range(10_000):
        written.value = 0
        recorder = SessionRecorder(folder / "sessions", META)
        for count, tick in enumerate(conversation_ticks(2.0), 1):
            recorder.on_tick(tick)
            written.value = count - recorder.waiting
        save_setting("turns.silence", 0.2 + number % 10 / 10)
        recorder.close()
        session = SessionStore(folder / "sessions").open("last")
        for kind in ExportFormat:
            export_file(session, kind, folder / f"exported.{kind}", overwrite=True)
        voices.add(folder / "anna")
        voices.remove("anna")


def check(folder: Path, written: int) -> None:
    """Check that what the killed child left is whole, and can be used again."""
    store = SessionStore(folder / "sessions")
    for name in store.names():
        session = store.open(name)
        begun = (store.root / name / INFO).exists()
        assert session.state in (SessionState.COMPLETE, SessionState.RECOVERED) or not begun
        if name == store.names()[0] and session.state is SessionState.RECOVERED:
            assert session.duration >= written * 0.02 - LOST_S
            length = sum(map(len, read_audio(store.root / name))) / 24_000
            assert length == pytest.approx(session.duration, abs=0.001)
    assert 0.2 <= load_settings().turns.silence <= 1.1
    for kind in ExportFormat:
        target = folder / f"exported.{kind}"
        if target.exists() and kind is ExportFormat.WAV:
            assert soundfile.info(target).duration == 2.0
        elif target.exists() and kind is ExportFormat.JSON:
            json.loads(target.read_bytes())
    voices = VoiceStore(folder / "voices")
    assert all(pack.name == "anna" for pack in voices.broken())  # half removed
    # The next to write there clears away the drafts of the dead.
    save_setting("turns.silence", 0.5)
    if store.names():
        export_file(store.open("last"), ExportFormat.SRT, folder / "exported.srt", overwrite=True)
    if not any(pack.name == "anna" for pack in (*voices.list(), *voices.broken())):
        voices.add(folder / "anna")
    voices.remove("anna")
    assert list(unfinished_files(folder)) == []
    shutil.rmtree(store.root, ignore_errors=True)


def test_a_kill_at_any_moment_leaves_everything_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "settings" / "config.toml"))
    make_pack(tmp_path)
    seed = int.from_bytes(os.urandom(4), "big") if INPUTS else 0
    chance = random.Random(seed)
    fork = multiprocessing.get_context("fork")
    for _ in range(100 if INPUTS else 3):
        written = fork.RawValue("i", 0)  # no lock, which the killed might hold
        child = fork.Process(target=work, args=(tmp_path, written), daemon=True)
        child.start()
        time.sleep(chance.uniform(0.02, 0.6 if INPUTS else 0.2))
        assert child.is_alive(), "it failed by itself"
        child.kill()
        child.join()
        try:
            check(tmp_path, written.value)
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
