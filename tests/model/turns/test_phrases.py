"""What words tell about turn taking."""

from __future__ import annotations

import pytest

from model.turns.phrases import OverlapKind, Phrase, phrases_of, words_of

ENGLISH = phrases_of("en")


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("What is the tallest building here?", Phrase.FINISHED),
        ("Show me the way to the station.", Phrase.FINISHED),
        ("Thank you.", Phrase.FINISHED),
        ("Why?", Phrase.FINISHED),
        ("Where are you from?", Phrase.FINISHED),
        ("What are they looking for?", Phrase.FINISHED),
        ("I like it. What is that?", Phrase.FINISHED),
        ("Please explain what a volcano is.", Phrase.FINISHED),
        ("What I like best is", Phrase.UNFINISHED),
        ("The man who was", Phrase.STATEMENT),
        ("Well, I would like a window seat, please.", Phrase.FINISHED),
        ("My daughter starts school in May.", Phrase.STATEMENT),
        ("So we bought a tent.", Phrase.STATEMENT),
        ("Yesterday was fun", Phrase.STATEMENT),
        ("Okay, so pizza.", Phrase.STATEMENT),
        ("Okay, so pizza?", Phrase.FINISHED),
        ("Okay, pizza.", Phrase.FINISHED),
        ("Hmm, okay, stop.", Phrase.FINISHED),
        ("Well, yes.", Phrase.FINISHED),
        ("My daughter starts school in May?", Phrase.FINISHED),
        ("What is the tallest building in", Phrase.UNFINISHED),
        ("Show me the way to the.", Phrase.UNFINISHED),
        ("I would like, um", Phrase.UNFINISHED),
        ("Um.", Phrase.UNFINISHED),
        ("And", Phrase.UNFINISHED),
        ("I think that", Phrase.UNFINISHED),
        ("We could go by train,", Phrase.UNFINISHED),
        ("We could go by...", Phrase.UNFINISHED),
        ("Is it true that you", Phrase.FINISHED),  # nothing in the lists tells
        ("", Phrase.UNKNOWN),
        ("...", Phrase.UNKNOWN),
    ],
)
def test_the_end_of_a_turn_s_words(text, phrase):
    assert ENGLISH.end_of(text).phrase is phrase


@pytest.mark.parametrize(
    ("text", "kind", "content"),
    [
        ("", OverlapKind.NOTHING, 0),
        ("Mm-hmm.", OverlapKind.BACKCHANNEL, 0),
        ("Yeah, I see, right.", OverlapKind.BACKCHANNEL, 0),
        ("Ha ha ha!", OverlapKind.BACKCHANNEL, 0),
        ("Stop!", OverlapKind.INTERRUPTION, 1),
        ("Okay, wait", OverlapKind.INTERRUPTION, 1),
        ("Oh, how big is it", OverlapKind.INTERRUPTION, 4),
        ("Yeah, the green one", OverlapKind.WORDS, 3),
    ],
)
def test_what_is_said_over_a_reply(text, kind, content):
    told = ENGLISH.over_a_reply(text)
    assert (told.kind, told.content) == (kind, content)


def test_the_words_that_told_are_told():
    assert ENGLISH.end_of("Show me the way to the").words == "the"
    assert ENGLISH.end_of("Can you, you know").words == "you know"
    assert ENGLISH.over_a_reply("Okay, STOP!").words == "okay stop"


def test_words_keep_apostrophes_and_hyphens():
    assert words_of("Don’t, uh-huh; 3 o'clock -- no!") == ["don't", "uh-huh", "3", "o'clock", "no"]


def test_of_a_language_without_rules_nothing_is_known():
    assert phrases_of("xx") is None


def test_no_entry_of_the_rules_is_one_that_can_never_match():
    import tomllib
    from importlib import resources

    rules = tomllib.loads(resources.files("model.turns").joinpath("phrases.toml").read_text())
    for kind, entries in rules["en"].items():
        assert len(set(entries)) == len(entries), kind
        for entry in entries:
            assert words_of(entry) == entry.split(), (kind, entry)
