"""English text as the phonemes that the voices read."""

from __future__ import annotations

from model.lite.text.phonemes import LONGEST, Phonemizer


def test_a_long_clause_without_a_pause_is_split_between_words() -> None:
    words = "the river runs slowly past the old town " * 12
    one = Phonemizer().pieces("the river runs slowly past the old town")
    pieces = Phonemizer().pieces(words)
    assert len(pieces) > 1
    assert all(len(piece) <= LONGEST for piece in pieces)
    assert " ".join(pieces).split() == one[0].split() * 12


def test_a_clause_is_split_at_its_pauses_first() -> None:
    first, second = "the river runs slowly past the old town", "the boats go by under its bridges"
    pieces = Phonemizer().pieces(f"{first} and {first} and {first}, {second} and {second}.")
    assert [piece[-1] for piece in pieces] == [",", "."]
