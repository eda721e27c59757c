"""A session of GPT-Live with a made-up engine, frame by frame on one clock; every event is checked
against the types of the ``openai`` package, and against the orders that clients rely on."""

from __future__ import annotations

import base64
from typing import Any, get_args

import numpy as np
from openai.types.live import ServerEvent
from pydantic import TypeAdapter

from audio_io.clock import ASSISTANT_RATE
from audio_io.ends import Speaker
from audio_io.signal import Audio
from covo_cli.conversation.consumer import Tick
from covo_cli.serve.app import LIVE
from covo_cli.serve.live.session import LiveSession
from covo_cli.serve.protocol import SessionLink
from model.events import Interrupted
from tests.covo_cli.serve.wire_talk import WireTalk, nulls

UNION = get_args(get_args(ServerEvent)[0])
SERVER_EVENTS = {
    get_args(model.model_fields["type"].annotation)[0]: TypeAdapter(model) for model in UNION
}
SESSION: dict[str, Any] = {"model": "gpt-live-1"}


def valid_live(event: dict[str, Any]) -> None:
    """What every event must be: one of the union, with no unknown field and no null."""
    assert event["type"] in SERVER_EVENTS, f"{event['type']} is none of the union"
    found = SERVER_EVENTS[event["type"]].validate_python(event)
    assert not found.model_extra, f"{event['type']} has no {found.model_extra}"
    assert not nulls({key: part for key, part in event.items() if key != "session"})


class LiveOrders:
    """The orders of a session's events. ``take`` raises AssertionError for what may not be."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.started = self.closed = False
        self.answered: set[str] = set()
        self.ends = {"input": 0, "output": 0}
        self.sound = 0

    @property
    def now_ms(self) -> float:
        """How long the session has been heard, in ms."""
        return self.sound * 1000 / ASSISTANT_RATE

    def take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind != "session.output_audio.delta":
            assert event["event_id"] not in self.ids
            self.ids.add(event["event_id"])
        assert not self.closed, f"{kind} after session.closed"
        if not self.started:
            assert kind in ("session.started", "error"), f"{kind} before session.started"
        mine = event.get("client_event_id")
        if mine is not None:
            assert mine not in self.answered, "answered twice"
            self.answered.add(mine)
        match kind:
            case "session.started":
                assert not self.started
                self.started = True
            case "session.closed":
                self.closed = True
            case "session.output_audio.delta":
                self.sound += len(base64.b64decode(event["delta"])) // 2
            case "session.input_transcript.delta" | "session.output_transcript.delta":
                side = kind.split("_")[0].removeprefix("session.")
                assert event["delta"].strip()
                assert self.ends[side] <= event["end_ms"]
                assert 0 <= event["start_ms"] <= event["end_ms"] <= self.now_ms + 20
                self.ends[side] = event["end_ms"]


class LiveTalk(WireTalk):
    """A session that has started, unless ``session`` is None, and its engine."""

    protocol = LIVE
    taken_back = 0
    """Replies that began in a pause of the user's, and that nothing is remembered of."""
    append = "session.input_audio.append"

    def __init__(self, session: dict[str, Any] | None = SESSION, **made: Any) -> None:
        self.first = session
        super().__init__(**made)

    def new_orders(self) -> LiveOrders:
        return LiveOrders()

    def new_speaker(self) -> Speaker:
        return LIVE.speaker(lambda: None)

    def new_session(self, link: SessionLink) -> LiveSession:
        session = LiveSession(link, lambda: self.now)
        is_spare = session._is_spare

        def counted(sound: Audio) -> bool:
            """Count what is left out, too: the time line goes on."""
            spare = is_spare(sound)
            self.orders.sound += spare * len(sound)
            return spare

        session._is_spare = counted
        on_tick = session.on_tick

        def noted(tick: Tick) -> None:
            ended = (event for event in tick.events if isinstance(event, Interrupted))
            self.taken_back += sum(event.reason == "you went on" for event in ended)
            on_tick(tick)

        session.on_tick = noted
        return session

    def check(self, event: dict[str, Any]) -> None:
        valid_live(event)

    def hear_exactly(self) -> None:
        if self.first is not None:
            self.send("session.start", session=self.first)
            super().hear_exactly()

    def said(self, side: str) -> str:
        """The words of a side, as a client puts them together."""
        return "".join(e["delta"] for e in self.of(f"session.{side}_transcript.delta"))

    def output(self) -> Audio:
        """All sound that was sent (PCM16)."""
        data = b"".join(base64.b64decode(e["delta"]) for e in self.of("session.output_audio.delta"))
        return np.frombuffer(data, "<i2").astype(np.float32) / 32767
