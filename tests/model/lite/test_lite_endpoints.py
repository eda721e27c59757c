"""Endpoints that want to be asked in another way, answer in another form, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.endpoints.dialect import Dialect, cut_to
from model.endpoints.endpoint import Reading
from model.endpoints.endpoint_answer import (
    RefusedError,
    _seconds,
    choices_of,
    events_of,
    lines_of,
    raised_as_chat_error,
)
from model.endpoints.openai_chat import OpenAIChat
from model.endpoints.server_key import ServerKey
from model.errors import ChatError
from model.lite import ChatLimits, choose_chat
from model.lite.cascade import Cascade
from model.lite.chat import Message
from model.lite.prompt import Prompt, estimate_tokens
from model.lite.reply_reader import ChatPart, ReplyReader, ThoughtAloud
from model.reply import Heard, ReplyNotice, ReplyText, UserTurn
from model.tools.tool import ToolCall
from model.weights.packages import WeightStore
from tests.fakes.lite import FakeSynthesizer
from tests.fakes.openai import FakeEndpoint

ASK = [Message("system", "Be kind."), Message("user", "Hello?")]
Script = Callable[[dict[str, Any]], tuple[int, str, str] | None]


def read(chat: OpenAIChat, messages: Sequence[Message] = ASK) -> list[ChatPart]:
    return list(chat.stream(messages, lambda: False))


def said(parts: Sequence[ChatPart]) -> str:
    return "".join(part for part in parts if isinstance(part, str))


def at_place(name: str, message: str) -> list[dict[str, Any]]:
    """A refusal as FastAPI words it."""
    return [{"loc": ["body", name], "msg": message, "type": "value_error"}]


def refusing(unless: Callable[[dict[str, Any]], bool], message: Any, status: int = 400) -> Script:
    """An endpoint that says ``message`` unless a request is as it wants it."""
    refusal = json.dumps({"error": {"message": message} if isinstance(message, str) else message})
    return lambda body: None if unless(body) else (status, "application/json", refusal)


def roles(body: dict[str, Any]) -> list[str]:
    return [message["role"] for message in body["messages"]]


REFUSALS = [
    (
        lambda body: "max_tokens" not in body and body.get("max_completion_tokens") == 400,
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead.",
        400,
    ),
    (lambda body: roles(body) == ["user"], "System role not supported", 400),
    (lambda body: roles(body) == ["user"], "Jinja Exception: System role not supported", 500),
    (
        lambda body: roles(body) == ["user"],
        "Developer instruction is not enabled for models/gemma-3-27b-it",
        400,
    ),
    (
        lambda body: "chat_template_kwargs" not in body,
        "Unrecognized request argument supplied: chat_template_kwargs",
        400,
    ),
    (
        lambda body: "reasoning_effort" not in body,
        "[{'loc': ['body', 'reasoning_effort'], 'msg': 'Extra inputs are not permitted'}]",
        422,
    ),
    (lambda body: "reasoning_effort" not in body, "Bad request", 400),
    (lambda body: "max_tokens" not in body, "max_tokens must be at most 256", 400),
    (lambda body: "max_tokens" not in body, at_place("max_tokens", "Input should be <= 256"), 422),
    (lambda body: roles(body) == ["user"], {"message": "no", "param": "messages[0].role"}, 400),
]


@pytest.mark.parametrize(("unless", "message", "status"), REFUSALS)
def test_what_is_refused_is_learnt(
    unless: Callable[[dict[str, Any]], bool], message: Any, status: int
) -> None:
    with FakeEndpoint(script=refusing(unless, message, status)) as endpoint:
        chat = OpenAIChat(endpoint.url, "tiny")
        assert said(read(chat)) == "Hello there."
        asked = len(endpoint.requests)
        assert said(read(chat)) == "Hello there."
        assert len(endpoint.requests) == asked + 1, "learnt for good"
    assert "Be kind." in str(endpoint.requests[-1][2]["messages"])


@pytest.mark.parametrize("status", [429, 502, 503, 504, 529])
@pytest.mark.parametrize("refusals", [1, 2])
def test_a_busy_server_is_asked_once_more(
    status: int, refusals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.endpoints.endpoint._BUSY_S", 0.0)
    left = [json.dumps({"error": {"message": "slow down"}})] * refusals

    def script(body: dict[str, Any]) -> tuple[int, str, str] | None:
        return (status, "application/json", left.pop()) if left else None

    with FakeEndpoint(script=script) as endpoint:
        chat = OpenAIChat(endpoint.url, "tiny")
        if refusals == 1:
            assert said(read(chat)) == "Hello there."
        else:
            with pytest.raises(ChatError, match=f"answered {status}: slow down"):
                read(chat)
        assert len(endpoint.requests) == 2
        assert said(read(chat)) == "Hello there."


def test_a_busy_server_says_when_to_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.endpoints.endpoint._BUSY_S", 0.0)
    error = RefusedError("busy", 429, "busy", retry_after_s=0.3)
    waits: list[float] = []

    async def ask(*request: object) -> None:
        if not waits:
            raise error

    async def sleep(wait: float) -> None:
        waits.append(wait)

    endpoint = OpenAIChat("http://localhost:1", "tiny")._endpoint
    monkeypatch.setattr(endpoint, "_ask", ask)
    monkeypatch.setattr("model.endpoints.endpoint.asyncio.sleep", sleep)
    asyncio.run(endpoint.read(ASK, cast(Reading, None)))
    assert waits == [0.3]


def test_only_a_number_tells_when_to_ask_again() -> None:
    headers = ("2", "0.5", None, "Wed, 21 Oct 2026 07:28:00 GMT", "nan", "-1")
    assert [_seconds(header) for header in headers] == [2.0, 0.5, 0.0, 0.0, 0.0, 0.0]


def test_a_failing_server_does_not_turn_thinking_on() -> None:
    failures = ["out of memory"] * 2

    def script(body: dict[str, Any]) -> tuple[int, str, str] | None:
        return (500, "text/plain", failures.pop()) if failures else None

    with FakeEndpoint(script=script) as endpoint:
        chat = OpenAIChat(endpoint.url, "tiny")
        with pytest.raises(ChatError, match="500: out of memory"):
            read(chat)
        assert said(read(chat)) == "Hello there."
    assert "chat_template_kwargs" in endpoint.requests[-1][2]


def test_several_refusals_are_learnt_one_after_the_other() -> None:
    scripts = [refusing(*refusal[:2], refusal[2]) for refusal in (*REFUSALS[:2], *REFUSALS[4:6])]

    def script(body: dict[str, Any]) -> tuple[int, str, str] | None:
        return next((found for one in scripts if (found := one(body))), None)

    with FakeEndpoint(script=script) as endpoint:
        assert said(read(OpenAIChat(endpoint.url, "tiny"))) == "Hello there."


def long_talk(turns: int) -> list[Message]:
    talk = [Message("system", "Be kind.")]
    for number in range(turns):
        talk += [
            Message("user", f"Question {number}: {'why ' * 50}?"),
            Message("assistant", "because " * 50),
        ]
    return [*talk, Message("user", "And now?")]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (
            "This model's maximum context length is 4096 tokens. However, you requested 4200 "
            "tokens (3800 in the messages, 400 in the completion).",
            400,
        ),
        ("the request exceeds the available context size, try increasing it", 400),
        ("prompt is too long: 5000 tokens > 4096 maximum", 400),
        ("Input exceeds 4096 tokens", 500),
        ("`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 3900 and 400", 422),
        ("The decoder prompt (length 5000) is longer than the maximum model length", 400),
        ("<400> InvalidParameter: Range of input length should be [1, 4096]", 400),
        ("Prompt has 5000 tokens, which is over the model's limit", 400),
        ("", 413),
    ],
)
def test_a_context_that_is_full_cuts_the_oldest_turns(message: str, status: int) -> None:
    limit = 4096

    def fits(body: dict[str, Any]) -> bool:
        sent = [Message(**m) for m in body["messages"]]
        return estimate_tokens(sent) + body["max_tokens"] <= limit

    with FakeEndpoint(script=refusing(fits, message, status)) as endpoint:
        chat = OpenAIChat(endpoint.url, "tiny")
        assert said(read(chat, long_talk(60))) == "Hello there."
        assert chat.context < limit, "so that the history is cut there, too"
        refused = len(endpoint.requests)
        assert said(read(chat, long_talk(60))) == "Hello there."
        assert len(endpoint.requests) == refused + 1
    sent = endpoint.requests[-1][2]["messages"]
    assert sent[0]["content"] == "Be kind."
    assert sent[1]["role"] == "user"
    assert sent[-1]["content"] == "And now?"


def test_a_single_turn_that_is_too_long_is_told() -> None:
    with (
        FakeEndpoint(script=refusing(lambda body: False, "prompt is too long")) as endpoint,
        pytest.raises(ChatError, match="answered 400: prompt is too long"),
    ):
        read(OpenAIChat(endpoint.url, "tiny"))


def test_a_reply_without_room_for_a_word_cuts_the_history() -> None:
    def script(body: dict[str, Any]) -> tuple[int, str, str] | None:
        if len(body["messages"]) < 20:
            return None
        return whole({"content": ""}, "length")

    with FakeEndpoint(script=script) as endpoint:
        assert said(read(OpenAIChat(endpoint.url, "tiny", context=9000), long_talk(15)))


def test_cutting_keeps_the_system_s_message_and_whole_turns() -> None:
    cut = cut_to(long_talk(10), 500)
    assert [m.role for m in cut[:2]] == ["system", "user"]
    assert estimate_tokens(cut) <= 500
    assert cut_to(long_talk(10), 1)[-1].content == "And now?"
    assert Dialect(10_000).shorter([ASK[1]]) is None


def test_without_tools_what_was_said_around_a_call_is_one_message() -> None:
    call = ToolCall("1", "lamp", "{}")
    talk = [
        Message("user", "Light, please."),
        Message("assistant", "Let me see.", calls=(call,)),
        Message("tool", "on", call="1"),
        Message("assistant", "It is on."),
        Message("user", "Thanks."),
        Message("assistant", "", calls=(call,)),
        Message("tool", "on", call="1"),
    ]
    sent = Dialect(10_000, tools=False).request("tiny", talk, 10)["messages"]
    assert [(m["role"], m["content"]) for m in sent] == [
        ("user", "Light, please."),
        ("assistant", "Let me see. It is on."),
        ("user", "Thanks."),
    ]


def whole(message: dict[str, Any], reason: str | None = "stop") -> tuple[int, str, str]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    return 200, "application/json", json.dumps({"choices": [choice]}, indent=1)


def stream(*deltas: dict[str, Any], reason: str | None = "stop", done: bool = True) -> Any:
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return 200, "text/event-stream", "".join(lines) + ("data: [DONE]\n\n" if done else "")


TEXT = {"type": "text", "text": "Hello there."}
WORDS = stream({"content": "Hello there."})
USAGE = json.dumps({"choices": None, "usage": {"total_tokens": 3}})
UMLAUT = json.dumps({"choices": [{"delta": {"content": "Zoë? "}}]}, ensure_ascii=False)
OFFSETS = json.dumps({"choices": [{"index": 0, "content_filter_offsets": {}}]})
OTHER = f"data: {json.dumps({'choices': [{'index': 1, 'delta': {'content': 'Hi.'}}]})}\n\n"
OLD_FORM = {"text": "Hello there.", "finish_reason": "stop"}
OLLAMA = [
    {"message": {"role": "assistant", "content": "Hello "}, "done": False},
    {"message": {"role": "assistant", "content": "there."}, "done": True, "done_reason": "stop"},
]


@pytest.mark.parametrize(
    "answer",
    [
        whole({"content": "Hello there."}),
        whole({"content": [TEXT]}, None),
        whole({"content": [{"type": "reasoning", "text": "Hm."}, TEXT]}),
        whole({"content": None, "refusal": "Hello there."}),
        stream({"content": [{"type": "text", "text": "Hello "}]}, {"content": [TEXT["text"][6:]]}),
        stream({"content": "Hello there."}, done=False),
        stream({"content": "Hello there."}, reason=None),
        stream({"content": ""}, {"content": None}, {"content": "Hello there."}),
        (200, "text/event-stream", stream({"content": "Hello there."})[2].replace("\n", "\r\n")),
        (200, "text/event-stream", stream({"content": "Hello there."})[2].replace("\n", "\r")),
        (200, "text/plain", ": ping\n\nevent: x\n" + stream({"content": "Hello there."})[2]),
        (200, "application/x-ndjson", "\n".join(map(json.dumps, OLLAMA))),
        (200, "application/json", json.dumps({"choices": [OLD_FORM]})),
        (200, "text/event-stream", "\ufeff" + WORDS[2]),
        (200, "text/event-stream", WORDS[2].replace(", ", ",\ndata: ")),
        (200, "text/event-stream", "data:\n\n" + WORDS[2]),
        (200, "text/event-stream", f"data: {USAGE}\n\n" + WORDS[2]),
        (200, "text/event-stream", stream({"content": "Hello there."}, done=False)[2] + OTHER),
        (200, "text/event-stream", WORDS[2].replace(", ", ",\n: ping\nid: 7\ndata: ")),
        (200, "text/event-stream", f"data: {OFFSETS}\n\ndata: null\n\n" + WORDS[2]),
        (200, "text/event-stream", WORDS[2].replace("[DONE]", "[done]")),
        (200, "application/json", json.dumps([{"choices": [OLD_FORM]}])),
        (200, "text/event-stream", WORDS[2].replace('"index": 0', '"index": "0"')),
        stream({"content": [{"type": "text", "text": {"value": "Hello there."}}]}),
    ],
)
def test_a_reply_is_read_in_every_form(answer: tuple[int, str, str]) -> None:
    with FakeEndpoint(script=lambda body: answer) as endpoint:
        assert said(read(OpenAIChat(endpoint.url, "tiny"))) == "Hello there."


def test_a_connection_that_stays_open_does_not_hold_up_a_whole_reply() -> None:
    events = [{"choices": [{"delta": {"content": "Hello there."}, "finish_reason": "stop"}]}]
    with FakeEndpoint([*events, ""], stall_after=1) as endpoint:
        chat = OpenAIChat(endpoint.url, "tiny", timeout=30.0)
        assert said(read(chat)) == "Hello there."
        assert not endpoint.release.is_set()


def test_a_stream_is_utf_8_whatever_its_header_says() -> None:
    answer = (200, "text/event-stream; charset=latin-1", f"data: {UMLAUT}\n\n" + WORDS[2])
    with FakeEndpoint(script=lambda body: answer) as endpoint:
        assert said(read(OpenAIChat(endpoint.url, "tiny"))) == "Zoë? Hello there."


def test_only_line_breaks_end_a_line() -> None:
    marks = "\u2028\u2029\x85"
    text = f"One{marks}two."
    forms = [whole({"content": text}), stream({"content": text})]
    forms.append((200, "application/x-ndjson", "\n".join(map(json.dumps, OLLAMA))))
    forms = [
        (status, kind, content.replace("\\u2028\\u2029\\u0085", marks).replace("Hello ", text))
        for status, kind, content in forms
    ]
    for form, expected in zip(forms, (text, text, f"{text}there."), strict=True):
        assert all(mark in form[2] for mark in marks), "raw"
        with FakeEndpoint(script=lambda body, form=form: form) as endpoint:
            assert said(read(OpenAIChat(endpoint.url, "tiny"))) == expected


def test_lines_are_found_wherever_a_stream_is_cut() -> None:
    text = "a\r\nb\rc\n\nd\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029e"

    async def read_all(size: int) -> list[str]:
        async def pieces() -> AsyncIterator[str]:
            for at in range(0, len(text), size):
                yield text[at : at + size]

        return [line async for line in lines_of(pieces())]

    for size in range(1, len(text) + 1):
        lines = asyncio.run(read_all(size))
        assert lines == ["a", "b", "c", "", text[text.index("d") :]], size


def test_halves_of_characters_are_joined_and_what_stays_alone_is_replaced() -> None:
    deltas = ("Hi \ud83d", "\ude00", "! \ud83d", "Bye \ude00.", "\ud83d")
    with FakeEndpoint(script=lambda body: stream(*({"content": d} for d in deltas))) as endpoint:
        chat = OpenAIChat(endpoint.url, "tiny")
        reply = said(read(chat))
        assert reply == "Hi \U0001f600! \ufffdBye \ufffd."
        talk = [*ASK, Message("assistant", reply), Message("user", "And?")]
        assert said(read(chat, talk)) == reply, "it can be sent back"
    refusal = (400, "application/json", json.dumps({"error": {"message": "no \ud83d"}}))
    with (
        FakeEndpoint(script=lambda body: refusal) as endpoint,
        pytest.raises(ChatError, match="no \ufffd"),
    ):
        read(OpenAIChat(endpoint.url, "tiny"))


PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><p>x</p></body></html>"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, "text/html", PAGE), r"a web page \(Sign in\): check the address"),
        ((200, "text/html", "<head><title>Wi-Fi</title></head>"), r"a web page \(Wi-Fi\)"),
        ((502, "text/html", "<html><h1>502 Bad Gateway</h1></html>"), "502: 502 Bad Gateway"),
        ((200, "application/json", '{"code": 500, "msg": "no balance"}'), "no balance"),
        ((200, "application/json", '{"error": "out of memory"}'), "out of memory"),
        ((200, "application/json", '[{"error": {"message": "no quota"}}]'), "failed: no quota"),
        ((200, "application/json", '{"choices": null, "base": {"status_msg": "low"}}'), "y: low"),
        ((200, "text/event-stream", 'error: {"message": "no slot"}\n\n'), "failed: no slot"),
        ((400, "application/json", '{"error": "no", "error_description": "old"}'), "400: old"),
        ((400, "application/json", '{"errors": [{"message": "no route"}]}'), "400: no route"),
        ((500, "text/plain", "<400> not in range"), "500: <400> not in range"),
        ((200, "text/event-stream", f"data: {'[' * 100_000}\n\n"), "no valid chat completion"),
        ((200, "text/plain", "ready"), "no valid chat completion: ready"),
        ((200, "application/json", ""), "sent no reply"),
        (
            (401, "application/json", '{"detail": "bad key"}'),
            "wants a key: set OPENAI_API_KEY .401: bad key",
        ),
        ((429, "application/json", '{"error": {"message": "slow down"}}'), "429: slow down"),
        (whole({"content": 7}), "no valid chat completion: its content is no text but int"),
        (whole({"content": ""}), r"sent an empty reply \(it ended with 'stop'\)"),
        (whole({"content": None}, "content_filter"), "withheld its reply: its content filter"),
        (
            whole({"content": None, "tool_calls": [{"function": {"name": "weather"}}]}),
            r"called a tool \(weather\) instead of answering",
        ),
        (whole({"content": '<tool_call>{"name": "x"}</tool_call>'}), "called a tool"),
        (whole({"content": "", "reasoning_content": "Hm."}, "length"), "spent all 400 tokens"),
        (whole({"content": "<think>The user asks"}, "length"), "400 tokens on thinking"),
        (whole({"content": "<think>Hm.</think>"}), "spent its whole reply on thinking"),
    ],
)
def test_what_is_no_answer_is_told_as_what_it_is(
    answer: tuple[int, str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with (
        FakeEndpoint(script=lambda body: answer) as endpoint,
        pytest.raises(ChatError, match=told) as caught,
    ):
        read(OpenAIChat(endpoint.url, "tiny"))
    assert "tiny at http" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("", "/v1"),
        ("/api/paas/v4", "/api/paas/v4"),
        ("/api/paas/v4/chat/completions", "/api/paas/v4"),
        ("/v1beta/openai/", "/v1beta/openai"),
        ("/proxy", "/proxy/v1"),
        ("", ""),
    ],
)
def test_full_addresses_are_taken_as_they_are(given: str, base: str) -> None:
    with FakeEndpoint(base=base) as endpoint:
        chat = OpenAIChat(f"{endpoint.url}{given}", "tiny")
        assert said(read(chat)) == "Hello there."
        assert chat.name == f"tiny at {endpoint.url}{base}"


@pytest.mark.parametrize(
    "given", ["http://h:abc/v1", "http://h:99999/v1", "http://[::1/v1", "http://:80/v1", "h/v1"]
)
def test_what_is_no_address_is_told_before_anything_is_asked(given: str) -> None:
    with pytest.raises(ChatError, match=r"is not the address of a chat endpoint"):
        OpenAIChat(given, "tiny")


def test_a_host_that_cannot_be_one_is_told() -> None:
    with pytest.raises(ChatError, match=r"cannot reach .*256\.256\.256\.256"):
        read(OpenAIChat("http://256.256.256.256/v1", "tiny"))


@pytest.mark.parametrize("stray", ["\r", " ", "\n"])
def test_white_space_around_an_address_is_dropped(stray: str) -> None:
    with FakeEndpoint() as endpoint:
        assert said(read(OpenAIChat(f"{endpoint.url}{stray}", "tiny"))) == "Hello there."


def test_an_address_without_an_endpoint_is_told_as_it_was_given() -> None:
    with FakeEndpoint(base="/elsewhere") as endpoint:
        chat = OpenAIChat(endpoint.url, "tiny")
        for _ in range(2):
            with pytest.raises(ChatError, match=f"{endpoint.url}/v1 was not found"):
                read(chat)


def test_a_moved_endpoint_names_its_new_address() -> None:
    moved = (307, "text/html", "http://new.example/v1")
    with (
        FakeEndpoint(script=lambda body: moved) as endpoint,
        pytest.raises(ChatError, match="has moved to http://new"),
    ):
        read(OpenAIChat(endpoint.url, "tiny"))


def test_loading_waits_for_a_model_that_is_being_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.endpoints.endpoint._LOAD_POLL_S", 0.02)
    answers = [(503, "application/json", '{"error": {"message": "Loading model"}}')] * 3
    stages: list[str] = []
    with FakeEndpoint(script=lambda body: answers.pop() if answers else None) as endpoint:
        OpenAIChat(endpoint.url, "tiny", timeout=0.01).load(stages.append)
        assert len(endpoint.requests) == 4
        assert stages
        assert endpoint.url in stages[0]


def test_loading_learns_how_to_ask() -> None:
    with FakeEndpoint(script=refusing(REFUSALS[0][0], REFUSALS[0][1])) as endpoint:
        chat = OpenAIChat(endpoint.url, "tiny")
        chat.load()
        before = len(endpoint.requests)
        read(chat)
        assert len(endpoint.requests) == before + 1


THOUGHT = "Okay, the user greets me.\n</think>\n\nHello there."


def test_loading_learns_that_a_model_thinks_before_it_answers() -> None:
    with FakeEndpoint(script=lambda body: stream(*({"content": c} for c in THOUGHT))) as endpoint:
        chat = OpenAIChat(endpoint.url, "tiny")
        chat.load()
        assert "Hello".startswith(str(read(chat)[0]))
        assert said(read(chat)) == "Hello there."


@pytest.mark.parametrize("trouble", [{"drop_after": 1}, {"stall_after": 1}])
def test_loading_is_over_once_the_endpoint_answers(
    trouble: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.endpoints.endpoint._PROBE_S", 0.05)
    monkeypatch.setattr("model.endpoints.endpoint._LOAD_POLL_S", 0.02)
    with FakeEndpoint(["Good ", "day."], **trouble) as endpoint:
        OpenAIChat(endpoint.url, "tiny").load()
        assert not endpoint.release.is_set()


def test_thinking_that_shows_late_is_taken_back_and_expected_from_then_on() -> None:
    with FakeEndpoint(script=lambda body: stream(*({"content": c} for c in THOUGHT))) as endpoint:
        chat = OpenAIChat(endpoint.url, "tiny")
        parts = read(chat)
        at = parts.index(ThoughtAloud())
        assert said(parts[at:]) == "Hello there."
        assert said(read(chat)) == "Hello there."


def test_thinking_is_asked_to_be_off() -> None:
    with FakeEndpoint() as endpoint:
        read(OpenAIChat(endpoint.url, "tiny"))
        body = endpoint.requests[0][2]
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["reasoning_effort"] == "none"


@pytest.mark.parametrize(
    ("reason", "words", "notice"),
    [
        ("length", 500, "cut at its limit of 400 tokens"),
        ("length", 2, "context is full"),
        ("content_filter", 2, "content filter"),
        ("stop", 2000, "cut at its limit of 400 tokens"),
        ("MAX_TOKENS", 500, "cut at its limit of 400 tokens"),
        ("SAFETY", 2, "content filter"),
        ("insufficient_system_resource", 2, "broke off: insufficient_system_resource"),
    ],
)
def test_a_reply_that_was_cut_says_so(reason: str, words: int, notice: str) -> None:
    answer = stream(*[{"content": "word "}] * words, reason=reason)
    with FakeEndpoint(script=lambda body: answer) as endpoint:
        *_, last = read(OpenAIChat(endpoint.url, "tiny"))
    assert isinstance(last, ReplyNotice)
    assert notice in last.text


KEY = "sk-very-secret-1234"


@pytest.mark.parametrize("end", ["\r", "\n", " ", "\r\n", '"'])
def test_white_space_around_the_key_is_dropped(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY + end)
    with FakeEndpoint() as endpoint:
        read(OpenAIChat(endpoint.url, "tiny"))
    assert endpoint.requests[0][1]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "key", ["sk-very\rsecret", "sk-vëry-secret", "sk very secret", "sk-\x01secret"]
)
def test_a_key_that_cannot_be_one_is_not_shown(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ChatError, match="OPENAI_API_KEY is not a key") as caught:
        OpenAIChat("http://localhost:1", "tiny")
    assert "secret" not in str(caught.value)


def test_a_server_that_repeats_the_key_does_not_get_it_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    answer = (401, "application/json", json.dumps({"error": {"message": f"Bad key: {KEY}"}}))
    with (
        FakeEndpoint(script=lambda body: answer) as endpoint,
        pytest.raises(ChatError, match=r"Bad key: \*\*\*") as caught,
    ):
        read(OpenAIChat(endpoint.url, "tiny"))
    assert KEY not in str(caught.value)


def test_a_key_given_as_the_model_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert OpenAIChat("http://localhost:1", KEY).name == "*** at http://localhost:1/v1"


def test_keys_in_the_address_are_used_and_not_shown() -> None:
    with FakeEndpoint() as endpoint:
        url = endpoint.url.replace("http://", "http://me:pass@") + "/v1?key=s3cr3t-key&version=2"
        chat = OpenAIChat(url, "tiny")
        assert said(read(chat)) == "Hello there."
        assert chat.name == f"tiny at {endpoint.url}/v1"
    assert endpoint.requests[0][0] == "/v1/chat/completions?key=s3cr3t-key&version=2"


def test_a_long_conversation_goes_on_in_a_small_context() -> None:
    def fits(body: dict[str, Any]) -> bool:
        return sum(len(m["content"]) // 4 for m in body["messages"]) + 400 <= 1500

    refusal = "This model's maximum context length is 1500 tokens."
    deltas = ["Because that is how it is, my friend. "] * 5
    with FakeEndpoint(deltas, script=refusing(fits, refusal)) as endpoint:
        voice = FakeSynthesizer()
        chat = OpenAIChat(endpoint.url, "tiny")
        cascade = Cascade(chat, {"one": voice}.__getitem__, voice="one", prompt=Prompt("Be kind."))
        for number in range(40):
            turn = UserTurn(np.zeros(0, np.float32), f"And {number}: {'why is that so ' * 8}?")
            reply = list(cascade.reply(number, turn, lambda: False))
            text = "".join(part.delta for part in reply if isinstance(part, ReplyText))
            assert text == "".join(deltas)
            cascade.settle(number, Heard(10**9, text, ""))
        cascade.close()
        assert len(endpoint.requests) < 45, "the refusals are few"


KEYS = st.sampled_from(
    [
        *("choices", "delta", "message", "content", "text", "type", "error", "finish_reason"),
        *("done", "tool_calls", "function", "refusal", "reasoning", "detail"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
LINES = st.one_of(
    JSON.map(lambda value: f"data: {json.dumps(value)}"),
    JSON.map(json.dumps),
    st.dictionaries(st.sampled_from(["choices"]), st.lists(JSON, max_size=2)).map(
        lambda value: f"data: {json.dumps(value)}"
    ),
    st.text(max_size=30),
    st.sampled_from(["data: [DONE]", "data:", "<html>", "event: error", '{"a":']),
)


@settings(deadline=None)
@given(st.lists(LINES, max_size=8))
def test_whatever_an_endpoint_sends_is_read_or_told(lines: list[str]) -> None:
    async def read_all() -> None:
        reader = ReplyReader("tiny", 400)

        async def sent() -> AsyncIterator[str]:
            for line in lines:
                yield line

        with raised_as_chat_error("tiny", 1.0, ServerKey(), lambda: reader.characters > 0):
            async for event in events_of(sent(), "tiny"):
                for message, reason in choices_of(event, "tiny"):
                    reader.read(message, reason)
        reader.end()

    with contextlib.suppress(ChatError):
        asyncio.run(read_all())


def test_limits_of_the_user_s_own_are_asked_for(tmp_path: Path) -> None:
    limits = ChatLimits(max_tokens=50, context=1234, timeout=0.2)
    with FakeEndpoint(["Good ", "day."], stall_after=1) as endpoint:
        chat, _ = choose_chat(WeightStore(tmp_path), "tiny", endpoint.url, None, limits=limits)
        assert chat.context == 1234
        with pytest.raises(ChatError, match=r"for 0.2 s \(chat.timeout\)"):
            list(chat.stream(ASK, lambda: False))
    assert endpoint.requests[0][2]["max_tokens"] == 50
