"""Servers that differ from OpenAI's, played as their documentation and code say they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from audio_io.clock import samples
from model.engine import Frame, PushToTalk
from model.events import EndpointJudged, Interrupted, Notice, ReplyFinished, UserTranscript
from model.realtime.microphone_feed import MicrophoneFeed
from model.realtime.outbox import Outbox
from tests.model.realtime.fake_server import FakeRealtime, wait_until
from tests.model.realtime.remote_talks import talking

PLACE = {"response_id": "resp_1", "item_id": "item_of_resp_1"}


def playback(server: FakeRealtime, action: str, reason: str = "words") -> None:
    server.say("covo.playback", valid=False, action=action, response_id="resp_1", reason=reason)


def test_covo_serve_says_what_becomes_of_a_reply() -> None:
    with FakeRealtime(strict=False) as server, talking(server) as user:
        server.respond("resp_1", "One two three four five six seven.", 3.0)
        playback(server, "duck")
        user.hear(0.5)
        server.speech_started("item_2")
        playback(server, "hold", "heard speech")
        user.hear(0.5, speaking=True)
        assert user.controls == ["duck", "hold"], "none of its own"
        assert user.states == ["speaking"], "speech is no interruption by itself"
        playback(server, "resume")
        user.hear(0.5)
        playback(server, "stop", "it is a question")
        user.hear(0.3)
        (cut,) = user.of(Interrupted)
        assert cut.reason == "it is a question"
        played = server.wait_for("covo.played", 3)
        assert played["item_id"] == "item_of_resp_1"
        assert 0 < played["audio_ms"] < 1500


def test_a_reply_that_covo_serve_holds_and_takes_back_leaves_the_speaker_free() -> None:
    with FakeRealtime(strict=False) as server, talking(server) as user:
        server.begin_response("resp_1")
        playback(server, "hold")
        server.end_response("resp_1", "cancelled", reason="turn_detected")
        server.respond("resp_2", "Yes.", 0.5)
        user.hear(1.0)
        assert user.of(ReplyFinished)[0].text == "Yes."
        assert not user.of(Notice)


def test_covo_serve_is_told_that_a_reply_was_played_to_its_end() -> None:
    with FakeRealtime(strict=False) as server, talking(server) as user:
        server.say("covo.latency", valid=False, total=0.5)
        server.respond("resp_1", "Yes.", 0.5)
        user.hear(1.0)
        wait_until(lambda: [event["audio_ms"] for event in server.of("covo.played")][-1:] == [500])


def test_covo_serve_tells_why_a_turn_is_over() -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.speech_started("item_1")
        for over, reason in ((False, "a statement"), (True, "a question")):
            server.say("covo.endpoint", valid=False, over=over, silence=0.35, reason=reason)
        server.end_turn("item_1", "hello?")
        user.hear(0.1)
        judged = [(event.over, event.reason) for event in user.of(EndpointJudged)]
        assert judged == [(False, "a statement"), (True, "a question")]


def test_covo_serves_notices_are_shown() -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.say("covo.notice", valid=False, level="warning", text="the model is slow")
        server.say("covo.latency", valid=False, total=0.5)
        user.hear(0.1)
        assert [(n.level, n.text) for n in user.of(Notice)] == [("warning", "the model is slow")]


def test_speech_to_speech_names_items_otherwise_and_adds_events_of_its_own() -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.speech_started("item_1")
        server.say(
            "speech_to_speech.input_audio_transcription.snapshot", valid=False, transcript="hel"
        )
        server.say("input_audio_buffer.speech_stopped", item_id="item_1", audio_end_ms=900)
        server.say("input_audio_buffer.committed", item_id="item_1")
        content = [{"type": "input_audio", "transcript": "hello"}]
        item = {"id": "item_1", "type": "message", "role": "user", "content": content}
        server.say("conversation.item.created", item=item)
        server.say(
            "conversation.item.input_audio_transcription.completed",
            **{"item_id": "item_1", "content_index": 0, "transcript": "hello"},
            usage={"type": "duration", "seconds": 1.0},
        )
        # Its responses are announced by their first sound.
        server.say(
            "response.created", response={"id": "resp_1", "status": "in_progress", "output": []}
        )
        server.say_sound("resp_1", 0.3)
        server.say(
            "response.output_audio_transcript.done",
            **PLACE,
            output_index=0,
            content_index=0,
            transcript="Hi there.",
        )
        server.end_response("resp_1")
        user.hear(1.0)
        assert user.of(UserTranscript)[0].text == "hello"
        assert user.of(ReplyFinished)[0].text == "Hi there."


def test_localai_answers_a_tool_of_its_own_before_it_speaks() -> None:
    with FakeRealtime() as server, talking(server) as user:
        server.turn("item_1", "what time is it")
        server.say("localai.status", valid=False, state="thinking")
        server.say("response.created", response=server._response("resp_1", "in_progress"))
        call = {
            **{"id": "call_1", "type": "function_call", "name": "clock", "arguments": "{}"},
            **{"status": "completed", "call_id": "c"},
        }
        done = {**server._response("resp_1", "completed"), "output": [call]}
        server.say("response.done", response=done)
        user.hear(0.5)
        assert user.states == ["thinking"], "the answer is still to come"
        server.respond("resp_2", "It is noon.", 0.3)
        user.hear(1.0)
        assert user.of(ReplyFinished)[0].text == "It is noon."


def test_vllm_omnis_duplex_server_is_opened_by_the_first_update() -> None:
    detection: dict[str, Any] = {"audio": {"input": {"turn_detection": None}}}
    server = FakeRealtime(waits_for_update=True, strict=False, session=detection)
    with server, talking(server, "?duplex=1") as user:
        assert "covo" not in server.requests[0].path
        assert "turn_detection" not in server.of("session.update")[0]["session"]["audio"]["input"]
        server.say("response.listen", valid=False)
        server.say("response.speak", valid=False)
        server.respond("resp_1", "I began by myself.", 1.0)
        user.hear(0.5)
        ack = server.wait_for("playback.ack")
        assert ack["response_id"] == "resp_1"
        assert ack["played_ms"] > 0
        user.engine.command(PushToTalk(True))
        user.hear(0.1)
        user.engine.command(PushToTalk(False))
        user.hear(0.2)
        assert user.of(Interrupted)[0].reason == "push-to-talk"
        assert not server.of("input_audio_buffer.commit"), "it has no turns of the client's"


def test_a_server_that_changes_its_protocol_is_told_once() -> None:
    with FakeRealtime() as server, talking(server) as user:
        for _ in range(3):
            server.say("response.output_audio.delta", valid=False, **PLACE, audio="AAAA")
        server.say("response.audio.delta", valid=False, delta="AAAA")
        user.hear(0.1)
        told = [notice.text for notice in user.of(Notice)]
        assert len(told) == 2
        assert "as vLLM-Omni does without ?duplex=1" in told[0]
        assert "the beta" in told[1]


def test_nonsense_is_survived() -> None:
    with FakeRealtime(strict=False) as server, talking(server) as user:
        for event in (
            {"type": "error"},
            {"type": "error", "error": "text"},
            {"type": "response.done", "response": None},
            {"type": "response.done", "response": {"id": 5, "status_details": "?"}},
            {"type": "response.created"},
            {"type": "response.output_audio.delta", "delta": "%%%"},
            {"type": "response.output_item.added", "item": 1},
            {"type": "session.updated", "session": 1},
            {"type": "session.updated", "session": {"audio": "loud"}},
            {"type": "input_audio_buffer.speech_started", "audio_start_ms": "soon"},
            {"type": "input_audio_buffer.committed"},
            {"type": "covo.playback", "action": "dance"},
            {"type": 7},
            {},
        ):
            kind = event.pop("type", "x")
            server.say(kind, valid=False, **event)  # type: ignore[arg-type]
        user.hear(0.3)
        server.respond("resp_1", "Still here.", 0.2)
        user.hear(1.0)
        assert [event.text for event in user.of(ReplyFinished)][-1] == "Still here."


def test_a_server_that_does_not_read_loses_the_oldest_second() -> None:
    outbox = Outbox(0.04)
    feed = MicrophoneFeed(outbox, 16_000)
    gone, at, sound = 0.0, 0, np.full(320, 0.1, np.float32)
    for _ in range(round(10.5 / 0.02)):
        gone += feed.feed(Frame(at, sound))
        at += 320
    assert gone == 1.0
    outbox.put({"type": "last"})
    assert feed.time_of(500, at) == samples(1.5), "the server never heard the first second"
    count = 0
    while isinstance(outbox.take(), bytes):
        count += 1
    assert count * 0.04 == 9.48


def test_closing_is_quick_while_the_server_is_silent() -> None:
    with FakeRealtime() as server, talking(server) as user:
        threads = user.engine._link._threads
        user.engine.close()
        user.engine.close()
        wait_until(lambda: not any(thread.is_alive() for thread in threads))
