"""Dictionaries in little memory: the same answers as a dict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model.lite.text.word_table import WordTable

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=4)
VALUES = st.text(max_size=4) | st.dictionaries(WORDS, st.floats(allow_nan=False), max_size=3)


@given(st.dictionaries(WORDS, VALUES, max_size=40), st.lists(WORDS | st.text(max_size=2)))
def test_it_answers_like_the_dict_it_was_made_of(entries: dict[str, object], others: list[str]):
    table = WordTable(entries)
    for word in (*entries, *others):
        assert table.get(word) == entries.get(word)


def test_words_are_not_taken_for_their_beginnings_or_for_values() -> None:
    table = WordTable({"cat": "kˈæt", "catalogue": "kˈætəlˌɔɡ", "live": {"VERB": "lˈɪv"}})
    assert table.get("cat") == "kˈæt"
    assert table.get("live") == {"VERB": "lˈɪv"}
    for word in ("", "ca", "cata", "kˈæt", "CAT", "cat\0", "\udc80", "cat\0kˈæt"):
        assert table.get(word) is None
