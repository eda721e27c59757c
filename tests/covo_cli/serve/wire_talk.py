"""A session with a made-up engine, frame by frame on one clock; every event that is sent is checked
against the types of the ``openai`` package, and against the orders that clients rely on."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from audio_io.clock import FRAME, FRAME_S
from audio_io.ends import Speaker
from audio_io.signal import Audio
from covo_cli.conversation.conversation import Conversation
from covo_cli.conversation.request import Request
from covo_cli.serve.app import REALTIME
from covo_cli.serve.protocol import SessionLink, WireSession
from covo_cli.serve.realtime.microphone import SocketMicrophone
from covo_cli.serve.realtime.session_object import ServedEngine
from covo_cli.serve.realtime.sound import SoundDecoder, SoundFormat
from covo_cli.serve.realtime.speaker import SocketSpeaker
from model.jobs.virtual_executor import VirtualExecutor
from model.turns.controller import TurnTakingEngine
from model.turns.phrases import phrases_of
from model.turns.turn_settings import TurnSettings
from tests.fakes.engine import FakeClock, FakeGenerator, FakeRecognizer, LevelDetector, silence
from tests.fakes.talks import Script

UNION = get_args(get_args(RealtimeServerEvent)[0])
SERVER_EVENTS = {
    get_args(model.model_fields["type"].annotation)[0]: TypeAdapter(model) for model in UNION
}
SERVED = ServedEngine("fake", "first", ("first", "second"), "a fake recogniser", TurnSettings())
MAY_BE_NULL = {"previous_item_id", "turn_detection", "transcript", "noise_reduction", "tracing"}
MAY_BE_NULL |= {"transcription", "event_id"}
USER = [
    *("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"),
    *("input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"),
    "conversation.item.input_audio_transcription.completed",
]
FIRST = [
    *("response.created", "response.output_item.added", "conversation.item.added"),
    "response.content_part.added",
]
LAST = {
    True: [
        *("response.output_audio.done", "response.output_audio_transcript.done"),
        *("response.content_part.done", "response.output_item.done", "conversation.item.done"),
        "response.done",
    ],
    False: [
        *("response.output_text.done", "response.content_part.done", "response.output_item.done"),
        *("conversation.item.done", "response.done"),
    ],
}


def valid(event: dict[str, Any]) -> None:
    """What every event must be: one of the union, with no unknown or needless null fields."""
    assert event["type"] in SERVER_EVENTS, f"{event['type']} is none of the union"
    found = SERVER_EVENTS[event["type"]].validate_python(event)
    assert not found.model_extra, f"{event['type']} has no {found.model_extra}"
    for key in nulls(event):
        assert key in MAY_BE_NULL, f"{key} of {event['type']} is null"


def nulls(value: Any, key: str = "") -> list[str]:
    if value is None:
        return [key]
    if isinstance(value, dict):
        return [n for name, part in value.items() for n in nulls(part, name)]
    if isinstance(value, list):
        return [n for part in value if part is not None for n in nulls(part, key)]  # as in an enum
    return []


class Orders:
    """The orders of a session's events. ``take`` raises AssertionError for what may not be."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.conversation: list[str] = []  # as a client puts it together
        self.items: set[str] = set()
        self.done: set[str] = set()
        self.deleted: set[str] = set()
        self.expected: list[tuple[str, str]] = []  # what must come next, and of which item
        self.response: list[dict[str, Any]] | None = None  # the active one's events
        self.over: set[str] = set()
        self.silenced = ""  # the response over which speech started, which interrupts it
        self.interrupts = True
        self.speaking = ""
        self.speech_ms = 0
        self.stopped: set[str] = set()
        self.committed: set[str] = set()
        self.transcribed: set[str] = set()
        self.sound: dict[str, int] = defaultdict(int)  # samples sent of each item

    def take(self, event: dict[str, Any]) -> None:
        assert event["event_id"] not in self.ids
        self.ids.add(event["event_id"])
        kind = event["type"]
        self._check_mentions(event)
        if self.expected:
            assert (kind, _item_of(event)) == self.expected.pop(0)
        if kind == "response.created":
            assert self.response is None, "two responses at once"
            assert event["response"]["id"] not in self.over
            self.response = []
        if self.response is not None and self._belongs(event):
            self._of_response(event)
        else:
            assert "response_id" not in event, f"{kind} outside its response"
            if self.response:
                assert self.silenced != self._response_id, f"{kind} while an interrupted one ends"
        self._take_item(kind.removeprefix("conversation.item."), event)
        match kind:
            case "session.updated":
                turns = event["session"]["audio"]["input"].get("turn_detection") or {}
                self.interrupts = turns.get("interrupt_response", True)
            case "input_audio_buffer.speech_started":
                assert not self.speaking, "speech started twice"
                assert event["item_id"] not in {*self.items, *self.stopped}
                self.speaking, self.speech_ms = event["item_id"], event["audio_start_ms"]
                if self.response is not None and self.interrupts:
                    self.silenced = self._response_id
            case "input_audio_buffer.speech_stopped":
                assert self.speaking == event["item_id"]
                assert event["audio_end_ms"] >= self.speech_ms
                self.speaking = ""
                self.stopped.add(event["item_id"])
            case "input_audio_buffer.committed":
                assert event["item_id"] not in {*self.committed, self.speaking}
                self.committed.add(event["item_id"])
                names = ("conversation.item.added", "conversation.item.done")
                self.expected = [(name, event["item_id"]) for name in names]

    def at_rest(self) -> None:
        """What must hold when nothing is going on."""
        assert self.response is None, "a response was never done"
        assert not self.speaking, "speech never stopped"
        assert self.items - self.deleted == set(self.conversation) <= self.done

    def _take_item(self, kind: str, event: dict[str, Any]) -> None:
        match kind, event:
            case "added", {"item": {"id": item_id}, "previous_item_id": before}:
                assert item_id not in self.items
                self.items.add(item_id)
                place = 0 if before is None else self.conversation.index(before) + 1
                self.conversation.insert(place, item_id)
            case "done", {"item": {"id": item_id}, "previous_item_id": before}:
                assert item_id not in self.done
                self.done.add(item_id)
                place = self.conversation.index(item_id)
                assert before == (self.conversation[place - 1] if place else None)
            case "retrieved", {"item": {"id": item_id}}:
                assert item_id in self.conversation
            case "deleted", {"item_id": item_id}:
                self.deleted.add(item_id)
                if item_id in self.conversation:
                    self.conversation.remove(item_id)
            case "truncated", {"item_id": item_id, "audio_end_ms": end}:
                assert item_id in self.items
                assert 0 <= end <= self.sound[item_id] / 24, "more is heard than was sent"
            case "input_audio_transcription.delta", {"item_id": item_id}:
                assert item_id in {self.speaking, *self.stopped, *self.committed}
                assert item_id not in self.transcribed
            case "input_audio_transcription.completed", {"item_id": item_id}:
                assert item_id in self.items, "words before their item"
                assert item_id not in self.transcribed
                self.transcribed.add(item_id)

    @property
    def _response_id(self) -> str:
        assert self.response
        return self.response[0]["response"]["id"]

    def _check_mentions(self, event: dict[str, Any]) -> None:
        if event["type"] in ("conversation.item.deleted", "conversation.item.truncated"):
            return
        output = event.get("response", {}).get("output", [])
        mentioned = {_item_of(event), event.get("previous_item_id"), *(i["id"] for i in output)}
        assert not mentioned & self.deleted, f"{event['type']} mentions a deleted item"

    def _belongs(self, event: dict[str, Any]) -> bool:
        if event["type"].startswith("response."):
            return True
        item, events = event.get("item", {}), self.response or []
        return (
            item.get("role") == "assistant"
            and (len(events) == 2 or event["type"] == "conversation.item.done")
            and item["id"] == events[1]["item"]["id"]
        )

    def _of_response(self, event: dict[str, Any]) -> None:
        events = self.response
        assert events is not None
        events.append(event)
        kind = event["type"]
        if "response_id" in event:
            assert event["response_id"] == self._response_id
        if len(events) <= len(FIRST):
            assert kind == FIRST[len(events) - 1]
        elif kind != "response.done":
            assert _item_of(event) == events[1]["item"]["id"]
        if kind.endswith(".delta"):
            assert self.silenced != self._response_id, "more of it after speech started"
        if kind == "response.output_audio.delta":
            sound = base64.b64decode(event["delta"])
            assert len(sound) % 2 == 0
            self.sound[event["item_id"]] += len(sound) // 2
        if kind != "response.done":
            return
        kinds = [e["type"] for e in events]
        speaks = "response.output_audio.done" in kinds
        last = LAST[speaks]
        assert kinds[-len(last) :] == last
        name = "response.output_audio_transcript" if speaks else "response.output_text"
        between = set(kinds[len(FIRST) : -len(last)])
        assert between <= {f"{name}.delta", "response.output_audio.delta"}
        told = "".join(e["delta"] for e in events if e["type"] == f"{name}.delta")
        done = next(e for e in events if e["type"] == f"{name}.done")
        assert done["transcript" if speaks else "text"] == told
        response = event["response"]
        assert response.get("metadata") == events[0]["response"].get("metadata")
        (item,) = response["output"]
        assert item["content"][0]["transcript" if speaks else "text"].strip() in told
        if response["status"] == "cancelled":
            reason = response["status_details"]["reason"]
            interrupted = self.silenced == response["id"]
            assert reason == ("turn_detected" if interrupted else "client_cancelled")
        else:
            assert response["status"] in ("completed", "failed")
        assert response["usage"]["total_tokens"] == 0
        self.over.add(response["id"])
        self.response = None


def _item_of(event: dict[str, Any]) -> str:
    """The id of the item that an event is about, empty for none."""
    return event.get("item_id") or event.get("item", {}).get("id", "")


class WireTalk:
    """A session and its engine. Time passes only in :meth:`say` and :meth:`wait`."""

    protocol = REALTIME
    append = "input_audio_buffer.append"

    def __init__(
        self,
        recognized: Callable[[Audio], str] = lambda audio: "hello",
        *,
        script: Script | None = None,
        extended: bool = False,
        generator: type[FakeGenerator] = FakeGenerator,
        **made: Any,
    ) -> None:
        self.now = 100.0
        self.over = False
        work = FakeClock()
        self.fake = generator(work, **made)
        self.engine = TurnTakingEngine(
            self.fake,
            LevelDetector(),
            VirtualExecutor(work),
            SERVED.turns,
            FakeRecognizer(work, script.read if script else recognized),
            phrases_of("en") if script else None,
        )
        self.orders: Any = self.new_orders()
        self.events: list[dict[str, Any]] = []
        self.microphone = SocketMicrophone(lambda: self.now, steady=self.protocol.steady)
        self.speaker = self.new_speaker()
        link = SessionLink(
            SERVED,
            self.microphone,
            self._take,
            self._command,
            "sess_1",
            self.expires_at,
            extended,
        )
        self.session: Any = self.new_session(link)
        self.conversation = Conversation(self.microphone, self.speaker, self.engine, [self.session])
        self.session.open()
        self.hear_exactly()

    expires_at = 2_000_000_000

    def new_orders(self) -> Any:
        return Orders()

    def new_speaker(self) -> Speaker:
        return SocketSpeaker(lambda: self.now)

    def new_session(self, link: SessionLink) -> WireSession:
        return self.protocol.session(link, self.speaker)

    def check(self, event: dict[str, Any]) -> None:
        valid(event)

    def hear_exactly(self) -> None:
        """Take sound of 16 kHz: the resampler would ring where there is silence."""
        self.session._decoder = SoundDecoder(SoundFormat("audio/pcm", 16_000))

    def _command(self, request: Request) -> None:
        self.conversation.send(request)

    def _take(self, event: dict[str, Any]) -> None:
        event = json.loads(json.dumps(event))
        if not event["type"].startswith("covo."):
            self.check(event)
            self.orders.take(event)
        self.events.append(event)

    def send(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """Send an event; return what is answered at once."""
        return self.send_text(json.dumps({"type": kind, **fields}))

    def send_text(self, text: str) -> list[dict[str, Any]]:
        count = len(self.events)
        self.session.take(text)
        return self.events[count:]

    def update(self, **session: Any) -> list[dict[str, Any]]:
        return self.send("session.update", session={"type": "realtime", **session})

    def say(self, sound: Audio) -> None:
        """Send ``sound`` (16 kHz, whole frames) at the speed of life."""
        for start in range(0, len(sound), FRAME):
            self.send(self.append, audio=pcm(sound[start : start + FRAME]))
            self._pass()

    def wait(self, seconds: float) -> None:
        """Send silence for ``seconds``."""
        self.say(silence(seconds))

    def nothing(self, seconds: float) -> None:
        """Send nothing for ``seconds``."""
        for _ in range(round(seconds / FRAME_S)):
            self._pass()

    def _pass(self) -> None:
        for _ in range(4):  # the microphone may be up to four times as fast
            self.now += FRAME_S / 4
            if not self.over:
                self.over = self.conversation.advance(0.0) is not None

    def kinds(self, *ignored: str) -> list[str]:
        """The types of what was sent, repeats of deltas left out."""
        kinds: list[str] = []
        for event in self.events:
            kind = event["type"]
            if kind in ignored or (kind.endswith(".delta") and kind in kinds[-3:]):
                continue
            kinds.append(kind)
        return kinds

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def sound(self) -> dict[str, int]:
        """How many samples of each response were sent (PCM16)."""
        sizes: dict[str, int] = defaultdict(int)
        for event in self.of("response.output_audio.delta"):
            sizes[event["response_id"]] += len(base64.b64decode(event["delta"])) // 2
        return dict(sizes)


def pcm(sound: Audio) -> str:
    return base64.b64encode(np.rint(sound * 32767).astype("<i2").tobytes()).decode()


def text_item(text: str, role: str = "user", **more: Any) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **more}


def codes(events: list[dict[str, Any]]) -> list[str]:
    """The codes of the errors among ``events``."""
    return [event["error"]["code"] for event in events if event["type"] == "error"]
