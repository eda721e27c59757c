"""A server that is sent anything answers or closes the socket, and its other session goes on."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from covo_cli.serve.connection import ServerLimits
from covo_cli.serve.realtime.session import RealtimeSession
from covo_cli.serve.run_serve import MOST_BYTES
from tests.covo_cli.serve.live_server import LiveServer, opened, receive, send, serving, until
from tests.covo_cli.serve.wire_talk import Orders, pcm, text_item, valid
from tests.fakes.engine import speech
from tests.fuzz.inputs import JSON, altered, as_json, damaged, fuzz

# Meanwhile the server draws random numbers, which hypothesis takes for the test's.
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")

REFUSED = {1002, 1007, 1009}
"""Why a socket may be closed: no protocol, no text, too long."""

MOST_GROWTH = 300 * 2**20
"""Memory that all of it may leave behind, in bytes: the heap of the largest messages."""

TOOLS = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]
SESSION = {
    "type": "realtime",
    "instructions": "Be brief.",
    "output_modalities": ["audio"],
    "tools": TOOLS,
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.5},
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "transcription": {"model": "any"},
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "idle_timeout_ms": 60_000},
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "second", "speed": 1.0},
    },
}
MANUAL = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
EVENTS: list[dict[str, Any]] = [
    {"type": "session.update", "session": SESSION},
    {"type": "session.update", "session": MANUAL},
    {"type": "input_audio_buffer.append", "audio": pcm(speech(0.2))},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "output_audio_buffer.clear"},
    {"type": "conversation.item.create", "item": text_item("hi", id="known")},
    {"type": "conversation.item.create", "item": text_item("hello", "assistant")},
    {"type": "conversation.item.retrieve", "item_id": "known"},
    {"type": "conversation.item.delete", "item_id": "known"},
    {
        "type": "conversation.item.truncate",
        "item_id": "known",
        "content_index": 0,
        "audio_end_ms": 10,
    },
    {"type": "response.create", "response": {"metadata": {"a": "b"}, "instructions": "Go."}},
    {"type": "response.cancel"},
    {"type": "covo.played", "item_id": "known", "audio_ms": 10},
]


@dataclass(frozen=True, slots=True, repr=False)
class Sent:
    """``data`` as a message (``text`` or not), in ``parts`` fragments; or as bytes of the stream,
    outside of any (``raw``)."""

    data: bytes
    text: bool = True
    parts: int = 1
    raw: bool = False

    def __repr__(self) -> str:
        return f"Sent({self.data[:300]!r}, {self.text}, {self.parts}, {self.raw})"

    def to(self, socket: ClientConnection) -> None:
        """Send it. Raises: ConnectionClosed, OSError."""
        if self.raw:
            socket.socket.sendall(self.data)
            return
        size = -(-len(self.data) // self.parts) or 1
        pieces = [self.data[at : at + size] for at in range(0, len(self.data), size)]
        socket.send(pieces if self.parts > 1 else self.data, text=self.text)

    @property
    def may_close(self) -> bool:
        """Whether it is nothing that a socket of text can take."""
        if self.raw or len(self.data) > MOST_BYTES:
            return True
        try:
            self.data.decode()
        except UnicodeDecodeError:
            return self.text
        return False


def nested(depth: int, opening: str, closing: str) -> bytes:
    """An update whose tool has parameters ``depth`` deep; ``closing`` may be missing."""
    deep = opening * depth + "0" + closing * depth
    update = '{"type": "session.update", "session": {"tools": [{"type": "function", "parameters": '
    return f"{update}{deep}}}]}}}}".encode()


def with_number(event: dict[str, Any], digits: str) -> bytes:
    """``event`` with each of its numbers replaced by ``digits``."""
    text = json.dumps(event)
    for number in ("24000", "60000", "10", "0.5", "1.0"):
        text = text.replace(f": {number}", f": {digits}")
    return text.encode()


GOOD = st.sampled_from(EVENTS)
NUMBERS = st.sampled_from(("1e999", "-1e999", "1e308", "-0", "1E400", "9" * 30, "9" * 5000, "-1"))
TEXTS = st.one_of(
    GOOD.map(as_json),
    GOOD.flatmap(altered).map(as_json),
    GOOD.map(as_json).flatmap(damaged),
    GOOD.flatmap(lambda event: altered(event).map(lambda found: as_json({**event, "x": found}))),
    st.builds(with_number, GOOD, NUMBERS),
    st.builds(
        nested,
        st.sampled_from((3, 60, 200, 400, 900, 20_000)),
        st.sampled_from(("[", '{"a":', '[{"type":')),
        st.sampled_from(("]", "}", "}]", "")),
    ),
    st.builds(lambda kind: as_json({"type": kind}), st.text(max_size=30)),
    JSON.map(as_json),
    st.text(max_size=40).map(str.encode),
    st.binary(max_size=40),
)
HUGE = {
    "too long": b"x" * (MOST_BYTES + 1),
    "many parts": b"[" + b"[]," * (MOST_BYTES // 4) + b"[]]",
    "sound": b'{"type": "input_audio_buffer.append", "audio": "'
    + b"A" * (MOST_BYTES - 100)
    + b'"}',
}
SENT = st.one_of(
    *(st.builds(Sent, TEXTS) for _ in range(20)),
    st.builds(Sent, TEXTS, parts=st.integers(2, 5)),
    st.builds(Sent, st.binary(max_size=40), text=st.just(False)),
    st.builds(Sent, st.binary(min_size=1, max_size=40), raw=st.just(True)),
    st.sampled_from(sorted(HUGE)).map(lambda name: Sent(HUGE[name])),
)


class Troubles(logging.Handler):
    """Keeps what is logged as an error, or with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        ours = not record.name.startswith("websockets.client")
        if ours and (record.levelno >= logging.ERROR or record.exc_info):
            self.found.append(self.format(record))


@dataclass
class Neighbours:
    """A server with two places, and a session at one of them."""

    server: LiveServer
    other: ClientConnection
    troubles: Troubles

    def converse(self) -> None:
        """Hold a turn of the other session."""
        send(self.other, "response.create", response={"instructions": "Say something."})
        events = receive(self.other, "response.done")
        assert not [event for event in events if event["type"] == "error"]
        response = events[-1]["response"]
        assert response["status"] == "completed"
        assert response["output"][0]["content"][0]["transcript"] == "one two "


@pytest.fixture(scope="module")
def neighbours() -> Iterator[Neighbours]:
    troubles = Troubles()
    logging.getLogger().addHandler(troubles)
    memory = psutil.Process().memory_info
    limits = ServerLimits(events=100_000.0)
    made = {"words": ["one", "two"], "word_seconds": 0.05}
    with serving(2, limits, **made) as server, opened(server) as other:
        receive(other, "session.created")
        found = Neighbours(server, other, troubles)
        found.converse()
        for data in HUGE.values():
            send_all(found, [Sent(data)])
        before = memory().rss
        yield found
        gc.collect()
        held = [kept for kept in gc.get_objects() if isinstance(kept, RealtimeSession)]
        assert len(held) <= 2, "sessions that are over are kept"
        assert memory().rss - before < MOST_GROWTH
    logging.getLogger().removeHandler(troubles)


def send_all(neighbours: Neighbours, sent: list[Sent]) -> None:
    """Send everything in one session, and check that it is answered or closed."""
    orders, closed = Orders(), None
    socket = opened(neighbours.server, max_size=None, close_timeout=1)
    try:
        with suppress(OSError):
            for message in sent:
                message.to(socket)
            send(socket, "conversation.item.retrieve", item_id="none", event_id="last")
        while True:
            event = json.loads(socket.recv(10))
            valid(event)
            orders.take(event)
            if event["type"] == "error" and event["error"].get("event_id") == "last":
                break
    except ConnectionClosed as error:
        closed = error
    finally:
        socket.close()
    if closed is not None:
        assert any(message.may_close for message in sent), closed
        assert closed.rcvd is None or closed.rcvd.code in REFUSED


@fuzz
@given(sent=st.lists(SENT, min_size=6, max_size=12))
def test_a_server_that_is_sent_anything(neighbours: Neighbours, sent: list[Sent]) -> None:
    send_all(neighbours, sent)
    neighbours.converse()
    until(lambda: neighbours.server.places.busy == 1)
    assert neighbours.server.places.count == 2
    found, neighbours.troubles.found = neighbours.troubles.found, []
    assert not found, found[0]
