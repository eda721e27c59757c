"""The realtime engine with a server of OpenAI's shape: turns, replies, interruptions, losses."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import samples
from model.engine import (
    Interrupt,
    NewSpeaker,
    PushToTalk,
    Remember,
    SayText,
    SetMuted,
    SetPersona,
    SetVoice,
)
from model.events import (
    AssistantText,
    EndpointJudged,
    Interrupted,
    Notice,
    ReplyAudioEnded,
    ReplyFinished,
    ReplyStarted,
    TurnDiscarded,
    TurnLatency,
    UserTranscript,
    VoiceChanged,
)
from tests.model.realtime.fake_server import FakeRealtime
from tests.model.realtime.remote_talks import talking

WORDS = "Paris is the capital of France."


def test_a_turn_is_answered_and_heard_to_its_end() -> None:
    with FakeRealtime() as server, talking(server) as user:
        user.hear(0.2)
        user.hear(1.0, speaking=True)
        server.turn("item_1", "what is the capital", start_ms=200, end_ms=1200)
        user.hear(0.4)
        server.respond("resp_1", WORDS, 1.0)
        user.hear(2.0)
        (said,) = user.of(UserTranscript)
        assert (said.text, said.final, said.turn) == ("what is the capital", True, 1)
        assert (said.start, said.end) == (samples(0.2), samples(1.2))
        (judged,) = user.of(EndpointJudged)
        assert judged.over
        assert judged.turn == 1
        assert user.of(ReplyStarted)[0].turn == 1
        assert "".join(event.delta for event in user.of(AssistantText)) == WORDS
        assert user.of(ReplyAudioEnded)[0].samples == 24_000
        assert user.of(ReplyFinished)[0].text == WORDS
        (latency,) = user.of(TurnLatency)
        assert latency.total == pytest.approx(0.42, abs=0.021)
        assert list(latency.parts) == ["server", "play"]
        assert user.states == ["thinking", "speaking", "listening"]
        assert np.abs(np.concatenate(user.heard)).max() == pytest.approx(0.3, abs=0.01)
        assert not user.engine.busy


def test_the_server_hears_all_of_the_users_sound_at_its_rate() -> None:
    with FakeRealtime() as server, talking(server) as user:
        user.hear(1.0, speaking=True)
        user.hear(0.2)
        user.engine.command(SayText("mark"))
        user.hear(0.1)
        server.wait_for("conversation.item.create")
        heard = np.frombuffer(server.sound, "<i2") / 32767
    assert np.count_nonzero(heard > 0.05) / 24_000 == pytest.approx(1.0, abs=0.001)
    assert np.median(heard) == pytest.approx(0.1, abs=0.001)
    update = server.received[0]["session"]
    assert update["audio"]["input"] == {"format": {"type": "audio/pcm", "rate": 24_000}}
    assert "instructions" not in update
    assert "covo=1" in server.requests[0].path


def test_voice_persona_and_key_are_sent() -> None:
    with FakeRealtime() as server:
        with talking(server, voice="cedar", instructions="Be kind.", key="ek_key") as user:
            assert user.engine.info.voice == "cedar"
            assert "tiny at 127.0.0.1" in user.engine.info.parts["server"]
        update = server.received[0]["session"]
        assert update["audio"]["output"]["voice"] == "cedar"
        assert update["instructions"] == "Be kind."
        assert server.requests[0].headers["Authorization"] == "Bearer ek_key"


def test_speech_over_a_reply_stops_it_and_the_server_is_told_what_was_heard() -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.turn("item_1", "tell me a story")
        user.hear(0.1)
        server.respond("resp_1", "One two three four five six seven eight nine ten.", 4.0)
        user.hear(1.0)
        server.speech_started("item_2", 1000)
        user.hear(0.4, speaking=True)
        told = server.wait_for("conversation.item.truncate")
        (cut,) = user.of(Interrupted)
        assert cut.reason == "you spoke over it"
        assert cut.heard.startswith("One two")
        assert cut.unheard.endswith("nine ten.")
        assert cut.heard_samples == pytest.approx(24_000, abs=1000)
        assert told["item_id"] == "item_of_resp_1"
        assert told["audio_end_ms"] == cut.heard_samples * 1000 // 24_000
        assert user.controls == ["stop"]
        assert not server.of("response.cancel"), "it was done"
        assert user.states[-1] == "user speaking"
        server.end_turn("item_2", "wait")
        server.respond("resp_2", "Yes?", 0.5)
        user.hear(1.0)
        assert [event.turn for event in user.of(ReplyStarted)] == [1, 2]
        assert [event.text for event in user.of(ReplyFinished)] == ["Yes?"]


@pytest.mark.parametrize("interrupts", [True, False])
def test_a_response_under_way_is_cancelled_if_the_server_does_not_do_so(interrupts: bool) -> None:
    detection = {"type": "server_vad", "interrupt_response": interrupts}
    session = {"audio": {"input": {"turn_detection": detection}}}
    with FakeRealtime(session=session) as server, talking(server) as user:
        server.turn("item_1", "tell me a story")
        server.begin_response("resp_1")
        server.say_words("resp_1", "Once upon a time")
        server.say_sound("resp_1", 2.0)
        user.hear(0.5)
        server.speech_started("item_2")
        user.hear(0.1, speaking=True)
        server.say_sound("resp_1", 1.0)  # was on its way
        server.end_response("resp_1", "cancelled", reason="turn_detected")
        user.hear(0.6)
        server.wait_for("conversation.item.truncate")
        assert bool(server.of("response.cancel")) is not interrupts
        assert len(user.of(Interrupted)) == 1
        assert np.abs(np.concatenate(user.heard[40:])).max() == 0, "silent after the stop"


def test_a_key_stops_the_reply_and_its_response() -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.begin_response("resp_1")
        server.say_sound("resp_1", 2.0)
        user.hear(0.5)
        user.engine.command(Interrupt())
        user.hear(0.3)
        server.wait_for("response.cancel")
        server.wait_for("conversation.item.truncate")
        assert user.of(Interrupted)[0].reason == "interrupted by key"
        assert user.states == ["speaking", "interrupted", "listening"]


def test_a_reply_is_ducked_at_once_and_goes_on_if_the_server_heard_nothing() -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.respond("resp_1", WORDS, 4.0)
        user.hear(0.5)
        user.hear(0.4, speaking=True)
        assert user.controls == ["duck"]
        user.hear(1.0, speaking=True)
        assert user.controls == ["duck", "resume"], "and this speech ducks no more"
        user.hear(0.5)
        user.hear(0.2, speaking=True)
        assert user.controls == ["duck", "resume", "duck"]


def test_a_reply_that_ends_ducked_leaves_the_next_one_at_its_level() -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.respond("resp_1", WORDS, 1.0)
        user.hear(0.8)
        user.hear(0.4, speaking=True)
        assert user.controls == ["duck", "resume"]
        server.respond("resp_2", WORDS, 1.0)
        before = len(user.heard)
        user.hear(0.6)
        assert np.abs(np.concatenate(user.heard[before:])).max() == pytest.approx(0.3, abs=0.01)


def test_typed_text_replaces_the_reply_and_waits_for_its_end() -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.begin_response("resp_1")
        server.say_sound("resp_1", 2.0)
        user.hear(0.2)
        user.engine.command(SayText(" hello "))
        user.hear(0.3)
        server.wait_for("response.cancel")
        assert not server.of("response.create"), "one response at a time"
        server.end_response("resp_1", "cancelled", reason="client_cancelled")
        user.hear(0.1)
        server.wait_for("response.create")
        (item,) = server.of("conversation.item.create")
        assert item["item"]["content"] == [{"type": "input_text", "text": "hello"}]
        assert user.of(UserTranscript)[-1].text == "hello"
        server.respond("resp_2", "Hello.", 0.2)
        user.hear(0.6)
        assert user.of(ReplyFinished)[0].text == "Hello."


def test_push_to_talk_takes_the_turns_from_the_server_and_gives_them_back() -> None:
    with FakeRealtime() as server, talking(server) as user:
        user.engine.command(PushToTalk(True))
        user.hear(0.1)
        user.hear(0.5, speaking=True)
        user.engine.command(PushToTalk(False))
        user.hear(0.1)
        server.wait_for("response.create")
        server.wait_for("session.update", 3)
        updates = [event["session"]["audio"] for event in server.of("session.update")[1:]]
        assert updates[0]["input"]["turn_detection"] is None
        assert updates[1]["input"]["turn_detection"]["type"] == "server_vad"
        kinds = [event["type"] for event in server.received[1:]]
        assert kinds.index("input_audio_buffer.clear") < kinds.index("input_audio_buffer.commit")
        server.commit("item_1", "hello")
        user.hear(0.1)
        assert user.of(UserTranscript)[0].text == "hello"
        assert user.states == ["user speaking", "thinking"]


def test_push_to_talk_without_speech_is_no_turn() -> None:
    with FakeRealtime() as server, talking(server) as user:
        user.engine.command(PushToTalk(True))
        user.hear(0.1)
        user.engine.command(PushToTalk(False))
        user.hear(0.1)
        server.wait_for("input_audio_buffer.clear", 2)
        assert len(user.of(TurnDiscarded)) == 1
        assert not server.of("input_audio_buffer.commit")


def test_the_voice_changes_when_the_server_says_so() -> None:
    with FakeRealtime() as server, talking(server) as user:
        user.engine.command(SetVoice("marin"))
        assert user.until(VoiceChanged).voice == "marin"
        assert server.wait_for("session.update", 2)["session"]["audio"] == {
            "output": {"voice": "marin"}
        }


def test_persona_and_memories_are_sent_and_what_cannot_be_is_told() -> None:
    with FakeRealtime() as server, talking(server) as user:
        user.engine.command(SetPersona("Be brief."))
        user.engine.command(Remember(-1, "Hi.", "Hello."))
        user.engine.command(NewSpeaker())
        user.hear(0.1)
        assert server.wait_for("session.update", 2)["session"]["instructions"] == "Be brief."
        server.wait_for("conversation.item.create", 2)
        roles = [event["item"]["role"] for event in server.of("conversation.item.create")]
        assert roles == ["user", "assistant"]
        assert len(user.of(Notice)) == 1


def test_muting_is_shown() -> None:
    with FakeRealtime() as server, talking(server) as user:
        user.engine.command(SetMuted(True))
        user.hear(0.1)
        user.engine.command(SetMuted(False))
        user.hear(0.1)
        assert user.states == ["muted", "listening"]


def test_partial_words_grow_and_the_final_ones_replace_them() -> None:
    kind = "conversation.item.input_audio_transcription.delta"
    with FakeRealtime() as server, talking(server) as user:
        user.hear(0.5, speaking=True)
        server.speech_started("item_1")
        for delta in ("what ", "is"):
            server.say(kind, item_id="item_1", content_index=0, delta=delta)
        server.end_turn("item_1", "What is it?")
        user.hear(0.1)
        said = [(event.text, event.final) for event in user.of(UserTranscript)]
        assert said == [("what ", False), ("what is", False), ("What is it?", True)]
        assert user.of(UserTranscript)[0].end == samples(0.5), "as far as they have spoken"


def test_speech_that_the_server_makes_no_turn_of_is_dropped() -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.speech_started("item_1")
        server.say("input_audio_buffer.speech_stopped", item_id="item_1", audio_end_ms=300)
        user.hear(2.0)
        assert len(user.of(TurnDiscarded)) == 1
        assert user.states == ["thinking", "listening"]


def test_no_answer_is_told_after_half_a_minute() -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.turn("item_1", "hello?")
        user.hear(29.0)
        assert user.engine.busy
        user.hear(3.0)
        # Half a minute passes at once, so sound may be dropped, too.
        assert [notice.text for notice in user.of(Notice) if "no answer" in notice.text]
        assert not user.engine.busy


@pytest.mark.parametrize(
    ("status", "details", "level", "words"),
    [
        ("failed", {"error": {"type": "server_error", "code": "oom"}}, "error", "oom"),
        ("incomplete", {"reason": "max_output_tokens"}, "info", "max_output_tokens"),
    ],
)
def test_a_response_that_is_not_whole_is_told(
    status: str, details: dict[str, object], level: str, words: str
) -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.begin_response("resp_1")
        server.say_words("resp_1", "It is")
        server.say_sound("resp_1", 0.3)
        server.end_response("resp_1", status, **details)
        user.hear(1.0)
        (notice,) = user.of(Notice)
        assert notice.level == level
        assert words in notice.text
        assert user.of(Interrupted)[0].reason == "the reply broke off"
        assert not user.engine.busy


def test_a_response_in_text_alone_is_shown() -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.begin_response("resp_1")
        server.say("response.output_text.delta", **server._place("resp_1"), delta="In text.")
        server.end_response("resp_1")
        user.hear(0.3)
        assert user.of(ReplyFinished)[0].text == "In text."


def test_errors_are_told_but_not_those_of_tidying_up() -> None:
    error = {"type": "invalid_request_error", "message": "no such voice"}
    with FakeRealtime() as server, talking(server) as user:
        server.say("error", error={**error, "event_id": "covo_tidy"})
        user.hear(0.1)
        assert not user.of(Notice)
        server.say("error", error=error)
        user.hear(0.1)
        assert user.of(Notice)[0].text.endswith(": no such voice")


def test_a_lost_connection_is_made_anew_and_the_conversation_told() -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.turn("item_1", "tell me a story")
        server.begin_response("resp_1")
        server.say_words("resp_1", "Once upon a time there was a king.")
        server.say_sound("resp_1", 1.0)
        user.hear(0.3)
        server.drop()
        lost = user.until(Notice)
        assert "was lost" in lost.text
        assert lost.level == "warning"
        cut = user.of(Interrupted)[0] if user.of(Interrupted) else user.until(Interrupted)
        assert cut.reason == "the connection was lost"
        assert cut.heard_samples == 24_000, "what had come was played"
        again = user.of(Notice)[-1] if len(user.of(Notice)) > 1 else user.until(Notice)
        assert "told the conversation so far" in again.text
        server.wait_for("conversation.item.create", 1)
        assert server.connections == 2
        first = server.of("conversation.item.create")[0]["item"]
        assert first["content"] == [{"type": "input_text", "text": "tell me a story"}]
        assert not server.of("conversation.item.truncate"), "the new session knows no such item"
        user.hear(0.2)
        server.turn("item_9", "go on")
        server.respond("resp_9", "And a queen.", 0.3)
        user.hear(1.0)
        assert user.of(ReplyFinished)[-1].text == "And a queen."


def test_a_new_session_is_asked_for_what_was_changed_and_told_what_was_taken_up() -> None:
    first = {"voice": "cedar", "instructions": "Be kind."}
    with FakeRealtime() as server, talking(server, **first) as user:
        user.engine.command(Remember(-1, "Hi.", "Hello."))
        user.engine.command(SetPersona("Be brief."))
        user.engine.command(SetVoice("marin"))
        user.until(VoiceChanged)
        server.turn("item_1", "tell me a story")
        user.hear(0.1)
        server.drop()
        while "connected" not in str(user.of(Notice)[-1:]):
            user.until(Notice)
        told = server.wait_for("conversation.item.create", 5)
        assert told["item"]["content"][0]["text"] == "tell me a story"
        texts = [e["item"]["content"][0]["text"] for e in server.of("conversation.item.create")]
        assert texts == [*["Hi.", "Hello."] * 2, "tell me a story"]
        again = server.received[server.received.index(server.received[0], 1) :]
        assert [event["type"] for event in again[:3]] == [
            *("session.update", "session.update", "conversation.item.create")
        ]
        assert server.session["audio"]["output"]["voice"] == "marin"
        assert server.session["instructions"] == "Be brief."
        user.hear(0.1)
        assert len(user.of(VoiceChanged)) == 1, "it was the voice all along"


def test_what_is_asked_for_without_a_connection_is_asked_of_the_next_session() -> None:
    with FakeRealtime() as server, talking(server) as user:
        port = server.port
        server.stop()
        user.until(Notice)
        user.engine.command(SetVoice("marin"))
        user.engine.command(SetPersona("Be brief."))
        user.engine.command(Remember(-1, "Hi.", "Hello."))
        user.hear(0.1)
        server.start(port)
        assert user.until(VoiceChanged).voice == "marin"
        server.wait_for("conversation.item.create", 2)
        assert server.session["instructions"] == "Be brief."
        user.hear(0.2)
        texts = [e["item"]["content"][0]["text"] for e in server.of("conversation.item.create")]
        assert texts == ["Hi.", "Hello."], "once"


def test_halves_of_characters_are_joined_and_what_stays_alone_is_replaced() -> None:
    kind = "conversation.item.input_audio_transcription"
    with FakeRealtime() as server, talking(server) as user:
        server.speech_started("item_1")
        for delta in ("a \ud83d", "\ude00 b", " \ude00 c"):
            server.say(f"{kind}.delta", valid=False, item_id="item_1", delta=delta)
        user.hear(0.1)
        assert user.of(UserTranscript)[-1].text == "a \U0001f600 b \ufffd c"
        server.say(f"{kind}.completed", valid=False, item_id="item_1", transcript="d\ud83d")
        server.begin_response("resp_1")
        for delta in ("Nice \ud83d", "\ude00", "! \ud83d", "Bye.\ud83d"):
            where = server._place("resp_1")
            server.say("response.output_text.delta", valid=False, **where, delta=delta)
        server.say_sound("resp_1", 0.2)
        server.end_response("resp_1")
        user.hear(0.6)
        assert user.of(UserTranscript)[-1].text == "d\ufffd"
        assert user.of(ReplyFinished)[0].text == "Nice \U0001f600! \ufffdBye."


def test_what_was_typed_meanwhile_is_sent_afterwards() -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.hang_up(1001, "the session is an hour old")
        assert "an hour old" in user.until(Notice).text
        user.engine.command(SayText("still there?"))
        user.until(Notice)
        user.hear(0.1)
        sent = server.wait_for("conversation.item.create")
        assert sent["item"]["content"][0]["text"] == "still there?"


def test_it_tries_again_until_the_server_is_back() -> None:
    with FakeRealtime() as server, talking(server) as user:
        port = server.port
        server.stop()
        while len(user.of(Notice)) < 2:  # one step may bring both
            user.until(Notice)
        lost, still_lost = (notice.text for notice in user.of(Notice))
        assert "was lost" in lost
        assert "is still lost (cannot reach" in still_lost
        server.start(port)
        assert user.until(Notice).text.startswith("connected to")


def test_a_conversation_can_start_over() -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.turn("item_1", "hello")
        user.hear(0.2)
        user.engine.start_over()
        assert server.connections == 2
        assert not user.engine.busy
        assert not server.of("conversation.item.create"), "nothing of the one before"
