"""The figures about voices that are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import USER_RATE, samples
from audio_io.signal import Audio
from covo_cli.bench.speakers import equal_error, measure_speakers
from covo_cli.errors import CliError
from model.hearing.identity.profile import Embedding


class PitchEmbedder:
    """Takes the loudest frequency for the voice; to a ``deaf`` one all voices are the same."""

    middle = np.zeros(2, np.float32)

    def __init__(self, *, deaf: bool = False) -> None:
        self._deaf = deaf

    def load(self) -> None:
        pass

    def embed(self, speech: Audio) -> Embedding:
        pitch = np.argmax(np.abs(np.fft.rfft(speech))) / len(speech) * USER_RATE
        angle = 0.0 if self._deaf else pitch / 100
        return np.array([np.cos(angle), np.sin(angle)], np.float32)


def says(pitch: float, *lengths: float) -> list[Audio]:
    times = [np.arange(samples(length)) / USER_RATE for length in lengths]
    return [(0.1 * np.sin(2 * np.pi * pitch * t)).astype(np.float32) for t in times]


VOICES = {"low": says(100, 4.5, 2.5, 3.0), "high": says(300, 4.5, 2.5, 3.0)}


def test_voices_that_differ_are_told_apart() -> None:
    figures = measure_speakers(PitchEmbedder(), VOICES)
    for name in ("0.8 s, clean", "2.4 s, white noise, 10 dB"):
        assert figures[name]["equal_error"] == 0
        assert figures[name]["user_rejected"] == figures[name]["others_accepted"] == 0
        assert figures[name]["user_unclear"] == 0
    # Pieces of 0.8 s: three in each sentence; of each speaker against two users.
    assert figures["0.8 s, clean"]["trials"] == (3 + 3) * 2 * 2
    assert figures["2.4 s, clean"]["trials"] == 2 * 2 * 2


def test_voices_that_are_alike_are_confused() -> None:
    figures = measure_speakers(PitchEmbedder(deaf=True), VOICES)["1.7 s, clean"]
    assert figures["equal_error"] == pytest.approx(0.5)
    assert (figures["user_rejected"], figures["others_accepted"]) == (0, 1)


def test_a_voice_that_says_too_little_is_refused() -> None:
    with pytest.raises(CliError, match="needs 3 s of speech"):
        measure_speakers(PitchEmbedder(), {"low": says(100, 2.0, 2.0)})


def test_the_equal_error_is_where_both_errors_meet() -> None:
    own, others = np.array([0.2, 0.5, 0.6, 0.7]), np.array([0.0, 0.1, 0.2, 0.55])
    assert equal_error(own, others) == pytest.approx(0.25)
    assert equal_error(np.array([0.9, 0.8]), np.array([0.1])) == 0
