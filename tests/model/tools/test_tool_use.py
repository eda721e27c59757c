"""Tools within replies: the protocol, history, confirmation, limits."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from model.endpoints.openai_chat import OpenAIChat
from model.errors import ChatError
from model.lite.prompt import CUT_OFF, NO_RESULT
from model.lite.tool_calls import CallReader
from model.reply import Heard, ReplyAudio, ReplyNotice, ReplyToolCall, UserTurn
from model.tools import tool_use
from model.tools.confirmation import says_yes
from model.tools.tool import Arguments, Tool
from tests.fakes.openai import FakeEndpoint
from tests.model.tools.tool_talks import (
    calling,
    check_history,
    results,
    saying,
    streamed,
    tool,
    tool_talk,
    words,
)

ON = {"state": "on"}


def test_a_tool_is_called_and_its_result_answered() -> None:
    seen: list[Arguments] = []
    lamp = tool(run=lambda arguments: seen.append(arguments) or "it is on")
    first = [*saying("Let me see."), *calling("lamp", ON)]
    answers = [first, saying("The lamp is on."), saying("Yes.")]
    with tool_talk(answers, lamp) as talk:
        parts = talk.say("Switch the lamp on.")
        assert seen == [ON]
        assert results(parts) == [("done", "it is on")]
        assert words(parts) == "Let me see. The lamp is on."
        # What was written before the call is said while the tool works.
        said = [part.text for part in parts if isinstance(part, ReplyAudio)]
        assert said == ["Let me see.", " The lamp is on."]
        call = next(part for part in parts if isinstance(part, ReplyToolCall))
        assert (call.call, call.tool, call.arguments) == (1, "lamp", '{"state": "on"}')
        assert [m["role"] for m in talk.sent] == ["user", "assistant", "tool"]
        talk.say("Is it?")
        assert [m["role"] for m in talk.sent] == ["user", "assistant", "tool", "assistant", "user"]
        assert talk.sent[1]["content"] == "Let me see."
        assert talk.sent[2] == {"role": "tool", "content": "it is on", "tool_call_id": "call00001"}
        assert talk.sent[3]["content"] == "The lamp is on."
        check_history(talk.sent)
        offered = talk.endpoint.requests[0][2]["tools"]
        assert [t["function"]["name"] for t in offered] == ["lamp"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (calling("lamp", "{not json"), "not valid JSON"),
        (calling("lamp", "[1]"), "must be a JSON object"),
        (calling("fridge", {}), "no tool 'fridge', only lamp"),
        (calling("", {}), "no tool 'unnamed'"),
    ],
)
def test_a_bad_call_is_told_to_the_model_and_can_be_sent_back(answer: Any, told: str) -> None:
    with tool_talk([answer, saying("Sorry.")]) as talk:
        [(outcome, result)] = results(talk.say("Lamp."))
        assert outcome == "failed"
        assert told in result
        check_history(talk.sent)


def test_a_tool_waits_until_the_turn_is_over() -> None:
    used = threading.Event()
    over = threading.Event()
    lamp = tool(run=lambda arguments: used.set() or "on")
    with tool_talk([calling("lamp"), saying("On.")], lamp) as talk:
        turn = UserTurn(np.zeros(1600, np.float32), "Lamp on", over=over.is_set)
        stream = talk.cascade.reply(1, turn, lambda: False)
        for _ in range(3):  # it only waits
            assert next(stream) == tool_use.ReplyWaits()
        assert not used.is_set()
        over.set()
        assert words(list(stream)) == "On."
        assert used.is_set()


def test_a_speculation_that_is_discarded_uses_no_tool() -> None:
    used: list[Arguments] = []
    lamp = tool(run=lambda arguments: used.append(arguments) or "on")
    with tool_talk([calling("lamp"), saying("On.")], lamp) as talk:
        stopped = threading.Event()
        turn = UserTurn(np.zeros(1600, np.float32), "Lamp", over=lambda: False)
        stream = talk.cascade.reply(1, turn, stopped.is_set)
        next(stream)
        stopped.set()
        assert not list(stream)
        talk.cascade.settle(1, None)
        assert not used
        assert not talk.cascade.history


def test_an_interrupted_call_leaves_a_valid_history() -> None:
    ended = threading.Event()

    def slow(arguments: Arguments, stop: Any) -> str:
        while not stop():
            time.sleep(0.005)
        ended.set()
        return "late"

    schema: dict[str, Any] = {"type": "object", "properties": {}}
    two = [*calling("fast", id="a"), *calling("slow", id="b", index=1)]
    tools = (tool("fast", lambda arguments: "quick"), Tool("slow", "Slow.", schema, slow))
    with tool_talk([two, saying("Fine.")], *tools) as talk:
        stopped = threading.Event()
        turn = UserTurn(np.zeros(1600, np.float32), "Do both.")
        stream = talk.cascade.reply(1, turn, stopped.is_set)
        names = []
        while len(names) < 2:
            part = next(stream)
            names += [part.tool] if isinstance(part, ReplyToolCall) else []
        stopped.set()
        list(stream)
        talk.cascade.settle(1, Heard(0, "", ""))
        assert ended.wait(5)
        talk.replies = 1
        talk.say("Never mind.")
        check_history(talk.sent)
        assert [m["content"] for m in talk.sent[2:5]] == ["quick", NO_RESULT, CUT_OFF]


def test_what_was_done_is_remembered_although_the_turn_went_on() -> None:
    with tool_talk([calling("lamp"), saying("On."), saying("Good.")]) as talk:
        talk.reply("Lamp on")
        talk.cascade.settle(1, None)
        talk.say("Lamp on and fan on")
        assert [m["role"] for m in talk.sent] == ["user", "assistant", "tool", "assistant", "user"]


def test_a_slow_tool_lets_the_assistant_ask_for_a_moment_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(tool_use, "SLOW_S", 0.05)
    lamp = tool(run=lambda arguments: time.sleep(0.15) or "on")
    twice = [calling("lamp"), calling("lamp"), saying("It is on.")]
    with tool_talk(twice, lamp) as talk:
        parts = talk.say("Lamp on.")
        assert words(parts) == "One moment. It is on."
        sounds = [i for i, part in enumerate(parts) if isinstance(part, ReplyAudio)]
        ends = [i for i, part in enumerate(parts) if isinstance(part, tool_use.ReplyToolResult)]
        assert sounds[0] < ends[1]
        assert parts[sounds[0]].text == "One moment. "
        assert talk.sent[1]["content"] == "One moment."


def test_a_model_that_calls_for_ever_is_stopped() -> None:
    with tool_talk([calling("lamp")]) as talk:
        with pytest.raises(ChatError, match="called tools 5 times and still did not answer"):
            talk.reply("Lamp.")
        talk.cascade.settle(1, Heard(0, "", ""))
        assert len(talk.endpoint.requests) == tool_use.MOST_ROUNDS + 1
        check_history(talk.sent)
    many = [{"tool_calls": [{"id": f"c{n}", "function": {"name": "lamp"}} for n in range(30)]}]
    with tool_talk([many, saying("Done.")]) as talk:
        ends = [outcome for outcome, _ in results(talk.say("Lamp."))]
        assert ends == ["done"] * tool_use.MOST_CALLS + ["failed"] * 20
        check_history(talk.sent)


def asking(**more: Any) -> Tool:
    return tool(effects=True, question="Shall I switch it {state}?", **more)


@pytest.mark.parametrize(
    ("answer", "heard", "typed", "runs"),
    [
        ("Yes.", 1.0, False, True),
        ("yes, please do", 0.5, False, True),
        ("no", 1.0, False, False),
        ("yes but not now", 1.0, False, False),
        ("Yes", 0.0, False, False),  # to a question that was not heard
        ("Yes", 0.0, True, True),  # it was shown
    ],
)
def test_a_tool_with_effects_is_run_after_a_yes(
    answer: str, heard: float, typed: bool, runs: bool
) -> None:
    used: list[Arguments] = []
    lamp = asking(run=lambda arguments: used.append(arguments) or "it is on")
    with tool_talk([calling("lamp", ON), saying("So be it.")], lamp) as talk:
        parts = talk.say("Lamp on.", heard)
        assert words(parts) == "Shall I switch it on?"
        assert [outcome for outcome, _ in results(parts)] == ["asked"]
        assert len(talk.endpoint.requests) == 1
        assert not used
        parts = talk.say(answer, typed=typed)
        assert used == ([ON] if runs else [])
        assert words(parts) == "So be it."
        check_history(talk.sent)
        talk.say("Yes.")
        assert used == ([ON] if runs else [])


def test_a_yes_that_is_taken_back_does_nothing_yet() -> None:
    used: list[Arguments] = []
    lamp = asking(run=lambda arguments: used.append(arguments) or "it is on")
    with tool_talk([calling("lamp", ON), saying("It is on.")], lamp) as talk:
        talk.say("Lamp on.")
        stopped = threading.Event()
        turn = UserTurn(np.zeros(1600, np.float32), "Yes", over=lambda: False)
        stream = talk.cascade.reply(2, turn, stopped.is_set)
        next(stream)
        stopped.set()
        list(stream)
        talk.cascade.settle(2, None)
        assert not used
        talk.replies = 2
        talk.say("Yes.")
        assert used == [ON]


def test_one_question_at_a_time() -> None:
    two = [*calling("lamp", ON, id="a"), *calling("lamp", ON, id="b", index=1)]
    with tool_talk([two], asking()) as talk:
        ends = results(talk.say("Both lamps."))
        assert [outcome for outcome, _ in ends] == ["asked", "failed"]
        assert "one call at a time" in ends[1][1]


def test_an_endpoint_without_tools_answers_without() -> None:
    def script(body: dict[str, Any]) -> tuple[int, str, str] | None:
        if "tools" in body:
            return 400, "application/json", '{"error": {"message": "tiny does not support tools"}}'
        return streamed(saying("Hello."))

    with FakeEndpoint(script=script) as endpoint:
        chat = OpenAIChat(endpoint.url, "tiny")
        for notices in (1, 0):
            parts = list(chat.stream_with_tools([], [tool().declared()], lambda: False))
            assert parts[0] == "Hello."
            found = [part.text for part in parts if isinstance(part, ReplyNotice)]
            assert len(found) == notices
            assert all("cannot call tools" in text for text in found)
        assert len(endpoint.requests) == 3


def test_calls_are_read_in_every_form() -> None:
    one = {"function": {"name": "a", "arguments": '{"x": 1}'}}
    forms: list[list[list[dict[str, Any]]]] = [
        [[{**one, "index": 0, "id": "1"}, {**one, "index": 1, "id": "2"}]],
        [[{**one, "index": 0, "id": "1"}], [{**one, "index": 0, "id": "2"}]],  # counts none
        [[one, one]],  # neither ids nor places
        [[{**one, "id": "1"}], [{**one, "id": "2"}]],
        [[{"function": {"name": "a", "arguments": {"x": 1}}}, one]],  # an object, as Ollama's
        [[{"function": {"name": "a"}}], [{"function": {"arguments": '{"x": 1}'}}], [one]],
    ]
    for form in forms:
        reader = CallReader()
        for fragments in form:
            reader.read(fragments)
        assert [(c.name, c.parsed()) for c in reader.calls] == [("a", {"x": 1})] * 2, form
        assert len({c.id for c in reader.calls}) == 2


def test_calls_are_of_whole_characters() -> None:
    reader = CallReader()
    for piece in ('{"raw": "\ud83d', '\ude00 \ud83d", ', '"escaped": "\\ud83d\\ude00 \\ud83d"}'):
        reader.read([{"index": 0, "id": "\ud83d", "function": {"name": "a", "arguments": piece}}])
    (call,) = reader.calls
    assert call.id == "\ufffd"
    assert call.arguments.startswith('{"raw": "\U0001f600 \ufffd"')
    assert call.parsed() == dict.fromkeys(("raw", "escaped"), "\U0001f600 \ufffd")


def test_only_a_clear_yes_is_one() -> None:
    clear = (
        "Yes.",
        "yeah, sure",
        "OK",
        "Go ahead.",
        "Please do!",
        "yes go ahead",
        "好的",
        "是的。",
    )
    assert [text for text in clear if not says_yes(text)] == []
    unclear = ("", "no", "yes no", "okay stop", "not sure", "do", "go", "please", "不是", "don't")
    assert [text for text in unclear if says_yes(text)] == []
