"""Microphone and speaker on a virtual sound card: PortAudio, PulseAudio and real time.

Time limits are those a user would notice, with room for a busy machine.
The three runs mostly wait for sound, so they go on side by side, each with a card of its own.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.fakes.virtual_card import RATE, ROOT, virtual_card, wait_for

pytestmark = [pytest.mark.soundcard, pytest.mark.timeout(120)]

ECHO = "import sys, tests.fakes.live_programs as p; p.echo(*sys.argv[1:])"
PLAY = "import sys, tests.fakes.live_programs as p; p.play(*sys.argv[1:])"

Run = Callable[[Path], dict[str, Any]]


def noise(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Noise up to 3 kHz, coming and going like syllables."""
    n = round(seconds * rate)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n))
    spectrum[np.fft.rfftfreq(n, 1 / rate) > 3000] = 0
    sound = np.fft.irfft(spectrum, n) * (1.2 + np.sin(2 * np.pi * 3 * np.arange(n) / rate))
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def match(heard: np.ndarray, sent: np.ndarray) -> tuple[int, float]:
    """Where ``sent`` lies in ``heard``, and how well it fits there (1: perfectly)."""
    size = 1 << (len(heard) + len(sent)).bit_length()
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(sent, size))
    correlation = np.fft.irfft(product, size)[: max(1, len(heard) - len(sent))]
    at = int(np.argmax(correlation))
    part = heard[at : at + len(sent)]
    norm = float(np.linalg.norm(part) * np.linalg.norm(sent))
    return at, float(correlation[at]) / max(norm, 1e-9)


def capture(folder: Path) -> dict[str, Any]:
    """Somebody speaks into the microphone."""
    wav, out = folder / "said.wav", folder / "heard.npy"
    soundfile.write(wav, noise(2.0, RATE), RATE)
    with virtual_card(folder) as card:
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.live_programs", "capture", "4.5", str(out)],
            env=card.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        wait_for(lambda: out.with_suffix(".ready").exists(), "the microphone", 30)
        speaking = card.speak(wav)
        printed, _ = program.communicate(timeout=60)
        speaking.wait(10)
    return {**json.loads(printed), "heard": np.load(out)}


def play(folder: Path) -> dict[str, Any]:
    """A reply of 6 s is stopped after 2 s."""
    wav, out = folder / "reply.wav", folder / "ticks.npy"
    time = np.arange(6 * 24_000) / 24_000
    reply = (0.3 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    soundfile.write(wav, reply, 24_000, subtype="FLOAT")
    with virtual_card(folder) as card, card.listening(folder) as recording:
        printed = card.python(PLAY, str(wav), "4.5", "2.0", str(out))
    report = json.loads(printed)
    return {**report, "heard": recording.samples, "began": recording.began, "ticks": np.load(out)}


def echo(folder: Path) -> dict[str, Any]:
    """A reply of 8 s comes back into the microphone."""
    wav, out = folder / "reply.wav", folder / "sides.npy"
    soundfile.write(wav, noise(8.0, 24_000, seed=3), 24_000, subtype="FLOAT")
    with virtual_card(folder) as card, card.loopback():
        report = json.loads(card.python(ECHO, str(wav), "8.0", str(out)))
    return {**report, "sides": np.load(out)}


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[Run, Future[dict[str, Any]]]]:
    with ThreadPoolExecutor(3) as pool:
        yield {
            run: pool.submit(run, tmp_path_factory.mktemp(run.__name__))
            for run in (capture, play, echo)
        }


@pytest.fixture
def spoken(runs: dict[Run, Future[dict[str, Any]]]) -> dict[str, object]:
    return runs[play].result()


def test_the_microphone_hears_what_is_said(runs: dict[Run, Future[dict[str, Any]]]) -> None:
    captured = runs[capture].result()
    assert captured["dropped"] == 0
    at_16k = noise(2.0, RATE).reshape(-1, 3)[:, 0]  # band-limited to 3 kHz: no filter needed
    assert match(captured["heard"], at_16k)[1] > 0.95


def audible(sound: np.ndarray, rate: int) -> tuple[float, float]:
    """From when to when there is sound, in seconds."""
    loud = np.flatnonzero(np.abs(sound) > 0.01)
    assert len(loud) > rate, "hardly a sound was heard"
    return loud[0] / rate, loud[-1] / rate


def test_the_tone_comes_out_at_its_pitch_and_level(spoken: dict[str, object]) -> None:
    heard = spoken["heard"]
    assert isinstance(heard, np.ndarray)
    start, _ = audible(heard, RATE)
    middle = heard[int((start + 0.5) * RATE) : int((start + 1.5) * RATE)]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert int(np.argmax(spectrum)) == pytest.approx(1000, abs=2)
    assert np.abs(middle).max() == pytest.approx(0.3, abs=0.02)
    assert spoken["starved"] == 0
    assert spoken["message"] == ""


def test_played_agrees_with_what_was_recorded(spoken: dict[str, object]) -> None:
    heard, samples = spoken["heard"], spoken["samples"]
    assert isinstance(heard, np.ndarray)
    assert isinstance(samples, int)
    start, end = audible(heard, RATE)
    assert spoken["reply"] == 5
    assert samples / 24_000 == pytest.approx(end - start, abs=0.02)


def test_stop_falls_silent_within_200_ms(spoken: dict[str, object]) -> None:
    """By the speaker's own account, which the test above compares with the recording."""
    track, stopped = spoken["track"], spoken["stopped"]
    assert isinstance(track, list)
    assert isinstance(stopped, float)
    last_rise = max(b[0] for a, b in itertools.pairwise(track) if b[1] > a[1])
    assert last_rise - stopped < 0.2
    at_stop = max(samples for when, samples in track if when <= stopped)
    assert track[-1][1] - at_stop < 0.2 * 24_000


def test_ticks_hold_what_was_heard_on_the_microphones_clock(spoken: dict[str, object]) -> None:
    ticks, samples = spoken["ticks"], spoken["samples"]
    assert isinstance(ticks, np.ndarray)
    assert isinstance(samples, int)
    assert len(ticks) == 225 * 480
    start, end = audible(ticks, 24_000)
    assert end - start == pytest.approx(samples / 24_000, abs=0.03)
    assert spoken["corrections"] == 0


def test_the_assistant_does_not_hear_itself(runs: dict[Run, Future[dict[str, Any]]]) -> None:
    report = runs[echo].result()
    microphone, left = report["sides"][:, 3 * 16_000 :]
    # Blocks of 0.25 s: a machine that stalls moves the echo, which then has to be found again.
    echo_power, left_power = (
        np.mean(side[: len(side) // 4000 * 4000].reshape(-1, 4000) ** 2, 1)
        for side in (microphone, left)
    )
    assert 10 * np.log10(np.median(echo_power)) > -40, "the microphone heard nothing to cancel"
    assert 10 * np.log10(np.median(echo_power / np.maximum(left_power, 1e-12))) > 20
    assert 0 < report["delay_ms"] < 300, "the reference comes before its echo"
    assert report["added_delay_ms"] == 0
