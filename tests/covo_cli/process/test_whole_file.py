"""Files are written whole; what is no file gets the content and stays what it is."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from audio_io.errors import AudioFileError
from audio_io.files import read_audio, write_audio
from covo_cli.process.whole_file import whole_file, write_text
from covo_cli.sessions.export import export_file
from covo_cli.sessions.files import ExportFormat
from covo_cli.sessions.store import SessionStore
from tests.fakes.session_factory import record_session

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")


@pytest.fixture
def pipe(tmp_path: Path):
    """A named pipe, and a function that returns what came out of it."""
    path, got = tmp_path / "pipe.wav", list[bytes]()
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True)
    reader.start()

    def received() -> bytes:
        reader.join(20)
        return b"".join(got)

    return path, received


def test_a_pipe_gets_the_text_and_stays(pipe) -> None:
    path, received = pipe
    write_text(path, "whole")
    assert received() == b"whole"
    assert path.is_fifo()


@pytest.mark.parametrize("kind", [ExportFormat.MARKDOWN, ExportFormat.WAV])
def test_a_session_is_exported_into_a_pipe(pipe, tmp_path, kind) -> None:
    record_session(tmp_path / "sessions")
    path, received = pipe
    export_file(SessionStore(tmp_path / "sessions").open("last"), kind, path)
    assert received()[:4] in (b"# Co", b"RIFF")
    assert path.is_fifo()


def test_a_device_stays(tmp_path: Path) -> None:
    before = Path(os.devnull).stat()
    write_text(Path(os.devnull), "gone")
    after = Path(os.devnull).stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_after_an_error_nothing_reaches_the_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def fail() -> None:
        with whole_file(path) as draft:  # nobody reads: writing would wait for ever
            draft.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_sound_needs_a_file_whose_header_can_be_mended(tmp_path: Path) -> None:
    path = tmp_path / "pipe.wav"
    os.mkfifo(path)
    with pytest.raises(AudioFileError, match="is a device or a pipe"):
        write_audio(path, np.zeros(100, np.float32), 16_000)
    assert path.is_fifo()


def test_sound_goes_where_a_link_points(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "latest.wav"
    link.symlink_to(tmp_path / "disk" / "sound.wav")
    write_audio(link, np.full(100, 0.5, np.float32), 16_000)
    assert link.is_symlink()
    assert len(read_audio(tmp_path / "disk" / "sound.wav", 16_000)) == 100
    assert {path.name for path in tmp_path.rglob("*")} == {"disk", "latest.wav", "sound.wav"}
