"""Clients that come and vanish at random points: before, during and after the handshake, while they
wait, speak and are spoken to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Sequence

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

_LONGEST_S = 10.0


async def come_and_vanish(
    port: int,
    token: str,
    count: int,
    at_once: int,
    question: Sequence[str],
    rng: np.random.Generator,
) -> Counter[str]:
    """Let ``count`` clients come, ``at_once`` of them at any time; return how often they left at
    each point. ``question``: messages that say something."""
    left: Counter[str] = Counter()
    room = asyncio.Semaphore(at_once)

    async def visit(point: str, wait: float) -> None:
        async with room:
            try:
                async with asyncio.timeout(_LONGEST_S):
                    await _visit(port, token, point, wait, question)
                left[point] += 1
            except InvalidStatus:
                left["refused"] += 1
            except (OSError, WebSocketException, TimeoutError) as error:
                left[type(error).__name__] += 1

    points = rng.choice(POINTS, count)
    waits = rng.uniform(0.0, 0.5, count)
    async with asyncio.TaskGroup() as visits:
        for point, wait in zip(points, waits, strict=True):
            visits.create_task(visit(str(point), float(wait)))
    return left


POINTS = (
    *("connected", "half a request", "whole request", "accepted", "session created"),
    *("half a message", "speaking", "a response", "closed"),
)


async def _visit(port: int, token: str, point: str, wait: float, question: Sequence[str]) -> None:
    if point in POINTS[:3]:
        await _knock(port, token, point, wait)
        return
    headers = {"Authorization": f"Bearer {token}"}
    address = f"ws://127.0.0.1:{port}/v1/realtime?model=covo"
    socket = await connect(address, additional_headers=headers, proxy=None)
    try:
        await _take_part(socket, point, wait, question)
    finally:
        if point != "closed":
            socket.transport.abort()
        await socket.close()


async def _take_part(
    socket: ClientConnection, point: str, wait: float, question: Sequence[str]
) -> None:
    if point == "accepted":
        return
    await socket.recv()
    match point:
        case "half a message":
            socket.transport.write(b"\x81\xfe\xff\xff" + bytes(100))
        case "speaking":
            for piece in question[: len(question) // 2]:
                await socket.send(piece)
        case "a response" | "closed":
            await socket.send(json.dumps({"type": "response.create"}))
    await asyncio.sleep(wait)


async def _knock(port: int, token: str, point: str, wait: float) -> None:
    """Leave before there is an answer to the handshake."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    request = (
        f"GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    sent = {"connected": "", "half a request": request[:60], "whole request": request}[point]
    writer.write(sent.encode())
    if point == "half a request":
        await asyncio.sleep(wait)
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
