"""What listening to somebody costs: which of the processor's time counts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from audio_io.signal import Audio
from covo_cli.bench import listening
from covo_cli.bench.listening import measure_listening
from covo_cli.errors import CliError
from covo_cli.settings.settings import load_settings
from covo_cli.simulation.scripted_user import Line, ScriptedUser
from model.jobs.virtual_executor import VirtualExecutor
from model.turns.controller import TurnTakingEngine
from tests.fakes.engine import (
    FakeClock,
    FakeGenerator,
    FakeRecognizer,
    LevelDetector,
    silence,
    speech,
)

LINE = Line(np.concatenate([speech(1), silence(0.2)]), "what is it?")


class CostlyDetector(LevelDetector):
    """Takes 2 ms of the processor for a frame of speech, 1 ms for a frame of silence."""

    def __init__(self, processor: FakeClock, *, deaf: bool = False) -> None:
        self.processor, self.deaf = processor, deaf

    def process(self, samples: Audio) -> float:
        heard = super().process(samples)
        self.processor.pass_time(0.002 if heard else 0.001)
        return 0.0 if self.deaf else heard


def measure(monkeypatch: pytest.MonkeyPatch, *, deaf: bool = False) -> dict[str, float]:
    processor, clock = FakeClock(), FakeClock()
    monkeypatch.setattr(listening, "time", SimpleNamespace(process_time=processor))
    engine = TurnTakingEngine(
        FakeGenerator(clock),
        CostlyDetector(processor, deaf=deaf),
        VirtualExecutor(clock),
        recognizer=FakeRecognizer(clock, lambda audio: "What is it?"),
    )
    return measure_listening(engine, ScriptedUser([LINE] * 3, paced=False))


def test_time_counts_from_the_beginning_of_a_line_to_the_reply(monkeypatch):
    figures = measure(monkeypatch)
    assert figures["answered"] == 3
    assert figures["seconds"] == pytest.approx(3 * (1.0 + 0.7), abs=0.1)
    assert figures["share_of_one_core"] == pytest.approx((0.1 + 0.035) / 1.7, abs=0.001)


def test_a_detector_that_hears_nothing_measures_nothing(monkeypatch):
    with pytest.raises(CliError, match="no question was answered"):
        measure(monkeypatch, deaf=True)


def test_a_line_is_said_from_its_first_sound_to_its_last(monkeypatch):
    engine = SimpleNamespace(warm_up=lambda stage: None, close=lambda: None)
    monkeypatch.setattr(listening, "turn_taking", lambda *parts: engine)
    monkeypatch.setattr(listening, "measure_listening", lambda engine, user: user.lines)
    padded = Line(np.concatenate([silence(0.4), LINE.audio]), LINE.text)
    (said,) = listening.listening_cost(load_settings(), [padded])
    assert said.text == LINE.text
    assert np.array_equal(said.audio, speech(1))
