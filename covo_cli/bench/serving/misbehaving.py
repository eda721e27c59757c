"""Clients that misbehave beside others: each kind must be dealt with, in bounded time."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from audio_io.clock import ASSISTANT_RATE, samples
from covo_cli.serve.connection import ServerLimits
from covo_cli.serve.prompt_http import REQUEST_S
from covo_cli.serve.realtime.microphone import UNHEARD_S
from covo_cli.serve.run_serve import PING_S

LONGEST_S = 60.0
"""A client that is not dealt with by then never is."""

_FLOOD_S, _FLOOD_SLACK_S = 5.0, 0.5
_GARBAGE = 300
_TEXT = 200_000
_SLACK_S = 5.0
_MARK = "the last event"


@dataclass
class Misbehaved:
    """``clients`` of one kind, how many were ``not_dealt_with``, and the ``longest`` seconds."""

    clients: int = 0
    not_dealt_with: int = 0
    longest: float = 0.0


def misbehave(port: int, token: str, seconds: float, seed: int) -> dict[str, Misbehaved]:
    """Let a client of each kind come whenever the one before it has gone, for ``seconds``, but one
    of each at least. Return what became of them."""
    return asyncio.run(_come_and_misbehave(port, token, time.monotonic() + seconds, seed))


async def _come_and_misbehave(
    port: int, token: str, until: float, seed: int
) -> dict[str, Misbehaved]:
    found = {kind: Misbehaved() for kind in KINDS}

    async def come(kind: str) -> None:
        rng = np.random.default_rng([seed, *kind.encode()])
        while not found[kind].clients or time.monotonic() < until:
            begun, dealt_with = time.monotonic(), False
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                async with asyncio.timeout(LONGEST_S):
                    dealt_with = await KINDS[kind](port, token, rng)
            found[kind].clients += 1
            found[kind].not_dealt_with += not dealt_with
            found[kind].longest = max(found[kind].longest, time.monotonic() - begun)
            await asyncio.sleep(float(rng.uniform(0.5, 1.5)))

    async with asyncio.TaskGroup() as coming:
        for kind in KINDS:
            coming.create_task(come(kind))
    return found


@asynccontextmanager
async def _socket(port: int, token: str) -> Any:
    """Connect, wait for the session, and vanish in the end."""
    socket = await connect(
        f"ws://127.0.0.1:{port}/v1/realtime?model=covo",
        additional_headers={"Authorization": f"Bearer {token}"},
        proxy=None,
        compression=None,
        ping_interval=None,
        max_queue=1,
    )
    try:
        await socket.recv()
        yield socket
    finally:
        socket.transport.abort()
        await socket.close()


async def _never_reads(port: int, token: str, rng: np.random.Generator) -> bool:
    """Ask for more and more answers; return whether the socket was dropped."""
    content = [{"type": "input_text", "text": "x" * _TEXT}]
    item = {"type": "message", "role": "user", "content": content}
    async with _socket(port, token) as socket:
        try:
            while True:
                await socket.send(_event("conversation.item.create", item=item))
                await asyncio.sleep(0)  # let the loop see that it was dropped
        except ConnectionClosed:
            return True


async def _floods(port: int, token: str, rng: np.random.Generator) -> bool:
    """Send as many events as can be sent; return whether no more are answered than may be.

    Its answers to the server's pings wait behind the flood, so it may be dropped.
    """
    answered = 0

    async def count(socket: ClientConnection) -> None:
        nonlocal answered
        async for _ in socket:
            answered += 1

    async with _socket(port, token) as socket:
        counting = asyncio.create_task(count(socket))
        begun = time.monotonic()
        with contextlib.suppress(ConnectionClosed):
            while time.monotonic() - begun < _FLOOD_S or not answered:
                await socket.send(_event("session.update", session={}))
                await asyncio.sleep(0)
        lasted = time.monotonic() - begun
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)
    # A second's worth is allowed at once.
    return answered <= ServerLimits().events * (lasted + 1 + _FLOOD_SLACK_S)


async def _too_much_sound(port: int, token: str, rng: np.random.Generator) -> bool:
    """Send twice the sound that may wait; return whether that is an error and no more."""
    length = samples(2 * UNHEARD_S, ASSISTANT_RATE)
    noise = rng.integers(-3000, 3000, length, dtype=np.int16)
    sound = base64.b64encode(noise.tobytes()).decode()
    async with _socket(port, token) as socket:
        await socket.send(_event("input_audio_buffer.append", audio=sound))
        return await _errors(socket) == ["buffer_full"]


async def _sends_garbage(port: int, token: str, rng: np.random.Generator) -> bool:
    """Send broken messages; return whether each is one error at most."""
    async with _socket(port, token) as socket:
        for message in itertools.islice(_garbage(rng), _GARBAGE):
            await socket.send(message)
        return 0 < len(await _errors(socket)) <= _GARBAGE


async def _falls_silent(port: int, token: str, rng: np.random.Generator) -> bool:
    """Read and send nothing more, as if the cable were pulled; return whether it was dropped."""
    async with _socket(port, token) as socket:
        socket.transport.pause_reading()
        await asyncio.sleep(2 * PING_S + _SLACK_S)  # a ping, and no answer to it
        socket.transport.resume_reading()
        async with asyncio.timeout(_SLACK_S):
            await socket.wait_closed()
        return True


async def _asks_nothing(data: bytes, port: int, token: str, rng: np.random.Generator) -> bool:
    """Connect and send ``data``, which is no whole request; return whether it was dropped."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(REQUEST_S + _SLACK_S):
            with contextlib.suppress(ConnectionError):
                return await reader.read() == b""
        return True
    finally:
        writer.transport.abort()


Misbehaving = Callable[[int, str, np.random.Generator], Awaitable[bool]]
KINDS: dict[str, Misbehaving] = {
    "never reads": _never_reads,
    "floods": _floods,
    "sends too much sound": _too_much_sound,
    "sends garbage": _sends_garbage,
    "falls silent": _falls_silent,
    "sends no request": partial(_asks_nothing, b""),
    "sends half a request": partial(_asks_nothing, b"GET /v1/realtime HTTP/1.1\r\nHost: "),
}
"""Each returns whether the server dealt with it as it should."""

WITH_A_PLACE = 5
"""Kinds that take a place."""


async def _errors(socket: ClientConnection) -> list[str]:
    """Return the codes of all errors so far, once the server has answered everything."""
    await socket.send(_event("conversation.item.retrieve", item_id="none", event_id=_MARK))
    codes: list[str] = []
    async for message in socket:
        error = json.loads(message).get("error", {})
        if error.get("event_id") == _MARK:
            break
        codes += [error["code"]] if error else []
    return codes


def _garbage(rng: np.random.Generator) -> Iterator[str | bytes]:
    kinds = ("session.update", "response.create", "conversation.item.create", "no.such.event")
    while True:
        yield rng.bytes(int(rng.integers(1, 2000)))
        yield rng.bytes(int(rng.integers(1, 2000))).decode("latin-1")
        yield "[" * int(rng.integers(1, 5000))
        whole = _event(str(rng.choice(kinds)), session=[], item={"type": 3}, response=7)
        yield whole
        yield whole[: int(rng.integers(len(whole)))]


def _event(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})
