"""Clauses of a text that is still being written, and what is said of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.lite.text.clauses import LONG, NEXT_MIN, ClauseSplitter
from model.lite.text.speakable import speakable

TEXTS = st.lists(
    st.sampled_from(
        [
            "Hello",
            " there",
            ".",
            ",",
            " ",
            "\n",
            "Dr.",
            " 3.5",
            "?",
            " Yes",
            "…",
            '"',
            "a" * 40,
            "é",
            "```",
            "\n| a ",
            "\n|--|",
            "\n   a | b",
            "\n   - | -",
            "$$",
            "[it",
            "](u)",
            "<pre>",
            "。",
            "，",
            "你好",
        ]
    )
    | st.text(max_size=12),
    max_size=60,
)


def split(text: str, step: int | None = None) -> list[str]:
    splitter = ClauseSplitter()
    step = step or max(1, len(text))
    clauses = [c for i in range(0, len(text), step) for c in splitter.feed(text[i : i + step])]
    return clauses + splitter.flush()


@settings(deadline=None)
@given(TEXTS)
def test_clauses_joined_are_the_text(deltas: list[str]) -> None:
    splitter = ClauseSplitter()
    clauses = [clause for delta in deltas for clause in splitter.feed(delta)] + splitter.flush()
    assert "".join(clauses) == "".join(deltas)
    assert all(clauses)


@settings(deadline=None)
@given(TEXTS, st.integers(1, 7))
def test_how_the_text_arrives_makes_no_difference(deltas: list[str], step: int) -> None:
    text = "".join(deltas)
    assert split(text, 1) == split(text, step)


def test_the_first_clause_comes_at_a_comma_the_others_at_sentence_ends() -> None:
    text = (
        "When the sun is out, light is scattered, and the sky looks blue. That is all there is to "
        "it, really. Is there anything else?"
    )
    assert split(text, 3) == [
        "When the sun is out, ",
        "light is scattered, and the sky looks blue. ",
        "That is all there is to it, really. ",
        "Is there anything else?",
    ]


def test_the_first_clause_is_given_out_at_once() -> None:
    splitter = ClauseSplitter()
    assert splitter.feed("The capital of France is Paris.") == []
    assert splitter.feed(" It") == ["The capital of France is Paris. "]


@pytest.mark.parametrize(
    "text",
    [
        "It costs 3.5 dollars at the moment, or 1,250 in all",
        "Ask Dr. Smith about it at the hospital today",
        "This was written by J. K. Rowling a while ago",
        "Take something small, e.g. an apple from the garden",
    ],
)
def test_numbers_and_abbreviations_are_no_ends(text: str) -> None:
    splitter = ClauseSplitter()
    splitter.feed("This is the first sentence. ")
    clauses = splitter.feed(text + ". And so on")
    assert clauses[-1] == text + ". "


def test_short_sentences_are_joined() -> None:
    clauses = split("That is a good question. No. Yes. Maybe so, who can tell. Good night to you.")
    assert clauses[1] == "No. Yes. Maybe so, who can tell. "
    assert all(len(c.strip()) >= NEXT_MIN for c in clauses[1:-1])


def test_the_end_of_a_line_ends_a_clause_whatever_follows() -> None:
    lines = (
        "Here is what you will need\n"
        "seven large eggs and two spoons of butter\n"
        "half a pint of milk that is really cold\n"
    )
    clauses = split(lines + "and that is all", 3)
    assert [clause.strip() for clause in clauses] == [*lines.splitlines(), "and that is all"]


def test_an_endless_sentence_is_divided_all_the_same() -> None:
    clauses = split("word " * 400, 5)
    assert max(map(len, clauses)) <= LONG
    assert all(c.endswith(" ") for c in clauses)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("**Bold** and _soft_ `code`.", "Bold and soft code."),
        ("# Title\n- one\n- two", "Title one two"),
        ("See [the page](http://x.y/z) or https://a.b/c now.", "See the page or a link now."),
        ("Great 😀👍 news!", "Great news!"),
        ("snake_case stays, 2 * 3 too", "snake_case stays, 2 times 3 too"),
        ("😀", ""),
        ("...", ""),
        ("  \n", ""),
    ],
)
def test_what_is_said_of_a_text(text: str, spoken: str) -> None:
    assert speakable(text) == spoken


def test_chinese_is_split_at_its_punctuation_without_spaces() -> None:
    text = "今天北京是晴天，最高气温二十五度。他说：“很好！”Then 走了很远的路才到家。"
    assert split(text, 1) == [
        "今天北京是晴天，",
        "最高气温二十五度。他说：“很好！”",
        "Then 走了很远的路才到家。",
    ]
    long = "我们一起走了很远很远的路" * 3
    assert split(f"{long}，{long}。完") == [f"{long}，", f"{long}。", "完"]
