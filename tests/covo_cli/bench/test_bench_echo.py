"""The assistant in a room with an open loudspeaker, with the real detector, voice and canceller."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from audio_io.clock import USER_RATE
from audio_io.files import read_audio
from audio_io.levels import at_level
from audio_io.signal import Audio
from covo_cli.bench.echo import measure_echo
from covo_cli.bench.speech import PERSON_DB
from covo_cli.settings.settings import load_settings, models_dir
from model.lite import SynthesizerMaker
from model.lite.synthesizer import Synthesizer
from model.weights.packages import WeightStore
from voices.store import VoiceStore

pytestmark = pytest.mark.weights


def person(name: str) -> Audio:
    """A recording of the demo, by another voice than the assistant's."""
    folder = Path(str(resources.files("covo_cli") / "demo_audio"))
    return at_level(read_audio(folder / name, USER_RATE), PERSON_DB)


@pytest.fixture(scope="module")
def voice() -> Synthesizer:
    return SynthesizerMaker(WeightStore(models_dir(load_settings())), VoiceStore().get)("heart")


def measure(voice: Synthesizer, **options: Any) -> dict[str, Any]:
    detector = WeightStore(models_dir(load_settings())).path("silero-vad", "silero_vad_16k.onnx")
    question, barge_in = person("exercise.flac"), person("stop.flac")
    (figures,) = measure_echo(detector, voice, question, barge_in, delays=[0.08], **options)[
        "paths"
    ]
    return figures


def test_with_echo_cancellation_only_a_person_interrupts(voice):
    # Two replies make the half minute: one of 33 s would be heard again after the last barge-in.
    figures = measure(voice, minutes=0.5, barge_ins=2, reply_seconds=16.6)
    assert figures["minutes_of_assistant_speech"] >= 0.5
    assert figures["self_interruptions"] == 0
    assert figures["barge_ins_caught"] == 2


def test_without_it_the_assistant_interrupts_itself(voice):
    """The measurement can tell the difference."""
    figures = measure(voice, minutes=0.05, barge_ins=0, reply_seconds=5.0, cancel=False)
    assert figures["self_interruptions"] > 0
