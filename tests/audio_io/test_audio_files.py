from __future__ import annotations

import errno
import io
import multiprocessing
import os
import resource
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_io.clock import ASSISTANT_FRAME, FRAME
from audio_io.errors import AudioError, AudioFileError
from audio_io.file_ends import FileMicrophone, FileSpeaker, Pacer
from audio_io.files import AudioWriter, read_audio, write_audio
from audio_io.headers import with_true_size
from audio_io.signal import Position
from tests.permissions import out_of_reach


def tone(rate: int, seconds: float, frequency: float = 440.0) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


class Clock:
    """A clock that only moves when someone sleeps or the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype", "tolerance"),
    [
        ("a.wav", 16_000, 1, "PCM_16", 1e-3),
        ("a.wav", 8_000, 1, "PCM_U8", 2e-2),
        ("a.wav", 192_000, 6, "PCM_24", 1e-3),
        ("a.wav", 44_100, 2, "FLOAT", 1e-3),
        ("a.wav", 44_100, 2, "DOUBLE", 1e-3),
        ("a.wav", 48_000, 1, "ULAW", 3e-2),
        ("a.flac", 48_000, 2, "PCM_24", 1e-3),
        ("a.ogg", 44_100, 2, "VORBIS", 5e-2),
    ],
)
def test_reads_any_encoding_channels_and_rate(
    tmp_path: Path, name: str, rate: int, channels: int, subtype: str, tolerance: float
) -> None:
    path = tmp_path / name
    soundfile.write(path, np.tile(tone(rate, 1.0)[:, None], channels), rate, subtype=subtype)
    got = read_audio(path, 16_000)
    assert got.dtype == np.float32
    assert got.shape == (16_000,)
    np.testing.assert_allclose(got[1000:-1000], tone(16_000, 1.0)[1000:-1000], atol=tolerance)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("full", [2.0**15, 2.0**23, 2.0**31])
def test_integers_written_as_floating_point_numbers_are_sound(
    tmp_path: Path, subtype: str, full: float
) -> None:
    path, sound = tmp_path / "a.wav", tone(16_000, 2.0)
    sound[:16_000] *= 0.001  # what comes first does not tell
    soundfile.write(path, sound.astype(np.float64) * full, 16_000, subtype=subtype)
    np.testing.assert_allclose(read_audio(path, 16_000), sound, atol=1e-4)
    microphone = FileMicrophone(path, paced=False)
    microphone.start()
    heard = np.concatenate([microphone.read(0.0) for _ in range(100)])
    np.testing.assert_allclose(heard, sound, atol=1e-4)


@pytest.mark.parametrize("gain", [1.5, 8.0, 60.0])
def test_sound_that_is_only_too_loud_is_left_as_it_is(tmp_path: Path, gain: float) -> None:
    path, sound = tmp_path / "a.wav", tone(16_000, 0.5) * np.float32(gain)
    soundfile.write(path, sound, 16_000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path, 16_000), sound, atol=1e-4)


@pytest.mark.parametrize("wrong", [150.0, 1e10])
def test_a_wrong_sample_does_not_silence_the_others(tmp_path: Path, wrong: float) -> None:
    path, sound = tmp_path / "a.wav", tone(16_000, 0.5)
    sound[100] = wrong
    soundfile.write(path, sound, 16_000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path, 16_000)[1000:], sound[1000:], atol=1e-4)


def test_channels_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([[0.5, 0.0, -0.2]] * 100), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path, 16_000), 0.1, atol=1e-6)


def bad_files(folder: Path) -> Iterator[tuple[Path, str]]:
    yield folder / "missing.wav", "no such file"
    yield folder, "is a folder"
    text = folder / "text.wav"
    text.write_text("this is not sound")
    yield text, "not a sound file"
    nothing = folder / "nothing.wav"
    nothing.write_bytes(b"")
    yield nothing, "not a sound file"
    headerless = folder / "headerless.raw"
    headerless.write_bytes(bytes(640))
    yield headerless, "not a sound file"
    empty = folder / "empty.wav"
    soundfile.write(empty, np.zeros(0), 16_000)
    yield empty, "no samples"
    slow = folder / "slow.wav"
    soundfile.write(slow, np.zeros(100), 1)
    yield slow, "1 samples a second"
    for name, value in (("nan", np.nan), ("inf", np.inf)):
        path = folder / f"{name}.wav"
        samples = np.zeros(32_000)
        samples[24_000] = value
        soundfile.write(path, samples, 16_000, subtype="FLOAT")
        yield path, r"not numbers .* at 1\.500 s"


@pytest.mark.parametrize("index", range(9))
def test_bad_files_are_one_clear_error(tmp_path: Path, index: int) -> None:
    path, message = list(bad_files(tmp_path))[index]
    with pytest.raises(AudioFileError, match=message) as error:
        read_audio(path, 16_000)
    assert "\n" not in str(error.value)
    with pytest.raises(AudioFileError, match=message):
        FileMicrophone(path, paced=False).start()


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_write_and_read_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    sound = tone(24_000, 0.5)
    write_audio(path, sound, 24_000)
    np.testing.assert_allclose(read_audio(path, 24_000), sound, atol=1e-4)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_too_loud_clips(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_audio(path, np.array([1.5, -1.5, 0.0], np.float32), 16_000)
    np.testing.assert_allclose(read_audio(path, 16_000), [1, -1, 0], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "message"),
    [("a.xyz", "extension"), ("no/such/a.wav", "does not exist"), ("folder.wav", "is a folder")],
)
def test_unwritable_places(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(AudioFileError, match=message):
        write_audio(tmp_path / name, tone(16_000, 0.1), 16_000)
    with pytest.raises(AudioFileError, match=message):
        FileSpeaker(tmp_path / name).start()
    assert [p.name for p in tmp_path.iterdir()] == ["folder.wav"]


def test_paths_out_of_reach_are_one_clear_error(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    with out_of_reach(closed):
        for path, reason in (
            (closed / "a.wav", "Permission denied"),
            (tmp_path / f"{'x' * 300}.wav", "File name too long"),
        ):
            with pytest.raises(AudioFileError, match=f"cannot read .*: {reason}"):
                read_audio(path, 16_000)
            with pytest.raises(AudioFileError, match=f"cannot write .*: {reason}"):
                FileSpeaker(path).start()


def test_a_part_file_that_cannot_be_made_is_found_at_start(tmp_path: Path) -> None:
    part = tmp_path / f"a.wav.{os.getpid()}.part"
    part.mkdir()  # stands for a folder without write permission, even as root
    with pytest.raises(AudioFileError, match=r"cannot write .*a\.wav"):
        FileSpeaker(tmp_path / "a.wav").start()


def test_two_that_write_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    other = AudioWriter(path, 16_000)
    other._part = other._part.rename(tmp_path / "a.wav.1.part")  # as another process calls it
    write_audio(path, tone(16_000, 0.1), 16_000)
    other.write(tone(16_000, 0.2))
    other.close()
    assert len(read_audio(path, 16_000)) == 3200
    assert list(tmp_path.iterdir()) == [path]


def limit_files() -> None:
    """From now on, in this process, writes beyond 20 kB fail with a real error of the system."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


@pytest.fixture
def small_disk() -> Iterator[Executor]:
    """A process on a small disk; never this one, whose output pytest may be writing to a file."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=limit_files) as process:
        yield process


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_full_disk_leaves_the_old_file_and_nothing_half_written(
    tmp_path: Path, small_disk: Executor, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")
    noise = np.random.default_rng(0).uniform(-1, 1, 240_000).astype(np.float32)
    with pytest.raises(AudioFileError, match="disk full"):
        small_disk.submit(write_audio, path, noise, 24_000).result()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_rename_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(AudioFileError, match="No space left"):
        write_audio(tmp_path / "a.wav", tone(16_000, 0.1), 16_000)
    assert list(tmp_path.iterdir()) == []


def play_on(path: Path) -> list[str]:
    """What a speaker that writes to ``path`` complains of in 2 s and on closing."""
    speaker = FileSpeaker(path)
    speaker.start()
    complaints = []
    for _ in range(100):
        try:
            speaker.tick()
        except AudioFileError as error:
            complaints.append(str(error))
    speaker.close()
    return complaints


def test_full_disk_during_a_conversation_is_said_once(tmp_path: Path, small_disk: Executor) -> None:
    (complaint,) = small_disk.submit(play_on, tmp_path / "a.wav").result()
    assert "disk full" in complaint
    assert list(tmp_path.iterdir()) == []


def read_all(microphone: FileMicrophone) -> np.ndarray:
    frames = []
    while not microphone.exhausted:
        frame = microphone.read(1.0)
        assert frame is not None
        assert frame.shape == (FRAME,)
        assert frame.dtype == np.float32
        frames.append(frame)
    return np.concatenate(frames)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_microphone_streams_what_the_file_holds_then_silence(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(rate, 1.234), rate, subtype="FLOAT")
    microphone = FileMicrophone(path, paced=False)
    microphone.start()
    whole = read_audio(path, 16_000)
    got = read_all(microphone)
    assert len(got) == -(-len(whole) // FRAME) * FRAME
    np.testing.assert_array_equal(got[: len(whole)], whole)
    assert not got[len(whole) :].any()
    after = microphone.read(1.0)
    assert after is not None
    assert not after.any()
    assert not microphone.ended
    microphone.close()
    microphone.close()
    assert microphone.ended
    assert microphone.read(1.0) is None


def test_damage_ends_the_file_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 48_000), 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    microphone = FileMicrophone(path, paced=False)
    microphone.start()
    assert microphone.status.message == ""
    assert 1.0 < len(read_all(microphone)) / 16_000 < 2.1
    assert "is damaged after" in microphone.status.message
    microphone.close()


def test_a_file_of_whole_frames_is_exhausted_right_after_its_last_one(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.ones(2 * FRAME) * 0.1, 16_000)
    microphone = FileMicrophone(path, paced=False)
    microphone.start()
    microphone.read(1.0)
    assert not microphone.exhausted
    microphone.read(1.0)
    assert microphone.exhausted


def test_three_hours_are_streamed_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.wav"
    size = 2 * 16_000 * 3 * 3600
    with path.open("wb") as file:  # a sparse file: writing 3 hours takes seconds
        file.write(struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE"))
        file.write(struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16))
        file.write(struct.pack("<4sI", b"data", size))
        file.truncate(44 + size)
    assert soundfile.info(path).frames == 16_000 * 3 * 3600
    asked: list[int] = []
    read = soundfile.SoundFile.read

    def spy(self: soundfile.SoundFile, frames: int = -1, **kwargs: object) -> object:
        asked.append(frames)
        return read(self, frames, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", spy)
    microphone = FileMicrophone(path, paced=False)
    microphone.start()
    for _ in range(100):
        assert microphone.read(1.0) is not None
    assert asked == [8000] * 4
    microphone.close()


def test_paced_keeps_to_the_clock_without_drift(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(16_000, 1.0), 16_000)
    clock = Clock()
    microphone = FileMicrophone(path, paced=True, clock=clock, sleep=clock.sleep)
    microphone.start()
    for k in range(1, 51):
        assert microphone.read(1.0) is not None
        assert clock.now == pytest.approx(100.0 + k * 0.02)
        clock.now += 0.0137  # the conversation's own work does not add up
    clock.now += (
        0.1  # a hiccup: the frames that are due come at once, and the rhythm is the old one
    )
    due = 0
    before = clock.now
    while clock.now == before:
        assert microphone.read(1.0) is not None
        due += 1
    assert due == 6
    assert clock.now == pytest.approx(100.0 + (50 + due) * 0.02)


def test_after_a_minute_at_a_standstill_a_second_is_caught_up() -> None:
    clock = Clock()
    pacer = Pacer(clock, clock.sleep)
    assert pacer.wait(1.0)
    clock.now += 60.0  # Ctrl-Z and fg
    due, before = 0, clock.now
    while clock.now == before:
        assert pacer.wait(1.0)
        due += 1
    assert due == pytest.approx(51, abs=1)


def test_paced_read_gives_up_after_its_timeout(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(16_000, 1.0), 16_000)
    clock = Clock()
    microphone = FileMicrophone(path, paced=True, clock=clock, sleep=clock.sleep)
    microphone.start()
    assert microphone.read(0.015) is None
    assert clock.now == pytest.approx(100.015)
    assert microphone.read(0.015) is not None
    assert clock.now == pytest.approx(100.02)


@pytest.mark.parametrize(("rate", "per_tick"), [(24_000, 480), (16_000, 320)])
def test_speaker_file_is_exactly_as_long_as_the_ticks(
    tmp_path: Path, rate: int, per_tick: int
) -> None:
    path = tmp_path / "out.wav"
    speaker = FileSpeaker(path, rate)
    speaker.start()
    assert not path.exists()
    sound = tone(24_000, 0.5)
    for _ in range(7):
        assert speaker.tick().shape == (ASSISTANT_FRAME,)
    speaker.play(1, sound)
    for _ in range(40):
        speaker.tick()
    assert speaker.played == Position(1, len(sound))
    speaker.close()
    speaker.close()
    got = read_audio(path, rate)
    assert len(got) == 47 * per_tick
    start = 7 * per_tick
    expected = tone(rate, 0.5)
    inner = slice(start + per_tick, start + len(expected) - per_tick)
    np.testing.assert_allclose(got[inner], expected[per_tick:-per_tick], atol=2e-3)
    assert [p.name for p in tmp_path.iterdir()] == ["out.wav"]


def test_speaker_to_nowhere_still_plays() -> None:
    speaker = FileSpeaker(None)
    speaker.start()
    speaker.play(1, tone(24_000, 1.0))
    np.testing.assert_array_equal(speaker.tick(), tone(24_000, 1.0)[:480])
    speaker.stop()
    speaker.tick()
    assert speaker.played == Position(1, 480 + 240)
    assert not speaker.tick().any()
    speaker.close()


def test_speaker_without_a_tick_leaves_no_file(tmp_path: Path) -> None:
    speaker = FileSpeaker(tmp_path / "out.wav")
    speaker.start()
    speaker.close()
    assert list(tmp_path.iterdir()) == []


def test_writer_abort_leaves_nothing(tmp_path: Path) -> None:
    writer = AudioWriter(tmp_path / "a.flac", 16_000)
    writer.write(tone(16_000, 0.1))
    writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_file_errors_are_audio_errors() -> None:
    assert issubclass(AudioFileError, AudioError)


def headed(kind: str, subtype: str = "PCM_16", extra: bytes = b"") -> bytearray:
    """A second of a tone as a file of this kind, and ``extra`` after its sound."""
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(16_000, 1.0), 16_000, format=kind, subtype=subtype)
    return bytearray(buffer.getvalue() + extra)


def unfinished(kind: str, size: bytes, after: bytes, skip: int = 4) -> bytes:
    """A file whose recorder wrote ``size`` after the bytes ``after``, and died."""
    content = headed(kind)
    at = content.index(after) + len(after) + skip - 4
    content[at : at + len(size)] = size
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("no size", unfinished("WAV", bytes(4), b"data")),
        ("no sizes at all", unfinished("WAV", bytes(4), b"RIFF")[:40] + bytes(4)),
        ("size of the first block", unfinished("WAV", struct.pack("<I", 640), b"data")),
        ("unknown size", unfinished("WAV", b"\xff" * 4, b"data")),
        ("extensible", unfinished("WAVEX", bytes(4), b"data")),
        ("Sun", unfinished("AU", bytes(4), b".snd", skip=8)),
        ("Apple", unfinished("CAF", bytes(8), b"data")),
        ("Apple, unknown", unfinished("CAF", b"\xff" * 8, b"data")),
        ("Apple, its own field only", unfinished("CAF", struct.pack(">q", 4), b"data")),
        ("Apple, more than there is", unfinished("CAF", struct.pack(">q", 2**40), b"data")),
        ("Sun, size of the first block", unfinished("AU", struct.pack(">I", 640), b".snd", skip=8)),
        ("RF64", unfinished("RF64", bytes(8), b"ds64", skip=16)),
        ("BW64", unfinished("RF64", b"BW64", b"", skip=4)),
        ("FLAC of unknown length", unfinished("FLAC", bytes(4), b"fLaC", skip=22)),
        ("AIFF", unfinished("AIFF", bytes(4), b"SSND")),
        ("AIFF, its own fields only", unfinished("AIFF", struct.pack(">I", 8), b"SSND")),
    ],
)
def test_a_recorder_that_died_leaves_its_sound(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / "a.wav"
    if len(content) == 44:
        content += bytes(headed("WAV"))[44:]
    path.write_bytes(content)
    np.testing.assert_allclose(read_audio(path, 16_000), tone(16_000, 1.0), atol=1e-3)


def test_an_ogg_file_that_was_cut_is_heard_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 160_000)
    soundfile.write(path, noise, 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 3.0 < len(read_audio(path, 16_000)) / 16_000 < 6.0


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_files_in_a_row_are_all_heard(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "a.ogg"
    for rate, channels, frequency in ((48_000, 2, 440.0), (24_000, 1, 660.0), (48_000, 2, 880.0)):
        link = io.BytesIO()
        sound = np.tile(tone(rate, 1.0, frequency)[:, None], channels)
        soundfile.write(link, sound, rate, format="OGG", subtype=subtype)
        with path.open("ab") as file:
            file.write(link.getvalue())
    heard = read_audio(path, 16_000)
    assert len(heard) == pytest.approx(48_000, abs=100)
    for second, frequency in enumerate((440.0, 660.0, 880.0)):
        middle = heard[16_000 * second + 4_000 :][:8_000]
        spectrum = np.abs(np.fft.rfft(middle))
        assert np.argmax(spectrum) * 2 == pytest.approx(frequency, abs=4)


def test_digital_silence_is_not_searched_for_chunks() -> None:
    class Counted(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1) -> bytes:
            self.reads += 1
            return super().read(size)

    content = headed("WAV")[:40] + bytes(1_000_000)
    stream = Counted(content)
    with with_true_size(stream) as sound:
        assert stream.reads < 10
        assert sound.seek(40) == 40
        assert sound.read(4) == struct.pack("<I", len(content) - 44)


def test_chunks_after_the_sound_are_not_played(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    note = b"LIST\x04\x00\x00\x00INFO"
    path.write_bytes(headed("WAV", extra=note))
    assert len(read_audio(path, 16_000)) == 16_000
    nothing = bytearray(headed("WAV")[:44] + note)
    nothing[40:44] = bytes(4)
    path.write_bytes(nothing)
    with pytest.raises(AudioFileError, match="no samples"):
        read_audio(path, 16_000)


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_a_pipe_is_read_once(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(headed("WAV", subtype)))
    writer.start()
    microphone = FileMicrophone(path, paced=False)
    microphone.start()
    writer.join()
    np.testing.assert_allclose(read_all(microphone)[:16_000], tone(16_000, 1.0), atol=1e-3)
    microphone.close()


def test_a_terminal_is_no_sound_file() -> None:
    leader, follower = os.openpty()
    try:
        with pytest.raises(AudioFileError, match="it is a terminal"):
            read_audio(Path(os.ttyname(follower)), 16_000)
    finally:
        os.close(leader)
        os.close(follower)


@pytest.mark.parametrize("name", [b"\xff\xfe.wav", b"a\nb.wav", b"-i.wav", b"x" * 251 + b".wav"])
def test_every_name_that_a_file_may_have_works(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    write_audio(path, tone(16_000, 0.1), 16_000)
    assert len(read_audio(path, 16_000)) == 1600
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
