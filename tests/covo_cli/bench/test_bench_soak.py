"""``covo bench soak``: a leak is seen. How long steps take is nobody's test."""

from __future__ import annotations

import gc
import json
import mmap
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from audio_io.clock import USER_RATE
from audio_io.ends import DeviceStatus
from audio_io.live.line import DeviceLine
from audio_io.signal import Audio
from covo_cli.app import app
from covo_cli.bench.soak import SoakBench, measure_soak
from covo_cli.bench.soak.flatness import rise
from covo_cli.bench.soak.subject import random_user, recorded_lines, scripted_subject
from covo_cli.conversation.consumer import Tick
from covo_cli.settings.settings import load_settings
from covo_cli.simulation.scripted_user import Line, ScriptedUser
from covo_cli.simulation.sound_card import BUILT_IN, HEADSET, SoundCard, card_ends
from tests.fakes.engine import speech

MINUTES = 0.2


class Planted:
    """A consumer that leaks once a second, as ``leak`` does."""

    def __init__(self, leak: Callable[[], object]) -> None:
        self._leak = leak
        self.kept: list[object] = []

    def on_tick(self, tick: Tick) -> None:
        if tick.at % USER_RATE == 0:
            self.kept.append(self._leak())


def soaked(leak: Callable[[], object] | None = None) -> dict[str, Any]:
    user = random_user(recorded_lines(), MINUTES, np.random.default_rng(3))
    more = [] if leak is None else [Planted(leak)]
    bench = SoakBench(MINUTES, paced=False, seed=3, settle=MINUTES / 5, more=more)
    return measure_soak(bench, scripted_subject(load_settings(), user, paced=False))


def verdicts(figures: dict[str, Any]) -> dict[str, bool]:
    return {goal["goal"]: goal["met"] for goal in figures["goals"]}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """One run of the command: its folder, its output and its figures."""
    pytest.importorskip("matplotlib", reason="needs matplotlib (the plot extra)")
    folder = tmp_path_factory.mktemp("soak")
    arguments = ["bench", "soak", "--engine", "scripted", "--minutes", "0.4"]
    arguments += ["--settle", "0.05", "--seed", "5"]
    arguments += ["--json", str(folder / "figures.json"), "--plot", str(folder / "figures.png")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder, result.output, json.loads((folder / "figures.json").read_text())


def test_a_run_writes_its_figures_and_a_picture(run: tuple[Path, str, dict[str, Any]]) -> None:
    folder, shown, figures = run
    assert (folder / "figures.png").read_bytes().startswith(b"\x89PNG")
    assert "rise of memory" in shown
    assert (figures["minutes"], figures["pace"], figures["seed"]) == (0.4, "fast", 5)
    by_minute = figures["by_minute"]
    assert {len(values) for values in by_minute.values()} == {len(by_minute["minutes"])}
    assert by_minute["memory_mb"][-1] > 30


def test_the_conversation_goes_on_and_nothing_fails(
    run: tuple[Path, str, dict[str, Any]],
) -> None:
    *_, figures = run
    assert figures["failures"] == []
    assert figures["happened"]["ReplyStarted"] >= 2
    assert sum(figures["disturbances"].values()) >= 1
    met = verdicts(figures)
    assert met["rise of threads, as a share"]
    assert met["rise of open files, as a share"]
    assert met["parts that failed"]


def test_a_soak_too_short_to_settle_judges_nothing() -> None:
    user = ScriptedUser([], paced=False)
    bench = SoakBench(0.1, paced=False, seed=1)
    figures = measure_soak(bench, scripted_subject(load_settings(), user, paced=False))
    assert set(verdicts(figures).values()) == {None}


def test_the_same_seed_gives_the_same_conversation() -> None:
    first, second = soaked(), soaked()
    assert first["happened"] == second["happened"]
    assert first["disturbances"] == second["disturbances"]


def test_memory_that_leaks_is_seen() -> None:
    def leak() -> mmap.mmap:
        # Pages of its own: the heap may still hold what earlier tests freed.
        pages = mmap.mmap(-1, 48 * 2**20)
        pages.write(bytes(len(pages)))
        return pages

    figures = soaked(leak)
    assert not verdicts(figures)["rise of memory, as a share"]
    assert figures["flatness"]["memory_mb"]["rise"] > 0.1


@pytest.fixture
def waiting() -> Iterator[Callable[[], threading.Thread]]:
    """Starts threads that wait for the end of the test."""
    over = threading.Event()
    started: list[threading.Thread] = []

    def start() -> threading.Thread:
        started.append(threading.Thread(target=over.wait, daemon=True))
        started[-1].start()
        return started[-1]

    yield start
    over.set()
    for thread in started:
        thread.join()


def test_threads_that_leak_are_seen(waiting: Callable[[], threading.Thread]) -> None:
    met = verdicts(soaked(waiting))
    assert not met["rise of threads, as a share"]
    assert met["rise of open files, as a share"]


def test_files_that_leak_are_seen() -> None:
    opened: list[int] = []

    def leak() -> None:
        opened.append(os.open(os.devnull, os.O_RDONLY))

    try:
        met = verdicts(soaked(leak))
    finally:
        for number in opened:
            os.close(number)
    assert not met["rise of open files, as a share"]
    assert met["rise of threads, as a share"]


def test_a_few_odd_values_do_not_tilt_the_line() -> None:
    assert rise([100.0] * 20 + [180.0, 20.0] + [100.0] * 20) == 0
    assert rise([100.0 + n for n in range(41)]) == pytest.approx(40)
    assert rise([7.0]) == 0


# The simulated sound card


def heard(card: SoundCard, seconds: float) -> Iterator[tuple[Audio, DeviceStatus]]:
    """Yield what arrives in that time, and how the microphone is then."""
    microphone, speaker = card_ends(card, paced=False)
    speaker.start()
    microphone.start()
    while card.clock() < seconds:
        frame = microphone.read(0.5)
        speaker.tick()
        if frame is not None:
            yield frame, microphone.status


def test_what_the_user_says_arrives_by_the_live_devices() -> None:
    said = speech(1.0)
    card = SoundCard(ScriptedUser([Line(said, "hello")], paced=False), paced=False)
    captured = np.concatenate([frame for frame, _ in heard(card, 4.0)])
    assert len(captured) / USER_RATE == pytest.approx(4.0, abs=0.1)
    assert np.sum(np.abs(captured)) == pytest.approx(np.sum(np.abs(said)), rel=0.02)


def test_a_device_that_goes_away_is_replaced_and_the_talk_goes_on() -> None:
    card = SoundCard(ScriptedUser([], paced=False), paced=False)
    devices = []
    for number, (_, status) in enumerate(heard(card, 12.0)):
        if number == 100:
            card.unplug(HEADSET.name)
        devices.append(status.device)
    assert (devices[0], devices[-1]) == (HEADSET.name, BUILT_IN.name)
    assert len(devices) / 50 == pytest.approx(12.0, abs=0.2)  # silence took its place


def test_a_device_that_stalls_is_opened_again() -> None:
    card = SoundCard(ScriptedUser([], paced=False), paced=False)
    told = []
    for number, (_, status) in enumerate(heard(card, 12.0)):
        if number == 250:
            card.stall(HEADSET.name)
        if number == 350:
            card.wake(HEADSET.name)
        told.append(status.message)
    assert not any("gone" in message for message in told[:250])
    assert any("is gone" in message for message in told[250:])
    assert any("is back" in message for message in told[250:])
    assert len(told) / 50 == pytest.approx(12.0, abs=0.2)


def test_a_closed_device_gives_its_ring_back_at_once() -> None:
    card = SoundCard(ScriptedUser([], paced=False), paced=False)
    gc.disable()
    try:
        line = DeviceLine(card, HEADSET, "input")
        ring = weakref.ref(line.ring)
        line.close()
        card.rescan()
        del line
        assert ring() is None
    finally:
        gc.enable()
