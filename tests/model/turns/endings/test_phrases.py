"""What words tell about turn taking."""

from __future__ import annotations

import pytest

from model.turns.phrases import OverlapKind, phrases_of, words_of

ENGLISH = phrases_of("en")


@pytest.mark.parametrize(
    ("text", "length", "sentences", "told"),
    [
        ("What is the tallest building here?", 6, 1, {"asks"}),
        ("I like it. What is that?", 3, 2, {"asks", "open"}),
        ("I would like, um", 4, 1, {"filler"}),
        ("Could it be, hmm.", 4, 1, {"filler"}),
        ("How do you know?", 4, 1, {"asks"}),
        ("What's it called?", 3, 1, set()),
        ("Show me the way to the.", 6, 1, {"open"}),
        ("My number is five five", 5, 1, {"spelt"}),
        ("It is 555 12", 4, 1, {"spelt"}),
        ("My name is S M I T H.", 8, 1, {"spelt"}),
        ("So do I.", 3, 1, {"open"}),
        ("My daughter starts school in May.", 6, 1, set()),
        ("", 0, 0, set()),
        ("...", 0, 0, set()),
    ],
)
def test_how_a_turn_s_words_end(text, length, sentences, told):
    phrase = ENGLISH.last_phrase(text)
    assert (phrase.length, phrase.sentences) == (length, sentences)
    found = {name for name in ("asks", "filler", "open", "spelt") if getattr(phrase, name)}
    assert found == told


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


CHINESE = phrases_of("zh")


@pytest.mark.parametrize(
    ("text", "length", "told"),
    [
        ("今天天气怎么样", 4, {"asks"}),
        ("我昨天去了北京。", 4, set()),
        ("我喜欢北京和", 3, {"open"}),
        ("我想去，那个", 3, {"open"}),
        ("我想，呃", 2, {"filler"}),
        ("我的电话是一三五", 4, {"spelt"}),
        ("我用Python", 2, set()),
        ("。", 0, set()),
    ],
)
def test_how_a_chinese_turn_ends(text, length, told):
    phrase = CHINESE.last_phrase(text)
    assert phrase.length == length
    found = {name for name in ("asks", "filler", "open", "spelt") if getattr(phrase, name)}
    assert found == told


@pytest.mark.parametrize(
    ("text", "kind", "content"),
    [
        ("嗯", OverlapKind.BACKCHANNEL, 0),
        ("对，对对。", OverlapKind.BACKCHANNEL, 0),
        ("對啊", OverlapKind.BACKCHANNEL, 0),
        ("好的好的", OverlapKind.BACKCHANNEL, 0),
        ("嗯，我知道了", OverlapKind.BACKCHANNEL, 0),
        ("OK，好", OverlapKind.BACKCHANNEL, 0),
        ("真的吗？", OverlapKind.BACKCHANNEL, 0),
        ("停！", OverlapKind.INTERRUPTION, 1),
        ("等一下", OverlapKind.INTERRUPTION, 2),
        ("好了好了", OverlapKind.INTERRUPTION, 2),
        ("嗯，別說了", OverlapKind.INTERRUPTION, 2),
        ("对不起", OverlapKind.INTERRUPTION, 2),
        ("不对", OverlapKind.INTERRUPTION, 1),
        ("是不是", OverlapKind.INTERRUPTION, 2),
        ("那北京呢", OverlapKind.INTERRUPTION, 2),
        ("你妈妈叫你回家吃饭", OverlapKind.WORDS, 5),
        ("用Python写", OverlapKind.WORDS, 2),
    ],
)
def test_what_is_said_in_chinese_over_a_reply(text, kind, content):
    told = CHINESE.over_a_reply(text)
    assert (told.kind, told.content) == (kind, content)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Sí, claro.", OverlapKind.BACKCHANNEL),
        ("Ajá, ¡qué bien!", OverlapKind.BACKCHANNEL),
        ("Para.", OverlapKind.INTERRUPTION),
        ("Vale, espera un momento", OverlapKind.INTERRUPTION),
        ("¿Y cuándo es?", OverlapKind.INTERRUPTION),
        ("Mi hermano vive allí", OverlapKind.WORDS),
    ],
)
def test_what_is_said_in_spanish_over_a_reply(text, kind):
    assert phrases_of("es").over_a_reply(text).kind is kind


def test_two_characters_that_the_reply_holds_are_no_echo():
    reply = "好的，我们来说说北京的历史。"
    assert CHINESE.over_a_reply("好的", reply).kind is OverlapKind.BACKCHANNEL
    assert CHINESE.over_a_reply("北京的历史", reply).kind is OverlapKind.ECHO


def test_the_rules_are_those_of_the_words_language():
    assert ENGLISH.of("zh") is CHINESE
    assert ENGLISH.of("") is ENGLISH
    assert ENGLISH.of("th") is None


def test_the_words_that_told_are_told():
    assert ENGLISH.over_a_reply("Okay, STOP!").words == "okay stop"


def test_words_keep_apostrophes_and_hyphens():
    assert words_of("Don’t, uh-huh; 3 o'clock -- no!") == ["don't", "uh-huh", "3", "o'clock", "no"]


def test_of_a_language_without_rules_nothing_is_known():
    assert phrases_of("xx") is None


@pytest.mark.parametrize("language", ["en", "es", "zh"])
def test_no_entry_of_the_rules_is_one_that_can_never_match(language):
    import tomllib
    from importlib import resources

    file = resources.files("model.turns").joinpath("languages", f"{language}.toml")
    rules, between = phrases_of(language), "" if language == "zh" else " "
    for kind, entries in tomllib.loads(file.read_text("utf-8")).items():
        if not isinstance(entries, list):
            continue
        assert len(set(entries)) == len(entries), kind
        for entry in entries:
            assert between.join(rules.words_of(entry)) == entry, (kind, entry)
