"""A client that asks a server one question after another, as its user would."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from audio_io.clock import ASSISTANT_RATE, seconds
from audio_io.signal import Audio
from covo_cli.serve.realtime.sound import PCM_24K
from covo_cli.serve.realtime.speaker import START_S

PIECE_S = 0.04
"""Sound in one message: of the usual 20 to 100 ms."""

PIECE = round(PIECE_S * ASSISTANT_RATE)
PAUSE_S = (0.5, 2.0)
"""From the end of an answer to the next question."""

PATIENCE_S = 45.0
"""A question that is not answered by then never is."""


@dataclass
class CallerFigures:
    """What callers have measured. ``added``: seconds that the wire adds to each first sound;
    ``gaps``: times that a reply's sound came after all before it was played."""

    added: list[float] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    asked: int = 0
    answered: int = 0
    gaps: int = 0
    errors: list[str] = field(default_factory=list)


def as_pieces(sound: Audio) -> list[str]:
    """Return ``sound`` (24 kHz) as messages for :class:`Caller`."""
    whole = np.pad(sound, (0, -len(sound) % PIECE))
    return [_append(piece) for piece in whole.reshape(-1, PIECE)]


class Caller:
    """Asks ``questions`` in any order over one connection, and notes it in ``figures``."""

    def __init__(
        self,
        questions: Sequence[Sequence[str]],
        figures: CallerFigures,
        rng: np.random.Generator,
    ) -> None:
        self._questions = questions
        self._figures = figures
        self._rng = rng
        self._silence = _append(np.zeros(PIECE, np.float32))
        self._sent: list[float] = []  # when each piece was
        self._begun: dict[str, float] = {}  # when the first sound of a response came
        self._played = 0.0  # when what has come will have been played
        self._waits = False  # for the answer to a question

    async def call(self, address: str, token: str, until: float) -> None:
        """Talk to the server until ``until`` (monotonic seconds). Raises: OSError and those of
        websockets."""
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            connect(address, additional_headers=headers, proxy=None, compression=None) as socket,
            asyncio.TaskGroup() as tasks,
        ):
            hearing = tasks.create_task(self._hear(socket))
            await self._say(socket, until)
            hearing.cancel()

    async def _say(self, socket: ClientConnection, until: float) -> None:
        begun = time.monotonic()
        next_at, asked_at = begun + self._pause(), begun
        left: Iterator[str] = iter(())
        while (now := time.monotonic()) < until:
            if self._waits and now > asked_at + PATIENCE_S:
                self._waits = False
                next_at = now
            piece = next(left, None)
            if piece is None and not self._waits and now > max(next_at, self._played):
                if asked_at > next_at:  # an answer was just heard to its end
                    next_at = now + self._pause()
                else:
                    left = iter(self._questions[int(self._rng.integers(len(self._questions)))])
                    piece, asked_at, self._waits = next(left), now, True
                    self._figures.asked += 1
            await socket.send(piece or self._silence)
            self._sent.append(time.monotonic())
            await asyncio.sleep(begun + len(self._sent) * PIECE_S - time.monotonic())

    async def _hear(self, socket: ClientConnection) -> None:
        async for message in socket:
            now = time.monotonic()
            event = json.loads(message)
            match event["type"]:
                case "response.output_audio.delta":
                    self._play(now, event["response_id"], len(event["delta"]) * 3 // 4 // 2)
                case "covo.latency":
                    self._note(event)
                case "response.done":
                    self._figures.answered += event["response"]["status"] == "completed"
                    self._waits = False
                case "error":
                    self._figures.errors.append(event["error"]["code"])

    def _play(self, now: float, response_id: str, samples: int) -> None:
        if response_id not in self._begun:
            self._begun[response_id] = now
            self._played = now + START_S
        elif now > self._played:
            self._figures.gaps += 1
            self._played = now
        self._played += seconds(samples, ASSISTANT_RATE)

    def _note(self, event: dict[str, Any]) -> None:
        """Note the latency: the engine made the first sound when it had heard the client's sound
        up to some place; from when that was sent until the first sound came is the wire's."""
        heard = event["audio_ms"] / 1000 - event["parts"]["play"]
        piece = min(int(heard / PIECE_S), len(self._sent) - 1)
        begun = self._begun.get(event["response_id"])
        if begun is not None:
            self._figures.added.append(begun - self._sent[piece])
            self._figures.totals.append(event["total"])

    def _pause(self) -> float:
        return float(self._rng.uniform(*PAUSE_S))


def _append(sound: Audio) -> str:
    audio = base64.b64encode(PCM_24K.encode(sound)).decode()
    return json.dumps({"type": "input_audio_buffer.append", "audio": audio})
