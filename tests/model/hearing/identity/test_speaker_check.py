"""Which pieces of speech are asked about: what was hard to tell is, once more, when it ends."""

from __future__ import annotations

import numpy as np

from audio_io.clock import samples
from audio_io.signal import Audio
from model.hearing.identity.profile import Embedding
from model.hearing.identity.speaker_check import SpeakerCheck
from model.hearing.open_turn import OpenTurn
from model.jobs.virtual_executor import VirtualExecutor
from tests.fakes.engine import FakeClock, silence, speech


class Listed:
    """Gives the likenesses to the first voice that it is told, one after another."""

    name = "a fake"
    middle = np.zeros(2, np.float32)

    def __init__(self, *likenesses: float) -> None:
        self.left = [1.0, *likenesses]

    def load(self) -> None:
        pass

    def embed(self, speech: Audio) -> Embedding:
        likeness = self.left.pop(0)
        return np.array([likeness, np.sqrt(1 - likeness**2)], np.float32)


def turn(number: int, seconds: float) -> OpenTurn:
    """In a quiet room."""
    frames = [silence(1), speech(seconds)]
    return OpenTurn(number, 0, samples(1 + seconds), frames, samples(seconds))


def test_what_was_hard_to_tell_is_told_when_the_speech_ends_with_it() -> None:
    somebody_else, unclear = -0.6, 0.55
    embedder = Listed(somebody_else, unclear, unclear)
    check = SpeakerCheck(embedder, VirtualExecutor(FakeClock()))
    check.learn(0, turn(1, 3.6))
    check.poll(1)
    for seconds, ended in ((1.2, False), (2.4, False), (2.4, True)):
        check.ask(0, turn(2, seconds), samples(seconds), ended=ended)
        check.poll(1)
    assert check.other(turn(2, 2.4)) is False
    assert check.other(turn(3, 2.4)) is None
    assert embedder.left == []


def test_what_is_hard_to_tell_is_somebody_elses_whose_voice_it_has() -> None:
    somebody_else, alike = 0.3, 0.5
    embedder = Listed(somebody_else, alike)
    check = SpeakerCheck(embedder, VirtualExecutor(FakeClock()))
    check.learn(0, turn(1, 3.6))
    check.poll(1)
    for number in (2, 3):
        check.ask(0, turn(number, 1.2), samples(1.2), ended=True)
        check.poll(1)
        assert check.other(turn(number, 1.2))
