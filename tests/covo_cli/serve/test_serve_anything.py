"""Whatever is said and sent, in whatever order: every event is valid, the orders hold, the session
comes to rest, and the engine remembers what the client's items tell. Messages that are broken in
every way cost one error each."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covo_cli.serve.realtime import items
from covo_cli.serve.realtime.items import MOST_ITEMS
from covo_cli.serve.realtime.microphone import SocketMicrophone
from covo_cli.serve.realtime.wire import MOST_PARTS, WireError, read_event
from tests.covo_cli.serve.wire_talk import WireTalk, pcm, text_item
from tests.fakes.engine import speech
from tests.fakes.talks import Script

KINDS = (
    *("session.update", "input_audio_buffer.append", "input_audio_buffer.commit"),
    *("input_audio_buffer.clear", "output_audio_buffer.clear", "conversation.item.create"),
    *("conversation.item.retrieve", "conversation.item.delete", "conversation.item.truncate"),
    *("response.create", "response.cancel", "covo.played"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
NAMES = st.sampled_from(
    (
        *("item", "item_id", "audio", "session", "response", "content", "role", "type", "format"),
        *("turn_detection", "input", "output", "audio_end_ms", "previous_item_id", "metadata"),
        *("text", "id", "voice", "rate", "speed", "threshold", "instructions", "response_id"),
    )
)
LIKELY = st.recursive(
    JSON | st.sampled_from(("message", "user", "input_text", "server_vad", "audio/pcm", "root")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)
MESSAGES = st.one_of(
    st.text(max_size=50),
    JSON.map(json.dumps),
    st.builds(
        lambda kind, fields: json.dumps({**fields, "type": kind}),
        st.sampled_from(KINDS),
        st.dictionaries(NAMES, LIKELY, max_size=6),
    ),
    st.builds(
        lambda session: json.dumps({"type": "session.update", "session": session}),
        st.dictionaries(st.sampled_from(("audio", "tools", "output_modalities")), LIKELY),
    ),
    st.builds(
        lambda parts: json.dumps({"type": "session.update", "session": {"audio": parts}}),
        st.dictionaries(
            st.sampled_from(("input", "output")), st.dictionaries(NAMES, LIKELY, max_size=4)
        ),
    ),
    st.builds(
        lambda item: json.dumps({"type": "conversation.item.create", "item": item}),
        st.dictionaries(NAMES, LIKELY, max_size=5),
    ),
)


LINES = ("what is number {}?", "stop it number {}", "number {} and", "yeah", "")
TURNS: dict[str, Any] = {
    "manual": None,
    "server": {"type": "server_vad"},
    "unanswered": {"type": "server_vad", "create_response": False},
    "deaf": {"type": "semantic_vad", "eagerness": "high", "interrupt_response": False},
    "idle": {"type": "server_vad", "idle_timeout_ms": 1500},
}
PLACES = st.sampled_from((None, "root", "nowhere", 0, 1, -1))
ITEMS = st.sampled_from((0, 1, -1, -2))
LENGTHS = st.sampled_from((0.06, 0.3, 0.6, 1.2))
STEPS = st.one_of(
    st.tuples(st.just("say"), LENGTHS, st.sampled_from(LINES)),
    st.tuples(st.just("burst"), LENGTHS, st.sampled_from(LINES)),
    st.tuples(st.sampled_from(("wait", "nothing")), st.sampled_from((0.02, 0.1, 0.5, 1.5))),
    st.tuples(st.just("create"), st.sampled_from(("", "Say it.")), st.booleans()),
    st.tuples(
        st.just("send"),
        st.sampled_from(
            (
                *("response.cancel", "input_audio_buffer.commit", "input_audio_buffer.clear"),
                "output_audio_buffer.clear",
            )
        ),
    ),
    st.tuples(st.just("item"), st.sampled_from(("user", "system", "assistant")), PLACES),
    st.tuples(st.just("sound"), st.sampled_from((0.3, 1.2)), st.sampled_from(LINES)),
    st.tuples(st.sampled_from(("delete", "retrieve")), ITEMS),
    st.tuples(st.just("truncate"), ITEMS, st.sampled_from((0, 700, 10**7))),
    st.tuples(st.just("turns"), st.sampled_from(tuple(TURNS))),
    st.tuples(st.just("speaks"), st.booleans()),
)
ALLOWED = {
    *("conversation_already_has_active_response", "response_cancel_not_active"),
    *("input_audio_buffer_commit_empty", "item_retrieve_invalid_item_id"),
    "item_truncate_invalid_item_id",
}
CREATE, CANCEL = ("create", "", False), ("send", "response.cancel")


class ScriptedTalk(WireTalk):
    """A session with a user whose every line has words of its own."""

    def __init__(self, *, judged: bool, **made: Any) -> None:
        self.script = Script()
        self.lines = 0
        kind = {"script": self.script} if judged else {"recognized": self.script.read}
        super().__init__(**kind, **made)

    def step(self, kind: str, *what: Any) -> None:
        self.lines += 1
        match kind, *what:
            case "say", seconds, line:
                self.say(self.script.say(line.format(self.lines), seconds))
            case "burst", seconds, line:
                sound = self.script.say(line.format(self.lines), seconds)
                self.send(self.append, audio=pcm(sound))
            case "sound", seconds, line:
                sound = self.script.say(line.format(self.lines), seconds)
                part = {"type": "input_audio", "audio": pcm(sound)}
                item = {"type": "message", "role": "user", "content": [part]}
                self.send("conversation.item.create", item=item)
            case (("wait" | "nothing"), seconds):
                getattr(self, kind)(seconds)
            case "create", instructions, text:
                asked = {"metadata": {"n": str(self.lines)}, "instructions": instructions}
                if text:
                    asked["output_modalities"] = ["text"]
                self.send("response.create", response=asked)
            case "item", role, place:
                after = self.item(place) if isinstance(place, int) else place
                more = {} if after is None else {"previous_item_id": after}
                item = text_item(f"line {self.lines}", role)
                self.send("conversation.item.create", item=item, **more)
            case (("delete" | "retrieve"), number):
                self.send(f"conversation.item.{kind}", item_id=self.item(number))
            case "truncate", number, ms:
                self.send("conversation.item.truncate", item_id=self.item(number), audio_end_ms=ms)
            case "turns", name:
                self.update(audio={"input": {"turn_detection": TURNS[name]}})
            case "speaks", speaks:
                self.update(output_modalities=["audio" if speaks else "text"])
            case "send", message:
                self.send(message)

    def item(self, number: int) -> str:
        """One of the items that were ever told of, by its place."""
        told = [e["item"]["id"] for e in self.of("conversation.item.added")]
        return told[number % len(told)] if told else "nothing"


def hold(steps: list[Any], fail_after: int | None, thinks: float, judged: bool) -> ScriptedTalk:
    """Hold the conversation of ``steps``, let it come to rest, and check all of it."""
    talk = ScriptedTalk(
        judged=judged, words=["one", "two", "three"], fail_after=fail_after, think_cost=thinks
    )
    for step in steps:
        talk.step(*step)
    talk.update(
        audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": None}}}
    )
    talk.wait(8)
    talk.orders.at_rest()
    assert not talk.engine.busy
    assert set(talk.fake._questions) == set(), "a reply was never settled"
    assert talk.orders.committed - talk.orders.deleted <= talk.orders.transcribed
    assert {e["error"]["code"] for e in talk.of("error")} <= ALLOWED
    assert [entry.item_id for entry in talk.session._items] == talk.orders.conversation
    remembered = "\n".join(part for exchange in talk.fake.history for part in exchange)
    for entry in talk.session._items:
        if entry.text.startswith("line "):
            assert f"{remembered}\n".count(f"{entry.text}\n") == 1, entry.text
    for item_id in tuple(talk.orders.conversation):
        talk.send("conversation.item.delete", item_id=item_id)
    talk.wait(0.5)
    assert talk.fake.history == [], "the engine remembers what no item tells"
    return talk


WHATEVER = (
    st.lists(STEPS, min_size=3, max_size=12),
    st.sampled_from((None, None, 0, 1)),
    st.sampled_from((0.1, 1.0)),
    st.booleans(),
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(*WHATEVER)
def test_the_orders_hold_whatever_happens(steps, fail_after, thinks, judged):
    hold(steps, fail_after, thinks, judged)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(MESSAGES, min_size=5, max_size=5))
def test_broken_messages_cost_an_error_and_no_more(messages):
    talk = WireTalk()
    for message in messages:
        answered = talk.send_text(message)
        assert sum(e["type"] == "error" for e in answered) <= 1
        talk.nothing(0.04)
    talk.update(audio={"input": {"turn_detection": {"type": "server_vad"}}})
    assert talk.events[-1]["type"] == "session.updated"
    if talk.orders.response is None:
        talk.send("response.create")
    talk.nothing(4)
    assert talk.of("response.done")


@pytest.mark.parametrize(
    "message",
    [
        *("", "[" * 100_000, '{"type": 1}', '{"type": "session.updat"}', "null", "\ud800"),
        *('{"type": "session.update"}', '{"type": "response.cancel", "response_id": 1}'),
        '{"type": "conversation.item.truncate", "item_id": "x", "audio_end_ms": true}',
        '{"type": "session.update", "session": {"speed": 1e999}}',
        f'{{"type": "session.update", "session": {{"a": {"[" * 70}0{"]" * 70}}}}}',
        f'{{"type": "session.update", "session": {{"a": [{"0," * MOST_PARTS}0]}}}}',
    ],
)
def test_what_is_no_event(message):
    with pytest.raises(WireError):
        read_event(message)


@pytest.mark.parametrize("audio", ["?", "AAA", "AA==", pcm(speech(0.1))[:-1], "ä"])
def test_sound_that_is_none(audio):
    talk = WireTalk()
    (error,) = talk.send("input_audio_buffer.append", audio=audio, event_id="e")
    assert error["error"]["code"] == "invalid_audio"
    assert error["error"]["event_id"] == "e"


def test_what_is_unheard_is_bounded():
    talk = WireTalk()
    minute = pcm(speech(60))
    assert not talk.send("input_audio_buffer.append", audio=minute)
    (error,) = talk.send("input_audio_buffer.append", audio=pcm(speech(1)))
    assert error["error"]["code"] == "buffer_full"
    talk.nothing(1)
    assert not talk.send("input_audio_buffer.append", audio=pcm(speech(1)))


def test_the_conversation_is_bounded():
    talk = WireTalk()
    for n in range(MOST_ITEMS + 10):
        talk.session._items.add(text_item("x", id=f"item_{n}"))
    assert talk.session._items["item_0"] is None
    assert talk.session._items.issued("item_0")
    huge = text_item("x" * (256 * 1024 + 1))
    (error,) = talk.send("conversation.item.create", item=huge)
    assert error["error"]["param"] == "item.content.text"
    huge = text_item("x" * 200_000)
    huge["content"] *= 2
    (error,) = talk.send("conversation.item.create", item=huge)
    assert error["error"]["param"] == "item.content"


def test_text_that_has_to_go_is_forgotten_by_the_engine_too(monkeypatch):
    monkeypatch.setattr(items, "MOST_SIZE", 1700)
    talk = WireTalk()
    for n in range(10):
        talk.send("conversation.item.create", item=text_item(f"{n}" * 500, id=f"item_{n}"))
    talk.nothing(0.1)
    assert [asked[0] for asked, _ in talk.fake.history] == ["8", "9"]
    assert talk.session._items["item_7"] is None
    talk.send("response.create")
    talk.nothing(0.5)
    turn = talk.fake.turns[-1]
    assert {word[0] for word in f"{turn.text} {turn.added}".split()} == {"8", "9"}


def test_ids_are_not_remembered_for_ever(monkeypatch):
    monkeypatch.setattr(items, "MOST_IDS", 3)
    talk = WireTalk()
    for n in range(5):
        talk.send("conversation.item.create", item=text_item("x", id=f"item_{n}"))
    assert [n for n in range(5) if talk.session._items.issued(f"item_{n}")] == [2, 3, 4]


def test_a_question_whose_reply_was_cancelled_is_forgotten_with_its_item():
    talk = WireTalk(think_cost=2.0)
    talk.say(speech(0.4))
    talk.wait(1.0)
    talk.send("response.create")
    talk.send("response.cancel")
    talk.wait(3)
    talk.send("conversation.item.create", item=text_item("and this?"))
    talk.send("response.create")
    talk.nothing(0.3)
    talk.send("response.cancel")
    talk.wait(3)
    assert talk.fake.history == [("hello", ""), ("and this?", "")]
    for item in [event["item"] for event in talk.of("conversation.item.added")]:
        if item["role"] == "user":
            talk.send("conversation.item.delete", item_id=item["id"])
    talk.nothing(0.1)
    assert talk.fake.history == []


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_a_reply_whose_item_is_deleted_on_its_way_is_not_remembered(seconds):
    talk = WireTalk(think_cost=0.2)
    talk.send("response.create")
    talk.nothing(seconds)
    (item,) = [event["item"] for event in talk.of("response.output_item.added")]
    talk.send("conversation.item.delete", item_id=item["id"])
    talk.wait(5)
    assert talk.of("response.done")
    assert not any(answer for _, answer in talk.fake.history)


def test_a_cancelled_reply_belongs_to_its_own_question():
    talk = WireTalk(think_cost=2.0)
    talk.send("conversation.item.create", item=text_item("and this?"))
    talk.send("response.create")
    talk.nothing(0.3)
    talk.send("response.cancel")
    talk.send("conversation.item.create", item=text_item("or that?"))
    talk.send("response.create")
    talk.wait(6)
    questions = [
        e["item"] for e in talk.of("conversation.item.added") if e["item"]["role"] == "user"
    ]
    assert [user for user, _ in talk.fake.history] == ["and this?", "or that?"]
    talk.send("conversation.item.delete", item_id=questions[0]["id"])
    talk.nothing(0.1)
    assert [user for user, _ in talk.fake.history] == ["or that?"]


def test_the_idle_timeout_is_switched_off_by_null():
    talk = WireTalk()
    talk.update(audio={"input": {"turn_detection": {"idle_timeout_ms": 5000}}})
    assert talk.session.settings.idle_timeout == 5.0
    (told,) = talk.update(audio={"input": {"turn_detection": {"idle_timeout_ms": None}}})
    assert talk.session.settings.idle_timeout is None
    assert "idle_timeout_ms" not in told["session"]["audio"]["input"]["turn_detection"]


def test_sound_in_crumbs_is_kept_whole():
    talk = WireTalk()
    talk.update(audio={"input": {"turn_detection": None}})
    for _ in range(1000):
        assert not talk.send("input_audio_buffer.append", audio=pcm(speech(0.02)))
        assert not talk.send("input_audio_buffer.append", audio="")
    assert len(talk.microphone._kept._pieces) == 1000
    assert len(talk.microphone.whole(20.0)) == 320_000
    assert talk.microphone.whole(0.1) is None


def test_a_turn_by_hand_is_the_latest_minute_because_clients_send_silence_too():
    talk = WireTalk()
    talk.update(audio={"input": {"turn_detection": None}})
    for level in (0.1, 0.2, 0.3):
        sound = np.full(30 * 16_000, level, np.float32)
        assert not talk.send("input_audio_buffer.append", audio=pcm(sound))
    kept = talk.microphone.whole(60.0)
    assert len(kept) == 60 * 16_000
    assert kept[0] == pytest.approx(0.2, abs=0.01)


def test_a_backlog_is_not_copied_for_every_frame(monkeypatch):
    now = [0.0]
    microphone = SocketMicrophone(lambda: now[0])
    sound = np.arange(60 * 16_000, dtype=np.float32)
    microphone.push(sound)
    copied, concatenate = [], np.concatenate

    def counting(parts):
        copied.append(sum(map(len, parts)))
        return concatenate(parts)

    monkeypatch.setattr(np, "concatenate", counting)
    heard = []
    for _ in range(100):
        now[0] += 0.01
        heard.append(microphone.read(0))
    assert sum(copied) == 100 * 320
    assert np.array_equal(concatenate(heard), sound[: 100 * 320])


def test_messages_without_sound_do_not_stop_the_clock():
    now = [0.0]
    microphone = SocketMicrophone(lambda: now[0])
    microphone.push(speech(0.02))
    now[0] += 0.1
    assert microphone.read(0) is not None
    for _ in range(20):
        now[0] += 0.1
        assert microphone.push(speech(0.0))
    assert microphone.read(0) is not None


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"audio": {"input": {"format": {"type": "audio/mp3"}}}}, "audio.input.format"),
        ({"audio": {"output": {"format": {"type": "audio/pcm", "rate": 8000}}}}, None),
        ({"audio": {"input": {"turn_detection": {"type": "no"}}}}, None),
        ({"audio": {"output": {"speed": 4}}}, "audio.output.speed"),
        ({"type": "transcription"}, "session.type"),
        ({"audio": 3}, "audio"),
    ],
)
def test_a_refused_update_changes_nothing(change, param):
    talk = WireTalk()
    before = json.dumps(talk.session.settings.value)
    (error,) = talk.send("session.update", session={"instructions": "x", **change})
    assert error["error"]["param"] == (param or error["error"]["param"])
    assert json.dumps(talk.session.settings.value) == before


def test_what_means_nothing_here_is_accepted_and_told_back():
    talk = WireTalk()
    (updated,) = talk.send(
        "session.update",
        session={
            "model": "gpt-realtime",
            "tools": [{"type": "function", "name": "f", "parameters": {}}],
            "audio": {
                "input": {"turn_detection": {"type": "semantic_vad"}, "noise_reduction": None},
                "output": {"voice": "marin"},
            },
        },
    )
    session = updated["session"]
    assert session["model"] == "fake"
    assert session["tools"][0]["name"] == "f"
    turns = {"type": "semantic_vad", "create_response": True, "interrupt_response": True}
    assert session["audio"]["input"]["turn_detection"] == turns
    assert session["audio"]["output"]["voice"] == "first"
    talk.update(audio={"output": {"voice": "second"}})
    talk.nothing(0.5)
    assert talk.fake.voice == "second"
