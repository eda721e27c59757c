"""Models behind chat completions that hear and speak: both shapes of answers, and refusals."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from openai.types.chat import ChatCompletionAudioParam, ChatCompletionMessageParam
from pydantic import TypeAdapter

from audio_io.signal import Audio
from model.endpoints.audio_answer import SoundReader
from model.endpoints.audio_chat import AudioChat
from model.endpoints.recalled_words import RecalledWords
from model.endpoints.server_key import ServerKey, find_key
from model.errors import ChatError
from model.hearing.recognition import Transcript
from model.playback.spoken_text import SaidWords
from model.reply import Heard, ReplyAudio, ReplyNotice, ReplyPart, ReplyText, UserTurn
from model.secrets import without_secrets
from tests.fakes.engine import FakeClock, FakeRecognizer
from tests.fakes.openai import FakeEndpoint

TONE = (np.sin(np.arange(24_000) / 10) * 0.5).astype(np.float32)
TURN = np.full(16_000, 0.25, np.float32)
MESSAGES = TypeAdapter(list[ChatCompletionMessageParam])


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def raw(sound: Audio) -> bytes:
    return (sound * 32767).astype("<i2").tobytes()


def wav(sound: Audio, rate: int = 24_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound, rate, subtype="PCM_16", format="WAV")
    return file.getvalue()


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "1", "object": "chat.completion.chunk", "choices": [choice], **more}


def in_openais_shape(words: Sequence[str], sound: Audio) -> list[dict[str, Any]]:
    """Words ahead of the sound, whose pieces have odd lengths."""
    data = raw(sound)
    pieces = [data[at : at + 9_999] for at in range(0, len(data), 9_999)]
    return [
        chunk({"role": "assistant", "audio": {"id": "audio_1", "transcript": ""}}),
        *[chunk({"audio": {"transcript": word}}) for word in words],
        *[chunk({"audio": {"data": encoded(piece)}}) for piece in pieces],
        chunk({"audio": {"expires_at": 1}}),
    ]


def in_vllm_omnis_shape(
    words: Sequence[str], sounds: Sequence[Audio], rate: int = 24_000
) -> list[dict[str, Any]]:
    """Words first, then WAV files in the place of words."""
    return [
        *[chunk({"role": "assistant", "content": word}, modality="text") for word in words],
        *[chunk({"content": encoded(wav(sound, rate))}, modality="audio") for sound in sounds],
        chunk({"content": ""}, "stop", modality="audio"),
    ]


def ask(
    chat: AudioChat, number: int = 1, sound: Audio = TURN, text: str | None = None
) -> list[ReplyPart]:
    turn = UserTurn(sound if text is None else np.zeros(0, np.float32), text)
    return list(chat.reply(number, turn, lambda: False))


def written(parts: Sequence[ReplyPart]) -> str:
    return "".join(part.delta for part in parts if isinstance(part, ReplyText))


def spoken(parts: Sequence[ReplyPart]) -> Audio:
    return np.concatenate([part.samples for part in parts if isinstance(part, ReplyAudio)])


def unknown(sound: Audio) -> str:
    return ""


def chat_at(url: str, **more: Any) -> AudioChat:
    return AudioChat(url, "tiny", more.pop("words", unknown), key=ServerKey(), **more)


def test_openais_words_and_sound_come_as_they_are_made() -> None:
    with FakeEndpoint(in_openais_shape(["Good ", "day."], TONE)) as endpoint:
        parts = ask(chat_at(endpoint.url))
    assert written(parts) == "Good day."
    np.testing.assert_allclose(spoken(parts), TONE, atol=1e-4)
    assert len([part for part in parts if isinstance(part, ReplyAudio)]) > 3
    assert "".join(part.text for part in parts if isinstance(part, ReplyAudio)) == "Good day."


def test_words_are_of_whole_characters() -> None:
    with FakeEndpoint(in_openais_shape(["Good \ud83d", "\ude00 day\ude00."], TONE)) as endpoint:
        parts = ask(chat_at(endpoint.url))
    assert written(parts) == "Good \U0001f600 day\ufffd."


@pytest.mark.parametrize("rate", [24_000, 44_100, 16_000])
def test_vllm_omnis_pieces_are_wav_files_of_any_rate(rate: int) -> None:
    sounds = [np.full(rate // 2, 0.5, np.float32)] * 3
    with FakeEndpoint(in_vllm_omnis_shape(["Good ", "day."], sounds, rate)) as endpoint:
        parts = ask(chat_at(endpoint.url))
    assert written(parts) == "Good day."
    sound = spoken(parts)
    assert len(sound) == pytest.approx(36_000, abs=50)
    middle = sound[1000:-1000]
    np.testing.assert_allclose(middle, 0.5, atol=5e-3, err_msg="no seams between the pieces")


def test_a_whole_answer_is_read_too() -> None:
    audio = {"id": "1", "data": encoded(wav(TONE)), "expires_at": 1, "transcript": "Good day."}
    message = {"role": "assistant", "content": None, "audio": audio}
    whole = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    with FakeEndpoint(script=lambda body: (200, "application/json", whole)) as endpoint:
        parts = ask(chat_at(endpoint.url))
    assert written(parts) == "Good day."
    np.testing.assert_allclose(spoken(parts), TONE, atol=1e-4)


def test_the_turn_is_sent_as_sound_and_the_past_as_words() -> None:
    clock = FakeClock()
    words = RecalledWords(FakeRecognizer(clock, lambda audio: f"{len(audio)} samples"))
    known, unheard, unwritten = TURN, TURN[:8000].copy(), TURN[:4000].copy()
    with FakeEndpoint(in_openais_shape(["Good day."], TONE)) as endpoint:
        chat = chat_at(endpoint.url, words=words.of, persona="Be kind.", voice="alloy")
        words.transcribe(known)
        ask(chat, 1, known)
        chat.settle(1, Heard(12_000, "Good", " day."))
        words.transcribe(unheard)
        ask(chat, 2, unheard)
        chat.settle(2, Heard(0, "", "Good day."))
        ask(chat, 3, TURN[:100])
        chat.settle(3, None)
        ask(chat, 4, unwritten)
        chat.settle(4, Heard(24_000, "Good day.", ""))
        ask(chat, 5, text="typed")
    bodies = [body for _, _, body in endpoint.requests]
    for body in bodies:
        MESSAGES.validate_python(body["messages"])
        TypeAdapter(ChatCompletionAudioParam).validate_python(body["audio"])
        assert body["modalities"] == ["text", "audio"]
        assert body["stream"] is True
        assert "max_tokens" not in body
    first = bodies[0]["messages"]
    assert first[0] == {"role": "system", "content": "Be kind."}
    (part,) = first[1]["content"]
    assert part["type"] == "input_audio"
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(part["input_audio"]["data"])))
    assert (len(samples), rate) == (16_000, 16_000)
    assert samples[0] == pytest.approx(0.25, abs=1e-4)
    last = bodies[-1]["messages"]
    assert [message["role"] for message in last] == ["system", *["user", "assistant"] * 2, "user"]
    assert last[1]["content"] == "16000 samples"
    assert last[2]["content"] == "Good …"
    assert [part["type"] for part in last[3]["content"]] == ["text", "input_audio"]
    assert last[3]["content"][0]["text"] == "8000 samples", "its reply was never heard"
    assert last[4]["content"] == "Good day."
    assert last[5]["content"] == "typed"


def test_words_that_come_late_replace_the_sound() -> None:
    heard = {}
    with FakeEndpoint(in_openais_shape(["Yes."], TONE)) as endpoint:
        chat = chat_at(endpoint.url, words=lambda sound: heard.get(id(sound), ""))
        ask(chat, 1, TURN)
        chat.settle(1, Heard(24_000, "Yes.", ""))
        heard[id(TURN)] = "late words"
        ask(chat, 2, TURN[:100])
    assert endpoint.requests[-1][2]["messages"][0]["content"] == "late words"


@pytest.mark.parametrize(
    ("refused", "message", "asked"),
    [
        (
            "wav",
            "Unsupported value: 'audio.format' does not support 'wav' when stream=true",
            "pcm16",
        ),
        ("max_tokens", "max_tokens is not supported", ""),
    ],
)
def test_what_is_refused_is_learnt(refused: str, message: str, asked: str) -> None:
    def script(body: dict[str, Any]) -> tuple[int, str, str] | None:
        if refused in (body["audio"]["format"], *body):
            return 400, "application/json", json.dumps({"error": {"message": message}})
        return None

    with FakeEndpoint(in_openais_shape(["Yes."], TONE), script=script) as endpoint:
        chat = chat_at(endpoint.url, max_tokens=100)
        assert written(ask(chat)) == "Yes."
        assert written(ask(chat, 2)) == "Yes."
    assert len(endpoint.requests) == 3, "learnt for good"
    body = endpoint.requests[-1][2]
    assert body["audio"]["format"] == (asked or "wav")
    assert body["stream"] is True


def test_openai_is_asked_for_the_only_format_that_it_streams() -> None:
    chat = AudioChat("https://api.openai.com/v1", "gpt-audio", unknown, key=ServerKey())
    assert chat._endpoint.dialect.request("gpt-audio", [], 1)["audio"] == {"format": "pcm16"}
    assert "goes to api.openai.com" in chat.info.description


def test_a_model_that_does_not_speak_is_told() -> None:
    with FakeEndpoint(["Good day."]) as endpoint:
        parts = ask(chat_at(endpoint.url))
    assert written(parts) == "Good day."
    assert [part.text for part in parts if isinstance(part, ReplyNotice)] == [
        "the reply came without sound: does the model speak?"
    ]


def test_loading_stops_at_the_first_sound() -> None:
    events = in_openais_shape(["Hi"], np.tile(TONE, 3))
    with FakeEndpoint(events, stall_after=4) as endpoint:
        chat_at(endpoint.url).warm_up(lambda stage: None)
        assert endpoint.hung_up.wait(5)


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "wants a key: set COVO_TOKEN"), (404, "was not found"), (500, "500")],
)
def test_loading_tells_what_is_wrong_in_one_line(status: int, words: str) -> None:
    refusal = json.dumps({"error": {"message": "no model of that name"}})
    with FakeEndpoint(script=lambda body: (status, "application/json", refusal)) as endpoint:
        key = find_key("localhost", encrypted=False)
        chat = AudioChat(endpoint.url, "tiny", unknown, key=key)
        with pytest.raises(ChatError, match=words) as raised:
            chat.warm_up(lambda stage: None)
    assert "\n" not in str(raised.value)


def test_a_reply_that_is_not_wanted_any_more_hangs_up() -> None:
    cancelled: list[bool] = []
    events = in_openais_shape(["Hi"], np.tile(TONE, 3))
    with FakeEndpoint(events, stall_after=4) as endpoint:
        chat = chat_at(endpoint.url)
        for _ in chat.reply(1, UserTurn(TURN), lambda: bool(cancelled)):
            cancelled.append(True)
        assert endpoint.hung_up.wait(5)
        chat.close()


@pytest.mark.parametrize("data", ["%%%", encoded(b"RIFF, but not really"), 5])
def test_sound_that_is_none_is_an_error_of_the_server(data: Any) -> None:
    refused = pytest.raises(ChatError, match="sent no valid chat completion")
    with FakeEndpoint([chunk({"audio": {"data": data}})]) as endpoint, refused:
        ask(chat_at(endpoint.url))


def test_a_sample_may_be_split_between_pieces() -> None:
    reader, data = SoundReader(), raw(TONE)
    pieces = [reader.read(data[at : at + 3]) for at in range(0, 3000, 3)]
    np.testing.assert_allclose(np.concatenate(pieces), TONE[:1500], atol=1e-4)
    assert not len(reader.end())


def test_the_history_obeys_and_ends_with_the_conversation() -> None:
    with FakeEndpoint(in_openais_shape(["Yes. "], TONE)) as fake:
        chat = chat_at(fake.url, persona="Be kind.")
        ask(chat, 1, text="one")
        chat.settle(1, Heard(24_000, "Yes. ", ""))
        chat.settle(1, Heard(100, "", "Yes. "))
        chat.remember(-1, "my name is Ann", "hello Ann")
        chat.set_persona("Be a pirate.")
        ask(chat, 2, text="two")
        said = [(m["role"], m["content"]) for m in fake.requests[-1][2]["messages"]]
        assert said == [
            ("system", "Be a pirate."),
            ("user", "one my name is Ann"),
            ("assistant", "hello Ann"),
            ("user", "two"),
        ]
        chat.start_over()
        ask(chat, 3, text="three")
        said = [(m["role"], m["content"]) for m in fake.requests[-1][2]["messages"]]
        assert said == [("system", "Be kind."), ("user", "three")]


@pytest.mark.parametrize(("persona", "told"), [("Be kind.", True), ("", False)])
def test_a_persona_of_ours_is_told_the_time(persona: str, told: bool) -> None:
    now = datetime(2026, 11, 27, 9, 5)
    with FakeEndpoint(in_openais_shape(["Yes."], TONE)) as fake:
        chat = chat_at(fake.url, persona=persona, clock=lambda: now)
        ask(chat, 1, text="one")
        chat.settle(1, Heard(24_000, "Yes.", ""))
        now = datetime(2026, 11, 27, 12, 30)
        ask(chat, 2)
    messages = fake.requests[-1][2]["messages"]
    first, last = (message["content"] for message in messages if message["role"] == "user")
    assert first == "(It is Friday, 27 November 2026, 9:05 AM.) one" if told else "one"
    texts = [part["text"] for part in last if part["type"] == "text"]
    assert texts == (["(It is now 12:30 PM.)"] if told else [])


class TestKeys:
    """Who gets which key."""

    @pytest.fixture(autouse=True)
    def keys(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
        monkeypatch.delenv("COVO_TOKEN", raising=False)

    @pytest.mark.parametrize(
        ("host", "encrypted", "key"),
        [
            ("api.openai.com", True, "sk-openai"),
            ("eu.api.openai.com", True, "sk-openai"),
            ("api.openai.com", False, ""),
            ("openai.com.example.org", True, ""),
            ("notopenai.com", True, ""),
            ("localhost", True, ""),
        ],
    )
    def test_openais_key_is_for_openai_alone(self, host: str, encrypted: bool, key: str) -> None:
        assert find_key(host, encrypted=encrypted).key == key

    def test_the_token_comes_first_then_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "token"
        file.write_text("ek_from_a_file\n")
        assert find_key("api.openai.com", str(file), encrypted=True).key == "ek_from_a_file"
        assert without_secrets("it said ek_from_a_file") == "it said ***"
        monkeypatch.setenv("COVO_TOKEN", "ek_of_the_environment")
        assert find_key("localhost", str(file), encrypted=False).key == "ek_of_the_environment"
        assert without_secrets("ek_of_the_environment") == "***"

    def test_what_cannot_be_a_key_is_told_without_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ChatError, match="cannot be read"):
            find_key("localhost", str(tmp_path / "none"), encrypted=False)
        monkeypatch.setenv("COVO_TOKEN", "two words")
        with pytest.raises(ChatError, match="COVO_TOKEN is not a key") as raised:
            find_key("localhost", encrypted=False)
        assert "two words" not in str(raised.value)

    def test_a_key_is_never_shown(self) -> None:
        assert "sk-openai" not in repr(find_key("api.openai.com", encrypted=True))


def test_words_are_given_to_a_sound_at_the_rate_of_speech() -> None:
    words = SaidWords()
    words.write("One two three four five six seven.")
    assert words.take(12_000) == "One two "
    assert words.take(12_000) == "three four "
    assert words.take(48_000) == "five six seven."
    words.write("Late")
    assert words.take(2_400) == ""
    assert words.take(4_800) == "Late"
    words.write("你好吗")
    assert words.take(6_000) == "你"


def test_a_recogniser_recalls_the_words_of_a_sound_and_keeps_none_alive() -> None:
    recognizer = RecalledWords(FakeRecognizer(FakeClock(), lambda audio: " hello "))
    sound = TURN.copy()
    assert recognizer.transcribe(sound) == Transcript(" hello ", "en")
    assert recognizer.of(sound) == "hello"
    assert recognizer.of(TURN) == ""
    del sound
    recognizer.transcribe(TURN)
    assert len(recognizer._known) == 1


def test_words_that_nobody_waits_for_are_recalled_too() -> None:
    """The reply to them was interrupted, and is history."""
    recognizer = RecalledWords(FakeRecognizer(FakeClock(), lambda audio: "hello"))
    recognizer.transcribe(TURN, lambda: True)
    assert recognizer.of(TURN) == "hello"
