from __future__ import annotations

import numpy as np
import pytest

from audio_io.levels import FLOOR_DB, Level, Meter, from_db, measure, to_db


def test_measure_a_sine() -> None:
    sine = (0.5 * np.sin(2 * np.pi * np.arange(1600) / 16)).astype(np.float32)
    level = measure(sine)
    assert level.peak == pytest.approx(-6.02, abs=0.01)
    assert level.rms == pytest.approx(-9.03, abs=0.01)


def test_silence_and_nothing_are_the_floor() -> None:
    assert measure(np.zeros(320, np.float32)) == Level(FLOOR_DB, FLOOR_DB)
    assert measure(np.zeros(0, np.float32)) == Level(FLOOR_DB, FLOOR_DB)
    assert to_db(1e-9) == FLOOR_DB


def test_db_both_ways() -> None:
    assert to_db(from_db(-12.0)) == pytest.approx(-12.0)


def test_meter_rises_at_once_and_falls_by_its_decay() -> None:
    meter = Meter(16_000, decay=40.0)
    loud = np.full(320, 0.5, np.float32)
    quiet = np.zeros(320, np.float32)
    assert meter.update(loud).peak == pytest.approx(-6.02, abs=0.01)
    assert meter.update(quiet).peak == pytest.approx(-6.02 - 0.8, abs=0.01)
    for _ in range(200):
        meter.update(quiet)
    assert meter.level == Level(FLOOR_DB, FLOOR_DB)
