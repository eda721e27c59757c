"""How much of a reply's text was heard, by how much of its sound was played."""

from __future__ import annotations

import pytest

from model.playback.spoken_text import SpokenText, said_by
from model.reply import Heard


def reply(*pieces: tuple[int, str], written: str | None = None, complete: bool = True):
    spoken = SpokenText()
    spoken.write("".join(text for _, text in pieces) if written is None else written)
    for samples, text in pieces:
        spoken.say(samples, text)
    spoken.complete = complete
    return spoken


@pytest.mark.parametrize(
    ("samples", "ended", "begun"),
    [
        (0, "", ""),
        (1, "", "The "),
        (299, "", "The "),
        (300, "The ", "The "),
        (301, "The ", "The sky "),
        (600, "The sky ", "The sky "),
        (799, "The sky is ", "The sky is blue."),
        (800, "The sky is blue.", "The sky is blue."),
        (9999, "The sky is blue.", "The sky is blue."),
    ],
)
def test_a_word_counts_when_it_was_said_to_its_end_or_begun(samples, ended, begun):
    written = "The sky is blue."
    spoken = reply((600, "The sky "), (200, "is blue."), written=written)
    assert spoken.split(samples) == Heard(samples, ended, written[len(ended) :])
    assert spoken.split(samples, begun=True).text == begun


def test_what_is_still_being_made_is_not_heard():
    spoken = reply((300, "one"), written="one two ", complete=False)
    assert spoken.split(300) == Heard(300, "one ", "two ")
    spoken.complete = True
    assert spoken.split(300).text == "one two "


def test_text_without_sound_is_said_with_the_next_sound():
    spoken = reply((0, "Well, "), (500, "yes. "), (400, "No."))
    assert spoken.split(0).text == ""
    assert spoken.split(500).text == "Well, yes. "


def test_spaces_of_the_pieces_do_not_count():
    spoken = reply((100, "one"), (100, "two"), written="one  two ")
    assert spoken.split(100).text == "one  "


@pytest.mark.parametrize(
    "text", ["yesterday naïve don't stop", "今天天气很好🎉我们去公园走走吧。", "ok 今天 fine"]
)
@pytest.mark.parametrize("begun", [False, True])
def test_words_stay_whole_and_nothing_is_lost(text, begun):
    spoken = reply((100, text))
    for samples in range(101):
        split = spoken.split(samples, begun=begun)
        assert split.text + split.unheard == text
        before, after = split.text[-1:], split.unheard[:1]
        latin = before.isascii() and after.isascii()
        assert not (latin and before.isalpha() and (after.isalpha() or after == "'"))


def test_what_is_only_written_is_read():
    spoken = SpokenText(speaks=False)
    spoken.write("all of it")
    assert spoken.split(0) == Heard(0, "all of it", "")


def test_scripts_without_spaces_are_divided_between_characters():
    spoken = reply((1000, "今天天气很好，ok。"))
    assert spoken.split(500).text == "今天天气很"
    assert spoken.split(800).text == "今天天气很好，"


def test_a_share_of_a_sound_says_whole_words():
    text = "One three fifteen. "  # 3, 5 and 8 of 16 letters
    shares = {0.0: 0, 0.09: 0, 0.1: 4, 0.3: 4, 0.4: 10, 0.7: 10, 0.8: 19, 1.0: 19}
    assert {share: said_by(text, share) for share in shares} == shares
    assert said_by("...", 1.0) == 3
    assert said_by("", 0.5) == 0
