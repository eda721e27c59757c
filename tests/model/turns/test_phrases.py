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


CHINESE = phrases_of("zh")


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("今天天气怎么样？", Phrase.FINISHED),
        ("今天天气怎么样", Phrase.FINISHED),  # Whisper often leaves the mark out
        ("你叫什么名字", Phrase.FINISHED),
        ("你喜欢音乐吗", Phrase.FINISHED),
        ("我們現在去哪裡", Phrase.FINISHED),
        ("请给我讲一个故事。", Phrase.FINISHED),
        ("帮我打开灯。", Phrase.FINISHED),
        ("把它给我", Phrase.FINISHED),
        ("我想听一首歌", Phrase.FINISHED),
        ("你好", Phrase.FINISHED),
        ("谢谢你", Phrase.FINISHED),
        ("现在几点", Phrase.FINISHED),
        ("再来一个", Phrase.FINISHED),
        ("不可能", Phrase.FINISHED),
        ("是", Phrase.FINISHED),
        ("你是不是", Phrase.FINISHED),
        ("苹果用英语怎么说", Phrase.FINISHED),
        ("北京。", Phrase.FINISHED),
        ("我昨天去了北京。", Phrase.STATEMENT),
        ("嗯，我们家有三口人。", Phrase.STATEMENT),
        ("但是我不喜欢咖啡", Phrase.STATEMENT),
        ("我昨天去了北京？", Phrase.FINISHED),
        ("我昨天去了北京。那里好玩吗", Phrase.FINISHED),
        ("最近工作太忙了", Phrase.STATEMENT),
        ("其实外面下雨了", Phrase.STATEMENT),
        ("最近有什么新闻", Phrase.FINISHED),
        ("我知道那个", Phrase.STATEMENT),
        ("你知道那个", Phrase.UNFINISHED),
        ("麻烦你帮我看一下", Phrase.UNFINISHED),
        ("我想问一下", Phrase.UNFINISHED),
        ("等一下", Phrase.FINISHED),
        ("我想要一个", Phrase.UNFINISHED),
        ("我覺得", Phrase.UNFINISHED),
        ("因为", Phrase.UNFINISHED),
        ("我最喜欢的运动是", Phrase.UNFINISHED),
        ("我昨天去了北京，", Phrase.UNFINISHED),
        ("我喜欢北京和", Phrase.UNFINISHED),
        ("请帮我把", Phrase.UNFINISHED),
        ("我昨天在", Phrase.UNFINISHED),
        ("你能不能", Phrase.UNFINISHED),
        ("这个东西很", Phrase.UNFINISHED),
        ("给我放一首", Phrase.UNFINISHED),
        ("我想去……", Phrase.UNFINISHED),
        ("呃", Phrase.UNFINISHED),
        ("。", Phrase.UNKNOWN),
    ],
)
def test_the_end_of_a_chinese_turn(text, phrase):
    assert CHINESE.end_of(text).phrase is phrase


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


def test_two_characters_that_the_reply_holds_are_no_echo():
    reply = "好的，我们来说说北京的历史。"
    assert CHINESE.over_a_reply("好的", reply).kind is OverlapKind.BACKCHANNEL
    assert CHINESE.over_a_reply("北京的历史", reply).kind is OverlapKind.ECHO
    assert CHINESE.end_of("请告诉我北京的历史").words == "历史"


def test_the_rules_are_those_of_the_words_language():
    assert ENGLISH.of("zh") is CHINESE
    assert ENGLISH.of("") is ENGLISH
    assert ENGLISH.of("th") is None


def test_the_words_that_told_are_told():
    assert ENGLISH.end_of("Show me the way to the").words == "the"
    assert ENGLISH.end_of("Can you, you know").words == "you know"
    assert ENGLISH.over_a_reply("Okay, STOP!").words == "okay stop"


def test_words_keep_apostrophes_and_hyphens():
    assert words_of("Don’t, uh-huh; 3 o'clock -- no!") == ["don't", "uh-huh", "3", "o'clock", "no"]


def test_of_a_language_without_rules_nothing_is_known():
    assert phrases_of("xx") is None


@pytest.mark.parametrize("language", ["en", "zh"])
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
