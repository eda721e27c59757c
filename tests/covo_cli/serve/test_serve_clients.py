"""Real client libraries, talking to a real server."""

from __future__ import annotations

import asyncio
import base64

import numpy as np
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.covo_cli.serve.live_server import TOKEN, serving
from tests.covo_cli.serve.wire_talk import text_item

PIECE = np.full(2400, 3000, "<i2").tobytes()
QUIET = np.zeros(2400, "<i2").tobytes()


@pytest.fixture(scope="module")
def server():
    with serving(words=["one", "two", "three"], word_seconds=0.3) as running:
        yield running


def test_openai_without_threads_of_its_own(server):
    client = OpenAI(base_url=server.address, api_key=TOKEN)
    with client.realtime.connect(model="covo") as connection:
        connection.conversation.item.create(item=text_item("hello"))
        connection.response.create(response={"metadata": {"mine": "1"}})
        said, length = "", 0
        for event in connection:
            if event.type == "response.output_audio.delta":
                length += len(base64.b64decode(event.delta)) // 2
            if event.type == "response.done":
                assert event.response.metadata == {"mine": "1"}
                said = event.response.output[0].content[0].transcript
                break
    assert said == "one two three "
    assert length == 3 * 7200


def test_openai_with_a_spoken_turn(server):
    async def talk() -> list[str]:
        client = AsyncOpenAI(base_url=server.address, api_key=TOKEN)
        kinds = []
        async with client.realtime.connect(model="covo") as connection:

            async def speak() -> None:
                for piece in [PIECE] * 8 + [QUIET] * 100:
                    sound = base64.b64encode(piece).decode()
                    await connection.input_audio_buffer.append(audio=sound)
                    await asyncio.sleep(0.1)

            speaking = asyncio.ensure_future(speak())
            async with asyncio.timeout(30):
                async for event in connection:
                    kinds.append(event.type)
                    if event.type == "conversation.item.added" and event.item.role == "user":
                        assert event.item.content[0].transcript is None  # LiveKit adds what follows
                    if event.type == "conversation.item.input_audio_transcription.completed":
                        assert event.transcript == "hello"
                    if event.type == "response.done":
                        break
            speaking.cancel()
        return kinds

    kinds = asyncio.run(talk())
    for kind in ("speech_started", "speech_stopped", "committed"):
        assert f"input_audio_buffer.{kind}" in kinds
    assert "error" not in kinds


def test_openai_agents_holds_a_turn_and_interrupts(server):
    realtime = pytest.importorskip("agents.realtime", reason="needs openai-agents")

    async def talk() -> list[str]:
        runner = realtime.RealtimeRunner(
            realtime.RealtimeAgent(name="covo", instructions="Be kind.")
        )
        url = f"ws://127.0.0.1:{server.port}/v1/realtime?model=covo"
        session = await runner.run(model_config={"url": url, "api_key": TOKEN})
        kinds: list[str] = []
        async with session, asyncio.timeout(30):
            await session.send_message("hello there")
            async for event in session:
                kinds.append(event.type)
                assert event.type != "error", event.error
                if event.type == "audio_end":
                    break
            history = session._history
            await session.send_message("and again")
            async for event in session:
                kinds.append(event.type)
                assert event.type != "error", event.error
                if event.type == "audio" and kinds.count("audio_end") == 1:
                    await session.interrupt()
                if event.type == "audio_interrupted":
                    break
        assert [item.role for item in history][:2] == ["user", "assistant"]
        return kinds

    kinds = asyncio.run(talk())
    assert "audio" in kinds
    assert "audio_interrupted" in kinds


def test_livekit_hears_and_is_heard_in_gpt_live(server):
    realtime = pytest.importorskip("livekit.plugins.openai.realtime", reason="needs LiveKit")
    rtc = pytest.importorskip("livekit.rtc", reason="needs LiveKit")

    async def talk() -> tuple[str, int]:
        url = f"http://127.0.0.1:{server.port}/v1"
        model = realtime.GPTLiveModel(base_url=url, api_key=TOKEN, delegation="client")
        session, heard, loud = model.session(), [], 0
        session.on("input_audio_transcription_completed", lambda e: heard.append(e.transcript))
        session.on("error", lambda e: pytest.fail(str(e.error)))
        await session._update_session(instructions="Be kind.")  # as LiveKit's AgentSession does

        async def speak() -> None:
            for piece in [PIECE] * 8 + [QUIET] * 100:
                session.push_audio(rtc.AudioFrame(piece, 24_000, 1, 2400))
                await asyncio.sleep(0.1)

        speaking = asyncio.ensure_future(speak())
        async with asyncio.timeout(30):
            async for played in session.audio_stream:
                samples = np.frombuffer(played.frame.data, np.int16)
                loud += int(np.count_nonzero(np.abs(samples) > 1000))
                if loud > 15_000 and heard:
                    break
        speaking.cancel()
        await session.aclose()
        await model.aclose()
        return heard[0], loud

    said, loud = asyncio.run(talk())
    assert said == "hello"
    assert loud > 15_000
