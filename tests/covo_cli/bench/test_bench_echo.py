"""The assistant in a room with an open loudspeaker, with the real detector, voice and canceller."""

from __future__ import annotations

import pytest

from covo_cli.bench.asked import spoken
from covo_cli.bench.echo import measure_echo
from covo_cli.settings.settings import load_settings, models_dir
from model.lite import SynthesizerMaker
from model.weights.packages import WeightStore
from voices.store import VoiceStore

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def measure():
    weights = WeightStore(models_dir(load_settings()))
    voices = SynthesizerMaker(weights, VoiceStore().get)
    person = voices("michael")
    question = spoken("Can you read something to me?", person)
    barge_in = spoken("Okay, stop. I have another question.", person)
    person.close()

    def run(**kwargs: object) -> dict:
        figures = measure_echo(
            weights.path("silero-vad", "silero_vad.onnx"),
            voices("heart"),
            question,
            barge_in,
            delays=[0.08],
            reply_seconds=20.0,
            **kwargs,
        )
        return figures["paths"][0]

    return run


def test_with_echo_cancellation_only_a_person_interrupts(measure):
    figures = measure(minutes=0.5, barge_ins=2)
    assert figures["minutes_of_assistant_speech"] >= 0.5
    assert figures["self_interruptions"] == 0
    assert figures["barge_ins_caught"] == 2


def test_without_it_the_assistant_interrupts_itself(measure):
    """The measurement can tell the difference."""
    assert measure(minutes=0.3, barge_ins=0, cancel=False)["self_interruptions"] > 0
