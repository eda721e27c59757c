"""What a client of the Realtime API is sent: turns, responses, interruptions, history."""

from __future__ import annotations

import pytest

from covo_cli.serve.realtime import session
from model.engine import SetVoice
from tests.covo_cli.serve.wire_talk import (
    FIRST,
    LAST,
    SERVED,
    USER,
    WireTalk,
    codes,
    pcm,
    text_item,
)
from tests.fakes.engine import FakeGenerator, speech
from tests.fakes.talks import Script


def being_answered(script: Script, words: int) -> WireTalk:
    """A talk whose first response has just ended, and is still heard."""
    talk = WireTalk(script=script, words=["word"] * words)
    talk.say(script.say("what is it?", 1))
    while not talk.of("response.done"):
        talk.wait(0.02)
    return talk


def test_a_turn_and_its_answer():
    talk = WireTalk()
    talk.say(speech(1))
    talk.wait(4)
    kinds = talk.kinds("session.updated", "conversation.item.input_audio_transcription.delta")
    assert kinds[0] == "session.created"
    between = kinds[1 + len(USER) + len(FIRST) : -len(LAST[True])]
    assert kinds[1 : 1 + len(USER) + len(FIRST)] == [*USER, *FIRST]
    assert between == ["response.output_audio_transcript.delta", "response.output_audio.delta"]
    assert kinds[-len(LAST[True]) :] == LAST[True]
    (done,) = talk.of("response.done")
    assert done["response"]["status"] == "completed"
    assert talk.sound() == {done["response"]["id"]: 4 * 12_000}
    (words,) = talk.of("conversation.item.input_audio_transcription.completed")
    assert words["transcript"] == "hello"
    assert words["usage"] == {"type": "duration", "seconds": pytest.approx(1.0, abs=0.05)}


def test_times_count_what_was_sent():
    talk = WireTalk()
    talk.nothing(2)
    talk.wait(1)
    talk.nothing(3)
    talk.wait(1)
    talk.say(speech(1))
    talk.nothing(4)
    (started,) = talk.of("input_audio_buffer.speech_started")
    (stopped,) = talk.of("input_audio_buffer.speech_stopped")
    assert started["audio_start_ms"] == pytest.approx(2000 - 500, abs=45)
    assert stopped["audio_end_ms"] == pytest.approx(3000, abs=45)


def test_a_question_sent_at_once_is_heard_and_answered_with_nothing_after_it():
    talk = WireTalk()
    talk.send("input_audio_buffer.append", audio=pcm(speech(4)))
    talk.nothing(1.05)
    assert len(talk.of("input_audio_buffer.speech_started")) == 1
    talk.nothing(4)
    assert talk.of("response.done")[0]["response"]["status"] == "completed"


def test_sound_is_sent_three_seconds_ahead_at_most():
    talk = WireTalk(words=["word"] * 30)
    talk.say(speech(1))
    talk.wait(0.5)
    while not talk.sound():
        talk.wait(0.02)
    talk.wait(1.0)
    (sent,) = talk.sound().values()
    assert 3.0 <= sent / 24_000 <= 1.0 - 0.1 + 3.0 + 0.11
    assert not talk.of("response.done")


@pytest.mark.parametrize("eagerness", ["low", "auto", "high"])
def test_a_short_noise_is_not_told(eagerness):
    talk = WireTalk()
    talk.update(
        audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": eagerness}}}
    )
    talk.say(speech(0.12))
    talk.wait(2)
    assert talk.kinds("session.updated") == ["session.created"]


def test_speech_that_is_nothing_leaves_no_item():
    talk = WireTalk(lambda audio: "")
    talk.say(speech(1))
    talk.wait(3)
    assert talk.kinds("session.updated")[1:] == USER[:2]


def interrupted(script: Script) -> WireTalk:
    talk = WireTalk(script=script, words=["word"] * 20)
    talk.say(script.say("what is it?", 1))
    talk.wait(3)
    return talk


def test_an_interruption_ends_the_response_where_it_was_heard():
    script = Script()
    talk = interrupted(script)
    count = len(talk.events)
    talk.say(script.say("no stop it now please", 1.5))
    later = [e for e in talk.events[count:] if e["type"] != "session.updated"]
    kinds = [e["type"] for e in later]
    started = kinds.index("input_audio_buffer.speech_started")
    assert "response.output_audio.delta" not in kinds[started:]
    began = 4000 - 1000 * SERVED.turns.pre_roll
    assert later[started]["audio_start_ms"] == pytest.approx(began, abs=45)
    (done,) = talk.of("response.done")
    assert done["response"]["status_details"]["reason"] == "turn_detected"
    (item,) = done["response"]["output"]
    assert item["status"] == "incomplete"
    heard = item["content"][0]["transcript"].split()
    assert 2 <= len(heard) <= 7
    talk.wait(3)
    assert talk.fake.history[0][1].split() == heard
    assert talk.fake.history[0][0] == "what is it?"
    assert len(talk.of("response.created")) == 2


def test_a_yeah_leaves_no_trace():
    script = Script()
    talk = interrupted(script)
    count = len(talk.events)
    talk.say(script.say("yeah", 0.4))
    talk.wait(10)
    kinds = {e["type"] for e in talk.events[count:]}
    assert "input_audio_buffer.speech_started" not in kinds
    assert talk.of("response.done")[0]["response"]["status"] == "completed"


@pytest.mark.parametrize("stopped_by", ["nothing", "response.cancel", "truncate"])
def test_speech_over_a_reply_is_told_where_it_stops_nothing(stopped_by):
    script = Script()
    talk = WireTalk(script=script, words=["word"] * 20)
    turns = {"type": "server_vad", "interrupt_response": False}
    talk.update(audio={"input": {"turn_detection": turns}})
    talk.say(script.say("what is it?", 1))
    talk.wait(3)
    talk.say(script.say("yeah", 0.4))
    talk.wait(1)
    assert len(talk.of("input_audio_buffer.speech_started")) == 2
    assert len(talk.of("input_audio_buffer.speech_stopped")) == 2
    assert len(talk.of("input_audio_buffer.committed")) == 1
    talk.say(script.say("and what is that now", 0.8))
    assert len(talk.of("input_audio_buffer.speech_started")) == 3
    (item_id,) = [e["item"]["id"] for e in talk.of("response.output_item.added")]
    if stopped_by == "response.cancel":
        talk.send("response.cancel")
    if stopped_by == "truncate":
        talk.send("conversation.item.truncate", item_id=item_id, audio_end_ms=5000)
    talk.say(script.say("tell me please", 0.7))
    talk.wait(25)
    assert [turn.text for turn in talk.fake.turns] == [
        "what is it?",
        "and what is that now tell me please",
    ]
    status = "completed" if stopped_by == "nothing" else "cancelled"
    assert [e["response"]["status"] for e in talk.of("response.done")] == [status, "completed"]
    talk.orders.at_rest()


def test_a_reply_that_came_too_early_is_taken_back():
    script = Script()
    talk = WireTalk(script=script, words=["word"] * 10)
    talk.say(script.say("what is it?", 1))
    while not talk.sound():
        talk.wait(0.02)
    talk.wait(0.2)
    talk.say(script.say("that you want", 1.5))
    talk.wait(4)
    first, second = talk.of("response.done")[:1] + talk.of("response.created")[1:2]
    assert first["response"]["status"] == "cancelled"
    assert second["response"]["id"] != first["response"]["id"]
    words = [
        e["transcript"] for e in talk.of("conversation.item.input_audio_transcription.completed")
    ]
    assert words == ["what is it?", "that you want"]
    assert talk.fake.turns[-1].text == "what is it? that you want"


def test_a_typed_question():
    talk = WireTalk()
    added = talk.send("conversation.item.create", item=text_item("who are you?", id="item_mine"))
    assert [e["type"] for e in added] == ["conversation.item.added", "conversation.item.done"]
    assert added[0]["item"]["id"] == "item_mine"
    created = talk.send("response.create", response={"metadata": {"k": "v"}})
    assert [e["type"] for e in created] == FIRST
    talk.nothing(4)
    (done,) = talk.of("response.done")
    assert done["response"]["metadata"] == {"k": "v"}
    assert done["response"]["status"] == "completed"
    assert talk.fake.history == [("who are you?", "one two three four")]


@pytest.mark.parametrize(
    ("response", "asked"),
    [
        ({"instructions": "Say the time."}, "Say the time."),
        ({}, "Greet the user in one short sentence."),
    ],
)
def test_a_response_to_nothing(response, asked):
    talk = WireTalk()
    talk.send("response.create", response=response)
    talk.nothing(4)
    assert talk.fake.history == [(asked, "one two three four")]
    assert len(talk.of("response.done")) == 1


def test_text_of_system_items_is_answered_too():
    talk = WireTalk()
    talk.send("conversation.item.create", item=text_item("hi", "system"))
    talk.send("conversation.item.create", item=text_item("what now?"))
    talk.send("response.create")
    talk.nothing(4)
    assert talk.fake.history == [("hi\nwhat now?", "one two three four")]


def test_a_history_reaches_the_engine():
    talk = WireTalk()
    talk.send("conversation.item.create", item=text_item("my name is Ann"))
    talk.send("conversation.item.create", item=text_item("hello Ann", "assistant"))
    talk.send("conversation.item.create", item=text_item("what is my name?"))
    talk.send("response.create")
    talk.nothing(4)
    assert talk.fake.history == [
        ("my name is Ann", "hello Ann"),
        ("what is my name?", "one two three four"),
    ]


def test_items_go_and_take_their_exchange_along():
    talk = WireTalk()
    talk.send("conversation.item.create", item=text_item("a", id="one"))
    talk.send("conversation.item.create", item=text_item("b", "assistant", id="two"))
    talk.nothing(0.3)
    assert talk.fake.history == [("a", "b")]
    for item_id in ("one", "two", "two"):
        (deleted,) = talk.send("conversation.item.delete", item_id=item_id)
        assert deleted["type"] == "conversation.item.deleted"
    talk.nothing(0.3)
    assert talk.fake.history == []
    assert codes(talk.send("conversation.item.retrieve", item_id="two")) == [
        "item_retrieve_invalid_item_id"
    ]


def test_an_item_takes_the_place_of_one_that_was_deleted():
    talk = WireTalk()
    for text in ("the whole answer", "the answer"):
        talk.send("conversation.item.delete", item_id="mine")
        talk.orders = talk.new_orders()  # the client gives the id to another item
        item = text_item(text, "assistant", id="mine")
        assert not codes(talk.send("conversation.item.create", item=item))
    talk.nothing(0.1)
    assert talk.fake.history == [("", "the answer")]


def test_items_have_places_and_ids():
    talk = WireTalk()
    talk.send("conversation.item.create", item=text_item("b", id="b"))
    (first, _) = talk.send(
        "conversation.item.create", item=text_item("a", id="a"), previous_item_id="root"
    )
    assert first["previous_item_id"] is None
    (last, _) = talk.send(
        "conversation.item.create", item=text_item("c", id="c"), previous_item_id="nowhere"
    )
    assert last["previous_item_id"] == "b"
    again = talk.send("conversation.item.create", item=text_item("c", id="c"))
    assert codes(again) == ["item_create_duplicate_item_id"]


def test_only_one_response_at_a_time():
    talk = WireTalk()
    talk.send("response.create")
    assert codes(talk.send("response.create")) == ["conversation_already_has_active_response"]
    talk.nothing(4)
    assert len(talk.of("response.done")) == 1


def test_a_response_while_the_last_one_is_still_played():
    talk = WireTalk(words=["word"] * 4)
    talk.send("response.create", response={"instructions": "one"})
    while not talk.of("response.done"):
        talk.nothing(0.02)
    talk.send("response.create", response={"instructions": "two"})
    talk.nothing(0.5)
    assert talk.fake.history == [("one", "word word word word")]
    talk.nothing(4)
    assert [asked for asked, _ in talk.fake.history] == ["one", "two"]


@pytest.mark.parametrize("after", [0.0, 0.02, 0.1, 1.5])
def test_a_response_is_cancelled(after):
    talk = WireTalk(words=["word"] * 20)
    talk.send("response.create")
    talk.nothing(after)
    talk.send("response.cancel")
    count = len(talk.of("response.output_audio.delta"))
    talk.nothing(3)
    (done,) = talk.of("response.done")
    assert done["response"]["status_details"]["reason"] == "client_cancelled"
    assert not talk.of("input_audio_buffer.speech_started")
    assert len(talk.of("response.output_audio.delta")) == count
    assert not talk.engine.busy


def test_cancelling_nothing():
    talk = WireTalk()
    (error,) = talk.send("response.cancel", event_id="mine")
    assert codes([error]) == ["response_cancel_not_active"]
    assert error["error"]["message"].startswith("Cancellation failed")
    assert error["error"]["event_id"] == "mine"


def test_a_truncate_of_what_is_spoken_ends_it():
    talk = WireTalk(words=["word"] * 20)
    talk.send("response.create", response={"instructions": "go"})
    talk.nothing(2.5)
    item_id = talk.of("response.output_item.added")[0]["item"]["id"]
    *ending, cut = talk.send(
        "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=1100.4
    )
    assert [e["type"] for e in ending] == LAST[True]
    assert cut["type"] == "conversation.item.truncated"
    assert cut["audio_end_ms"] == 1100
    talk.nothing(2)
    (done,) = talk.of("response.done")
    assert done["response"]["status_details"]["reason"] == "client_cancelled"
    assert talk.fake.history == [("go", "word word")]


def test_a_truncate_after_the_end_and_beyond_it():
    talk = WireTalk()
    talk.send("response.create", response={"instructions": "go"})
    talk.nothing(5)
    item_id = talk.of("response.output_item.added")[0]["item"]["id"]
    for end, cut in ((10_000_000, 2000), (1100, 1100)):
        (told,) = talk.send(
            "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=end
        )
        assert told["audio_end_ms"] == cut
        (item,) = talk.send("conversation.item.retrieve", item_id=item_id)  # it is cut at once
        talk.nothing(0.2)
    assert item["item"]["content"][0]["transcript"].strip() == "one two"
    assert talk.fake.history == [("go", "one two")]


def test_a_truncate_never_brings_back_what_was_not_heard():
    script = Script()
    talk = interrupted(script)
    talk.say(script.say("no stop it now please", 1.5))
    (item,) = talk.of("response.done")[0]["response"]["output"]
    heard = item["content"][0]["transcript"]
    talk.wait(2)
    assert len(talk.of("response.created")) == 2
    (told,) = talk.send("conversation.item.truncate", item_id=item["id"], audio_end_ms=60_000)
    assert told["audio_end_ms"] <= 500 * (len(heard.split()) + 1)
    (kept,) = talk.send("conversation.item.retrieve", item_id=item["id"])
    assert kept["item"]["content"][0]["transcript"] == heard


def test_an_interruption_after_the_end_of_a_response_cuts_its_item():
    script = Script()
    talk = being_answered(script, words=5)
    (item,) = talk.of("response.done")[0]["response"]["output"]
    talk.wait(0.8)
    talk.say(script.say("no stop it now please", 1.5))
    talk.wait(2)
    (kept,) = talk.send("conversation.item.retrieve", item_id=item["id"])
    heard = kept["item"]["content"][0]["transcript"].split()
    assert 0 < len(heard) < 5
    assert heard == talk.fake.history[0][1].split()


def test_the_instructions_of_a_response_are_its_own():
    talk = WireTalk()
    talk.update(instructions="Be kind.")
    talk.send("conversation.item.create", item=text_item("hi"))
    talk.send("response.create", response={"instructions": "Be short."})
    talk.nothing(0.1)
    assert talk.fake.persona == "Be short."
    talk.nothing(4)
    assert talk.fake.persona == "Be kind."


def test_a_response_whose_reply_never_begins_has_failed(monkeypatch):
    monkeypatch.setattr(session, "LONGEST_WAIT_S", 1.0)
    talk = WireTalk(think_cost=60.0)
    talk.send("response.create")
    talk.nothing(1.5)
    (done,) = talk.of("response.done")
    assert done["response"]["status"] == "failed"


def test_a_response_is_cancelled_while_the_last_one_is_heard():
    talk = WireTalk(words=["word"] * 4)
    talk.send("response.create")
    while not talk.of("response.done"):
        talk.nothing(0.02)
    talk.send("response.create")
    talk.send("response.cancel")
    talk.nothing(3)
    assert not talk.of("input_audio_buffer.speech_started")
    assert [e["response"]["status"] for e in talk.of("response.done")] == ["completed", "cancelled"]


def test_a_response_right_after_one_that_was_cancelled():
    talk = WireTalk(words=["word"] * 20)
    talk.send("response.create", response={"instructions": "one"})
    talk.nothing(2)
    talk.send("response.cancel")
    talk.send("response.create", response={"instructions": "two"})
    assert not talk.of("error")
    talk.nothing(14)
    assert [e["response"]["status"] for e in talk.of("response.done")] == ["cancelled", "completed"]
    assert [asked for asked, _ in talk.fake.history] == ["one", "two"]
    talk.send("response.create")
    talk.nothing(14)
    assert talk.fake.history[-1][0] == "Please go on."


def test_a_response_while_the_last_one_breaks_off():
    script = Script()
    talk = being_answered(script, words=4)
    talk.say(script.say("no stop it now please", 0.2))
    assert not talk.orders.speaking
    told = [e["type"] for e in talk.send("response.create")]
    assert told == [*USER[:5], *FIRST]
    talk.wait(5)
    assert [e["response"]["status"] for e in talk.of("response.done")] == ["completed"] * 2
    assert talk.fake.turns[-1].text == "no stop it now please"
    assert talk.fake.history[-1][0] == "no stop it now please"


def test_a_response_while_the_user_goes_on():
    talk = WireTalk(think_cost=1.0)
    talk.say(speech(1))
    while not talk.of("input_audio_buffer.speech_stopped"):
        talk.wait(0.02)
    talk.send("response.create", response={"metadata": {"k": "v"}})
    count = len(talk.events)
    talk.say(speech(1))
    kinds = [e["type"] for e in talk.events[count:]]
    started = kinds.index("input_audio_buffer.speech_started")
    assert kinds[started + 1 : started + 1 + len(LAST[True])] == LAST[True]
    assert talk.of("response.done")[0]["response"]["status_details"]["reason"] == "turn_detected"
    talk.wait(5)
    assert [e["response"]["status"] for e in talk.of("response.done")] == ["cancelled", "completed"]


def test_a_turn_that_is_cancelled_before_its_words_are_known_has_none():
    talk = WireTalk()
    talk.say(speech(1))
    for kind in ("input_audio_buffer.commit", "response.create", "response.cancel"):
        talk.send(kind)
    talk.wait(3)
    (told,) = talk.of("conversation.item.input_audio_transcription.completed")
    assert told["transcript"] == ""
    talk.say(speech(1))
    talk.wait(5)
    assert talk.fake.history == [("hello", "one two three four")]


class Hearing(FakeGenerator):
    """It answers sound, so its reply may come before the words of the turn."""

    hears = True


def test_a_turn_is_an_item_before_its_reply_though_its_words_come_later():
    def recognized(audio):
        talk.fake.clock.pass_time(3.0)
        return "hello"

    talk = WireTalk(recognized, generator=Hearing)
    talk.say(speech(1))
    talk.wait(8)
    assert [e["item"]["role"] for e in talk.of("conversation.item.added")] == ["user", "assistant"]
    kinds = talk.kinds()
    words = kinds.index("conversation.item.input_audio_transcription.completed")
    assert words > kinds.index("response.created") > kinds.index("input_audio_buffer.committed")


def test_a_text_is_answered_though_a_cough_came_between():
    talk = WireTalk(lambda audio: "")
    talk.send("conversation.item.create", item=text_item("who are you?"))
    talk.say(speech(0.4))
    assert talk.of("input_audio_buffer.speech_started")
    talk.send("response.create")
    talk.wait(5)
    (done,) = talk.of("response.done")
    assert done["response"]["status"] == "completed"
    assert talk.fake.history == [("who are you?", "one two three four")]


def test_an_answer_that_was_not_wanted_costs_no_later_one():
    talk = WireTalk(lambda audio: "hello" if len(audio) > 16_000 else "")
    talk.update(audio={"input": {"turn_detection": {"create_response": False}}})
    talk.say(speech(0.4))
    talk.send("response.create")
    talk.send("response.cancel")
    talk.wait(3)
    talk.update(audio={"input": {"turn_detection": {"create_response": True}}})
    talk.say(speech(1.2))
    talk.wait(5)
    assert [e["response"]["status"] for e in talk.of("response.done")] == ["cancelled", "completed"]


def test_a_question_comes_before_its_answer():
    talk = WireTalk()
    talk.say(speech(1))
    talk.send("response.create")
    talk.wait(4)
    assert [e["item"]["role"] for e in talk.of("conversation.item.added")] == ["user", "assistant"]


@pytest.mark.parametrize("fail_after", [0, 1])
def test_a_failed_reply_is_forgotten_with_its_items(fail_after):
    talk = WireTalk(fail_after=fail_after)
    talk.say(speech(1))
    talk.wait(3)
    assert talk.fake.history
    for item_id in list(talk.orders.conversation):
        talk.send("conversation.item.delete", item_id=item_id)
    talk.wait(0.2)
    assert talk.fake.history == []


def test_what_is_deleted_is_not_told_of_again():
    talk = WireTalk(words=["word"] * 20)
    talk.send("response.create")
    talk.nothing(1)
    (item_id,) = talk.orders.conversation
    told = [e["type"] for e in talk.send("conversation.item.delete", item_id=item_id)]
    assert told == [*LAST[True], "conversation.item.deleted"]
    talk.nothing(2)
    assert talk.events[-1]["type"] == "conversation.item.deleted"
    assert talk.fake.history == []


@pytest.mark.parametrize("kinds", [["audio", "text"], ["text", "audio"], ["audio"]])
def test_sound_is_sent_with_words_in_any_order(kinds):
    (told,) = WireTalk().update(output_modalities=kinds)
    assert told["type"] == "session.updated"


def test_text_only():
    talk = WireTalk()
    talk.update(output_modalities=["text"])
    talk.send("conversation.item.create", item=text_item("hi"))
    talk.send("response.create")
    talk.nothing(1)
    (done,) = talk.of("response.done")
    assert done["response"]["output"][0]["content"] == [
        {"type": "output_text", "text": "one two three four "}
    ]
    assert not talk.sound()
    assert talk.fake.history == [("hi", "one two three four")]


def test_a_reply_that_fails():
    talk = WireTalk(fail_after=0)
    talk.say(speech(1))
    talk.wait(3)
    (done,) = talk.of("response.done")
    assert done["response"]["status"] == "failed"
    assert "endpoint has gone" in done["response"]["status_details"]["error"]["message"]
    talk.send("response.create")
    talk.wait(3)
    assert [e["response"]["status"] for e in talk.of("response.done")] == ["failed", "failed"]
    assert not talk.of("error")


def test_a_reply_that_breaks_off():
    talk = WireTalk(fail_after=2)
    talk.say(speech(1))
    talk.wait(5)
    (done,) = talk.of("response.done")
    assert done["response"]["status"] == "failed"
    assert talk.fake.history == [("hello", "one two")]


def test_what_fails_beside_a_reply_leaves_it_whole():
    talk = WireTalk(words=["word"] * 20, extended=True)
    talk.send("response.create")
    talk.nothing(2)
    talk.conversation.send(SetVoice("broken"))
    talk.nothing(12)
    assert "'broken' is broken" in talk.of("covo.notice")[-1]["text"]
    assert [e["response"]["status"] for e in talk.of("response.done")] == ["completed"]


def test_words_are_told_while_they_are_spoken():
    def recognized(audio):
        count = int(len(audio) / 16_000 / 0.5)
        return " ".join(f"word{n}" for n in range(count))

    talk = WireTalk(recognized)
    talk.say(speech(5))
    talk.wait(3)
    kind = "conversation.item.input_audio_transcription"
    deltas = [e["delta"] for e in talk.of(f"{kind}.delta")]
    assert len(deltas) >= 2
    assert talk.of(f"{kind}.completed")[0]["transcript"].startswith("".join(deltas))
    item_ids = {e["item_id"] for e in talk.of(f"{kind}.delta")}
    assert item_ids == {talk.of("input_audio_buffer.committed")[0]["item_id"]}


def test_no_words_where_none_are_wanted():
    talk = WireTalk()
    talk.update(audio={"input": {"transcription": None}})
    talk.say(speech(1))
    talk.wait(3)
    assert not [e for e in talk.events if "transcription" in e["type"]]


def test_the_extension_is_for_those_who_ask():
    script = Script()
    talk = WireTalk(script=script, words=["word"] * 10, extended=True)
    talk.say(script.say("what is it?", 1))
    talk.wait(3)
    talk.say(script.say("yeah", 0.4))
    talk.wait(1)
    actions = [e["action"] for e in talk.of("covo.playback")]
    assert actions in (["duck", "hold", "resume"], ["duck", "resume"])
    assert talk.of("covo.latency")
    assert talk.of("covo.endpoint")
    states = [e["state"] for e in talk.of("covo.state")]
    assert states == ["user speaking", "thinking", "speaking"]
