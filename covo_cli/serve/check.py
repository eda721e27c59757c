"""``covo serve --check``: talk to the server once, as a client would, and say what works."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI, OpenAIError

from audio_io.clock import ASSISTANT_RATE, seconds
from audio_io.files import read_audio
from covo_cli.process.terminal import PlainConsole
from covo_cli.serve.realtime.sound import PCM_24K

LONGEST_S = 60.0
"""Time for each answer."""


async def check_server(address: str, token: str, console: PlainConsole) -> int:
    """Ask by text and by voice; return the exit code."""
    client = AsyncOpenAI(base_url=address, api_key=token, max_retries=0)
    question = read_audio(
        Path(str(resources.files("covo_cli") / "demo_audio" / "australia.flac")), ASSISTANT_RATE
    )
    try:
        async with client.realtime.connect(model="covo") as connection:
            created = await connection.recv()
            console.print(f"connected: {created.type}")
            item: Any = {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "What do bees make?"}],
            }
            await connection.conversation.item.create(item=item)
            await connection.response.create()
            worked = await _answer(connection, "typed", console)
            saying = asyncio.ensure_future(_say(connection, PCM_24K.encode(question)))
            worked = await _answer(connection, "spoken", console) and worked
            await saying
    except (OpenAIError, OSError, TimeoutError) as error:
        console.print(f"failed: {type(error).__name__}: {error}")
        return 1
    return 0 if worked else 1


async def _say(connection: Any, sound: bytes) -> None:
    """Send ``sound`` (PCM16, 24 kHz) at the speed of life, and silence after it."""
    piece = ASSISTANT_RATE // 10 * 2
    for start in range(0, len(sound), piece):
        data = base64.b64encode(sound[start : start + piece]).decode()
        await connection.input_audio_buffer.append(audio=data)
        await asyncio.sleep(0.1)


async def _answer(connection: Any, how: str, console: PlainConsole) -> bool:
    """Read events up to the end of a response; return whether it is whole."""
    begun, first, length, asked, said, status = time.monotonic(), 0.0, 0, "", "", "none"
    async with asyncio.timeout(LONGEST_S):
        async for event in _events(connection):
            match event.type:
                case "response.output_audio.delta":
                    first = first or time.monotonic() - begun
                    length += len(base64.b64decode(event.delta)) // 2
                case "conversation.item.input_audio_transcription.completed":
                    asked = f"heard “{event.transcript}”, "
                case "input_audio_buffer.speech_stopped":
                    begun = time.monotonic()
                case "response.output_audio_transcript.done":
                    said = event.transcript
                case "error":
                    console.print(f"{how} question: error {event.error.code}")
                case "response.done":
                    status = event.response.status
                    break
    sound = f"{seconds(length, ASSISTANT_RATE):.1f} s of sound, the first after {first:.2f} s"
    console.print(f"{how} question: {asked}answered “{said.strip()}” ({sound}; {status})")
    return status == "completed" and length > 0 and bool(said.strip())


async def _events(connection: Any) -> AsyncIterator[Any]:
    while True:
        yield await connection.recv()
