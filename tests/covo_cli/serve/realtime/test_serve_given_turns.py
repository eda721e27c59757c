"""Turns that a client makes itself: committed by hand, sent in one piece, or given as an item; and
those that are not answered, deleted or cleared."""

from __future__ import annotations

import pytest

from covo_cli.serve.realtime import session
from tests.covo_cli.serve.wire_talk import (
    FIRST,
    USER,
    WireTalk,
    codes,
    pcm,
    text_item,
)
from tests.fakes.engine import speech
from tests.fakes.talks import Script


def test_a_turn_that_is_not_to_be_answered():
    talk = WireTalk()
    talk.update(
        audio={"input": {"turn_detection": {"type": "server_vad", "create_response": False}}}
    )
    talk.say(speech(1))
    talk.wait(3)
    assert len(talk.of("input_audio_buffer.committed")) == 1
    assert not talk.of("response.created")
    talk.send("response.create")
    talk.wait(4)
    assert talk.fake.history == [("hello", "one two three four")]
    assert talk.of("response.done")[0]["response"]["status"] == "completed"


@pytest.mark.parametrize("off", [None, False])
def test_turns_by_hand(off):
    talk = WireTalk()
    (told,) = talk.update(audio={"input": {"turn_detection": off}})
    assert told["session"]["audio"]["input"]["turn_detection"] is None
    talk.wait(0.06)
    empty = talk.send("input_audio_buffer.commit")
    assert codes(empty) == ["input_audio_buffer_commit_empty"]
    talk.send("input_audio_buffer.clear")
    talk.say(speech(1))
    told = [e["type"] for e in talk.send("input_audio_buffer.commit")]
    assert told == USER[2:5]
    talk.nothing(2)
    assert talk.of("conversation.item.input_audio_transcription.completed")
    assert not talk.of("response.created")
    talk.send("response.create")
    talk.nothing(4)
    assert talk.fake.history == [("hello", "one two three four")]
    assert not talk.of("input_audio_buffer.speech_started")


@pytest.mark.parametrize(
    "turns",
    [{"type": "server_vad"}, {"type": "semantic_vad", "create_response": False}, None],
)
def test_what_is_sent_in_one_piece_is_committed_and_answered(turns):
    talk = WireTalk()
    talk.update(audio={"input": {"turn_detection": turns}})
    talk.send("input_audio_buffer.append", audio=pcm(speech(2)))
    talk.send("input_audio_buffer.commit")
    talk.send("response.create", response={"metadata": {"k": "v"}})
    talk.nothing(6)
    assert not talk.of("error")
    (done,) = talk.of("response.done")
    assert done["response"]["metadata"] == {"k": "v"}
    assert talk.fake.history == [("hello", "one two three four")]


def test_a_turn_that_is_committed_and_asked_for_is_answered_once():
    script = Script()
    talk = WireTalk(script=script, words=["word"] * 20)
    talk.say(script.say("what is it?", 1))
    told = [e["type"] for e in talk.send("input_audio_buffer.commit")]
    assert told[-4:] == USER[1:5]
    assert [e["type"] for e in talk.send("response.create")] == FIRST
    talk.wait(3)
    talk.say(script.say("no stop it now please", 1.5))
    talk.wait(3)
    assert [turn.text for turn in talk.fake.turns] == ["what is it?", "no stop it now please"]


@pytest.mark.parametrize("interrupts", [True, False])
@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("line", ["and what is that now", "yeah"])
def test_what_is_sent_over_a_reply_is_one_item(interrupts, answers, line):
    script = Script()
    talk = WireTalk(script=script, words=["word"] * 8)
    turns = {"type": "server_vad", "interrupt_response": interrupts, "create_response": answers}
    talk.update(audio={"input": {"turn_detection": turns}})
    talk.send("response.create")
    while not talk.of("response.done"):
        talk.nothing(0.02)
    talk.send("input_audio_buffer.append", audio=pcm(script.say(line, 0.6)))
    talk.send("input_audio_buffer.commit")
    talk.send("response.create")
    talk.nothing(16)
    talk.orders.at_rest()
    assert len(talk.of("input_audio_buffer.committed")) <= 1
    assert talk.orders.committed <= talk.orders.transcribed
    assert len(talk.of("response.done")) == 2
    if line != "yeah":
        assert [asked for asked, _ in talk.fake.history][1:] == [line]


def test_events_wait_for_sound_only_while_they_are_small(monkeypatch):
    monkeypatch.setattr(session, "MOST_HELD", 2000)
    talk = WireTalk()
    talk.send("input_audio_buffer.append", audio=pcm(speech(2)))
    assert not talk.send("input_audio_buffer.commit")
    (error, *_) = talk.send("conversation.item.create", item=text_item("x" * 2000))
    assert codes([error]) == ["input_audio_buffer_commit_empty"]


@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_a_turn_whose_item_is_deleted_is_not_answered(seconds):
    talk = WireTalk()
    talk.update(audio={"input": {"turn_detection": None}})
    talk.say(speech(1))
    talk.send("input_audio_buffer.commit")
    talk.nothing(seconds)
    (item_id,) = talk.orders.conversation
    talk.send("conversation.item.delete", item_id=item_id)
    talk.send("response.create", response={"instructions": "Say the time."})
    talk.nothing(5)
    assert talk.fake.history == [("Say the time.", "one two three four")]


@pytest.mark.parametrize("turns", [{"type": "server_vad"}, None])
@pytest.mark.parametrize("first", [[], [{"type": "input_text", "text": "say it again:"}]])
def test_a_question_that_is_an_item_of_sound(turns, first):
    talk = WireTalk()
    talk.update(audio={"input": {"turn_detection": turns}})
    content = [*first, {"type": "input_audio", "audio": pcm(speech(1))}]
    item = {"type": "message", "role": "user", "id": "mine", "content": content}
    (added, _) = talk.send("conversation.item.create", item=item)
    assert added["item"]["content"][-1] == {"type": "input_audio", "transcript": None}
    talk.nothing(1)
    (words,) = talk.of("conversation.item.input_audio_transcription.completed")
    assert (words["item_id"], words["content_index"]) == ("mine", len(first))
    assert words["transcript"] == "hello"
    assert not talk.of("response.created")
    talk.send("response.create")
    talk.nothing(5)
    asked = "\n".join(["hello", *(part["text"] for part in first)])
    assert talk.fake.history == [(asked, "one two three four")]
    for item_id in talk.orders.conversation[:]:
        talk.send("conversation.item.delete", item_id=item_id)
    talk.nothing(0.1)
    assert talk.fake.history == []


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"type": "input_image", "image_url": "data:,"}, "input_image is not supported"),
        ({"type": "input_audio", "audio": pcm(speech(0.04))}, "100 ms"),
        ({"type": "input_audio", "audio": pcm(speech(61))}, "60 s"),
        ({"type": "input_audio", "audio": 1}, "must be a string"),
        ({"type": "input_audio", "audio": "?"}, "not base64"),
    ],
)
def test_an_item_is_refused_as_a_whole(part, told):
    talk = WireTalk()
    item = text_item("look at this", id="mine")
    item["content"].append(part)
    (error,) = talk.send("conversation.item.create", item=item, event_id="e")
    assert told in error["error"]["message"]
    assert error["error"]["event_id"] == "e"
    talk.nothing(0.5)
    assert talk.fake.history == []
    assert len(talk.send("conversation.item.create", item=text_item("look", id="mine"))) == 2


def test_a_turn_that_is_cleared_is_none():
    talk = WireTalk()
    talk.say(speech(1))
    talk.send("input_audio_buffer.clear")
    talk.wait(3)
    assert talk.kinds()[1:] == [USER[0], "input_audio_buffer.cleared", USER[1]]
    assert not talk.engine.busy
    talk.say(speech(1))
    talk.wait(4)
    assert len(talk.of("response.done")) == 1


def test_a_commit_ends_the_turn_that_is_heard():
    talk = WireTalk()
    assert codes(talk.send("input_audio_buffer.commit")) == ["input_audio_buffer_commit_empty"]
    talk.say(speech(1))
    talk.send("input_audio_buffer.commit")
    talk.wait(0.5)
    assert talk.of("response.created")
