"""GPT-Live: sound without pause, words on a time line, and whatever a client sends."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openai import OpenAI

from covo_cli.serve.live.session import FIELDS, MOST_LATE_S, TELL
from tests.covo_cli.serve.live_server import TOKEN, serving, until
from tests.covo_cli.serve.live_talk import SESSION, LiveTalk, valid_live
from tests.covo_cli.serve.test_serve_anything import JSON, LIKELY
from tests.covo_cli.serve.wire_talk import pcm
from tests.fakes.engine import silence, speech

WORDS = ["one", "two", "three", "four"]


def loud(talk: LiveTalk) -> float:
    """Seconds of sound that are no silence."""
    return int(np.count_nonzero(np.abs(talk.output()) > 0.05)) / 24_000


def test_a_spoken_turn():
    talk = LiveTalk(words=WORDS)
    talk.wait(0.5)
    talk.say(speech(1.0))
    talk.wait(5.0)
    assert talk.events[0]["type"] == "session.started"
    assert talk.said("input") == "hello"
    assert talk.said("output").strip() == "one two three four"
    assert len(talk.output()) == pytest.approx(6.5 * 24_000, abs=960)
    assert loud(talk) == pytest.approx(2.0, abs=0.05)
    (heard,) = talk.of("session.input_transcript.delta")
    assert 400 <= heard["start_ms"] <= 600
    assert 1400 <= heard["end_ms"] <= 1600
    words = talk.of("session.output_transcript.delta")
    assert [w["delta"].strip() for w in words] == WORDS
    quiet = np.flatnonzero(np.abs(talk.output()) > 0.05)
    begun, ended = quiet[0] / 24, quiet[-1] / 24
    assert words[0]["start_ms"] == pytest.approx(begun, abs=40)
    assert words[-1]["end_ms"] == pytest.approx(ended, abs=40)


def test_sound_goes_on_whatever_the_client_sends():
    talk = LiveTalk()
    for seconds in (1.0, 0.5):
        talk.nothing(seconds)
    assert len(talk.output()) >= 1.2 * 24_000
    before = len(talk.output())
    talk.send("session.input_audio.append", audio=pcm(speech(3.0)))  # in one piece
    talk.nothing(1.0)
    assert len(talk.output()) - before == pytest.approx(24_000, abs=0.3 * 24_000)
    assert not loud(talk)


def test_a_client_catches_up_in_the_silence_after_the_server_stood_still():
    talk = LiveTalk(words=WORDS)
    talk.say(speech(1.0))
    talk.wait(1.0)
    begun, before = talk.now, len(talk.output())
    talk.now += 3.0  # nothing is processed: in the middle of a reply
    talk.send(talk.append, audio=pcm(silence(3.0)))
    talk.wait(2.5)
    assert loud(talk) == pytest.approx(2.0, abs=0.05)
    talk.wait(2.0)
    played = (len(talk.output()) - before) / 24_000
    behind = played - (talk.now - begun - 3.0)  # it played nothing for 3 s
    assert behind == pytest.approx(MOST_LATE_S, abs=0.05)
    talk.say(speech(1.0))
    talk.wait(4.0)
    assert loud(talk) == pytest.approx(4.0, abs=0.1)
    assert talk.said("output").split() == 2 * WORDS


def test_an_interruption_is_heard_as_silence():
    talk = LiveTalk(words=WORDS, recognized=lambda audio: "no, tell me something else please")
    talk.say(speech(1.0))
    talk.wait(2.0)
    talk.say(speech(1.2))
    cut = talk.said("output").split()
    talk.wait(0.2)
    assert 0 < len(cut) < 4
    assert not np.abs(talk.output()[-2400:]).max()
    assert talk.fake.history[0][1].split() == cut


def test_a_session_begins_with_what_was_asked_for():
    asked = {
        "model": "any",
        "instructions": "Be a pirate.",
        "audio": {"format": {"type": "audio/pcmu", "rate": 8000}, "output": {"voice": "second"}},
        "delegation": {"type": "client", "acknowledgement_delay_ms": 5},
        "input": [
            {"role": "developer", "content": [{"text": "It is raining."}]},
            {"role": "user", "content": [{"type": "input_text", "text": "Hi."}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "Ahoy."}]},
            {"role": "user", "content": [{"text": "And?"}]},
        ],
    }
    talk = LiveTalk(asked)
    (started,) = talk.of("session.started")
    session = started["session"]
    assert session["model"] == "fake"
    assert session["audio"] == asked["audio"]
    assert session["delegation"] == asked["delegation"]
    assert not session["store"]
    talk.nothing(0.5)
    assert talk.fake.voice == "second"
    assert talk.fake.persona == "Be a pirate."
    assert talk.fake.history == [("It is raining.\nHi.", "Ahoy."), ("And?", "")]
    assert len(talk.of("session.output_audio.delta")[0]["delta"]) < 250  # 8 kHz, a byte each


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"audio": 1}, "session.audio"),
        ({"audio": {"output": []}}, "session.audio.output"),
        ({"audio": {"format": {"type": "audio/pcm", "rate": 8000}}}, "session.audio.format"),
        ({"instructions": 1}, "session.instructions"),
        ({"delegation": {"type": "nobody"}}, "session.delegation"),
        ({"input": [{"role": "tool"}]}, "session.input"),
        ({"input": [{"role": "user", "content": []}]}, "session.input"),
        ({"input": [{"role": "user", "content": [{"text": "x"}]}] * 129}, "session.input"),
    ],
)
def test_a_refused_start_can_be_tried_again(change, param):
    talk = LiveTalk(SESSION | change)
    (error,) = talk.events
    assert error["error"]["param"] == param
    assert talk.send("session.start", session=SESSION)[0]["type"] == "session.started"


def test_texts_are_said_or_known():
    talk = LiveTalk(words=WORDS)
    talk.send("session.thinking.append", content="The shop closes at six.", delegation_id=None)
    talk.send("session.instructions.append", content="Be brief.", delegation_id=None)
    told = talk.send("session.commentary.append", content="It is open.", event_id="c")
    assert told[0]["type"] == "session.commentary.appended"
    assert told[0]["client_event_id"] == "c"
    talk.wait(4.0)
    assert talk.fake.turns[-1].text + talk.fake.turns[-1].added == TELL.format("It is open.")
    assert talk.fake.history[0] == ("The shop closes at six.", "")
    assert talk.fake.persona == "Be brief."
    assert talk.said("output").split() == WORDS
    (error,) = talk.send("session.commentary.append", content="x", delegation_id="d")
    assert error["error"]["param"] == "delegation_id"


def test_a_muted_microphone_hears_silence():
    talk = LiveTalk()
    assert talk.send("session.input_audio.mute", event_id="m")[0]["client_event_id"] == "m"
    talk.say(speech(1.0))
    talk.wait(2.0)
    talk.send("session.input_audio.unmute")
    assert not talk.said("input")
    talk.say(speech(1.0))
    talk.wait(2.0)
    assert talk.said("input") == "hello"


def test_only_the_delegation_changes_later():
    talk = LiveTalk(SESSION | {"delegation": {"type": "client"}})
    (updated,) = talk.send(
        "session.update", session={"delegation": {"type": "client", "acknowledgement_delay_ms": 9}}
    )
    assert updated["session"]["delegation"]["acknowledgement_delay_ms"] == 9
    (error,) = talk.send("session.update", session={"delegation": {"type": "responses"}})
    assert error["error"]["param"] == "session.delegation.type"


def test_a_session_that_is_closed_or_expires_says_so():
    talk = LiveTalk()
    talk.wait(2.0)
    (closed,) = talk.send("session.close", event_id="end")
    assert (closed["reason"], closed["usage"]) == ("close_requested", {"seconds": 2.0})
    talk.nothing(0.5)
    assert talk.over
    assert not talk.send("session.update", session={})

    class Expired(LiveTalk):
        expires_at = 0

    talk = Expired()
    talk.wait(0.1)
    assert talk.of("session.closed")[0]["reason"] == "expired"


OPEN = [kind for kind in FIELDS if kind != "session.close"]
STEPS = st.one_of(
    st.tuples(st.just("say"), st.sampled_from((0.06, 0.4, 1.0))),
    st.tuples(st.just("wait"), st.sampled_from((0.1, 0.5, 1.5))),
    st.tuples(st.just("nothing"), st.sampled_from((0.1, 0.5, 1.5))),
    st.tuples(st.just("burst"), st.sampled_from((0.4, 2.0))),
    st.tuples(st.just("send"), st.sampled_from(OPEN)),
    st.tuples(st.just("anything"), JSON | st.dictionaries(st.sampled_from(OPEN), LIKELY)),
)
FILLED: dict[str, Any] = {"session": SESSION, "content": "and this", "audio": pcm(silence(0.1))}


def step(talk: LiveTalk, kind: str, what: Any, number: int) -> None:
    match kind:
        case "say":
            talk.say(speech(what))
        case "wait":
            talk.wait(what)
        case "nothing":
            talk.nothing(what)
        case "burst":
            talk.send(talk.append, audio=pcm(speech(what)))
        case "send":
            given = {name: FILLED[name] for name in FIELDS[what] if name in FILLED}
            told = talk.send(what, event_id=f"mine-{number}", **given)
            if "append" not in what or "audio" not in what:
                assert f"mine-{number}" in talk.orders.answered
            assert len(told) <= 1
        case "anything":
            for name, fields in what.items() if isinstance(what, dict) else [("", what)]:
                more = fields if isinstance(fields, dict) else {"session": fields}
                told = talk.send_text(json.dumps({**more, "type": name}))
                assert len(told) <= 1


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, min_size=3, max_size=10), st.sampled_from((None, 0, 1)), st.booleans())
@example([("say", 0.06)] * 4 + [("wait", 0.5)] * 2 + [("say", 0.4)], None, True)
def test_the_orders_hold_whatever_happens(steps, fail_after, started):
    talk = LiveTalk(SESSION if started else None, words=["one", "two"], fail_after=fail_after)
    for number, (kind, what) in enumerate(steps):
        step(talk, kind, what, number)
    if not talk.orders.started:
        talk.send("session.start", session=SESSION)
    talk.hear_exactly()
    while talk.microphone._waiting.length:  # what came at once is heard at the speed of life
        talk.nothing(0.5)
    talk.nothing(4.0)
    assert not talk.engine.busy
    assert set(talk.fake._questions) == set(), "a reply was never settled"
    heard = " ".join(answer for _, answer in talk.fake.history).split()
    said = talk.said("output").split()
    assert said == heard or (talk.taken_back and len(said) <= len(heard) + talk.taken_back)
    talk.send("session.close")
    talk.nothing(0.1)
    assert talk.orders.closed
    assert talk.over


def test_the_openai_client_over_a_socket():
    with serving(words=["one", "two"], word_seconds=0.2) as server:
        client = OpenAI(base_url=server.address, api_key=TOKEN)
        with client.live.connect() as connection:
            connection.send({"type": "session.start", "session": {"model": "covo"}})
            connection.send(
                {"type": "session.commentary.append", "content": "hello", "delegation_id": None}
            )
            said, sound = "", 0
            for event in connection:
                valid_live(event.to_dict())
                match event.type:
                    case "session.output_audio.delta":
                        sound += 1
                    case "session.output_transcript.delta":
                        said += event.delta
                        if said.split() == ["one", "two"]:
                            connection.send({"type": "session.close"})
                    case "session.closed":
                        break
            assert event.reason == "close_requested"
            assert sound >= 20
        until(lambda: not server.places.busy)
