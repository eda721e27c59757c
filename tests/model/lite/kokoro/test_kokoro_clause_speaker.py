"""The sound of a reply is held back over the ends of its clauses, and keeps its words."""

from __future__ import annotations

from typing import Any, cast

from model.lite.clause_speaker import ClauseSpeaker
from model.lite.kokoro.head_start import SynthesisPace
from model.lite.synthesizer import Synthesizer
from model.reply import ReplyAudio
from tests.fakes.lite import PER_LETTER, FakeSynthesizer

FIRST, SECOND = "A short one. ", "This one is longer, so much longer that it takes its time. "


class AtPace(FakeSynthesizer):
    """Has taken ``work`` seconds for each second of speech until now."""

    def __init__(self, work: float) -> None:
        super().__init__()
        self.pace: Any = SynthesisPace(0.2, 0.5, 0.3, 2.0)
        self.pace.made(1.0, work)


def spoken(work: float) -> list[list[str]]:
    """The words of the sound that comes with each of the two clauses, and at the end."""
    waiting = [FIRST, SECOND]
    speaker = ClauseSpeaker(cast(Synthesizer, AtPace(work)), lambda: waiting)
    came = []
    while waiting:
        clause = waiting.pop(0)
        parts = list(speaker.speak(clause, aloud=True))
        assert all(isinstance(part, ReplyAudio) for part in parts)
        came.append([part.text for part in parts])
        for part in parts:
            assert isinstance(part, ReplyAudio)
            assert len(part.samples) == len(part.text) * PER_LETTER
    return [*came, [part.text for part in speaker.end()]]


def test_a_fast_voice_speaks_each_clause_when_it_is_made() -> None:
    assert spoken(0.05) == [[FIRST], [SECOND], []]


def test_a_slow_one_waits_for_the_next_clause() -> None:
    assert spoken(0.9) == [[], [FIRST, SECOND], []]


def test_one_that_is_far_too_slow_waits_for_nothing_in_vain() -> None:
    assert spoken(9.0) == [[FIRST], [SECOND], []]
