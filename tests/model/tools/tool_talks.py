"""An endpoint that calls tools as scripted, and a cascade that talks to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from model.endpoints.openai_chat import OpenAIChat
from model.lite.cascade import Cascade
from model.lite.chat import ToolCallingChat
from model.lite.prompt import Prompt
from model.reply import Heard, ReplyPart, ReplyText, ReplyToolResult, UserTurn
from model.tools.tool import Arguments, Tool
from model.tools.tool_use import ToolUse
from model.tools.toolbox import Toolbox
from tests.fakes.lite import FakeSynthesizer
from tests.fakes.openai import FakeEndpoint

Delta = dict[str, Any]
Answer = Sequence[Delta]


def calling(
    name: str, arguments: object = None, *, id: str = "call00001", index: int = 0
) -> Answer:
    """The fragments of a call, with its arguments in pieces of seven characters."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    head = {"index": index, "id": id, "type": "function", "function": {"name": name}}
    rest = [{"arguments": text[at : at + 7]} for at in range(0, len(text), 7)]
    fragments = [head, *({"index": index, "function": part} for part in rest)]
    return [{"tool_calls": [fragment]} for fragment in fragments]


def saying(text: str) -> Answer:
    return [{"content": text}]


def streamed(answer: Answer) -> tuple[int, str, str]:
    reason = "tool_calls" if any("tool_calls" in delta for delta in answer) else "stop"
    choices = [(delta, None) for delta in answer] + [({}, reason)]
    events = [{"choices": [{"delta": d, "finish_reason": why}]} for d, why in choices]
    lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return 200, "text/event-stream", lines + "data: [DONE]\n\n"


def tool(
    name: str = "lamp",
    run: Callable[[Arguments], str] = lambda arguments: "it is on",
    **more: Any,
) -> Tool:
    schema = {"type": "object", "properties": {"state": {"type": "string"}}}
    return Tool(name, f"The {name}.", schema, lambda arguments, stop: run(arguments), **more)


class ToolTalk:
    """A cascade whose ``chat`` uses ``tools``."""

    def __init__(self, chat: ToolCallingChat, tools: Sequence[Tool]) -> None:
        self.chat = chat
        self.use = ToolUse(chat, Toolbox(tools))
        voices = {"one": FakeSynthesizer()}
        self.cascade = Cascade(
            chat, voices.__getitem__, voice="one", prompt=Prompt(""), tools=self.use
        )
        self.replies = 0

    def reply(
        self, text: str, *, over: Callable[[], bool] = lambda: True, typed: bool = False
    ) -> list[ReplyPart]:
        """Make a reply without settling it."""
        self.replies += 1
        sound = np.zeros(0 if typed else 1600, np.float32)
        turn = UserTurn(sound, text, over=over)
        return list(self.cascade.reply(self.replies, turn, lambda: False))

    def say(self, text: str, heard: float = 1.0, *, typed: bool = False) -> list[ReplyPart]:
        """Make a reply, of which the share ``heard`` is heard."""
        parts = self.reply(text, typed=typed)
        written = words(parts)
        at = round(len(written) * heard)
        self.cascade.settle(self.replies, Heard(at * 100, written[:at], written[at:]))
        return parts


class EndpointTalk(ToolTalk):
    """One whose chat model is at ``endpoint``."""

    def __init__(self, endpoint: FakeEndpoint, tools: Sequence[Tool]) -> None:
        super().__init__(OpenAIChat(endpoint.url, "tiny"), tools)
        self.endpoint = endpoint

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The messages of the last request."""
        found: list[dict[str, Any]] = self.endpoint.requests[-1][2]["messages"]
        return found


@contextmanager
def tool_talk(answers: Sequence[Answer], *tools: Tool) -> Iterator[EndpointTalk]:
    """Yield a talk at an endpoint that gives the ``answers``, then the last one again."""
    left = list(answers)

    def script(body: dict[str, Any]) -> tuple[int, str, str]:
        return streamed(left.pop(0) if len(left) > 1 else left[0])

    with FakeEndpoint(script=script) as endpoint:
        yield EndpointTalk(endpoint, tools or (tool(),))


def words(parts: Sequence[ReplyPart]) -> str:
    return "".join(part.delta for part in parts if isinstance(part, ReplyText))


def results(parts: Sequence[ReplyPart]) -> list[tuple[str, str]]:
    return [(p.outcome.value, p.result) for p in parts if isinstance(p, ReplyToolResult)]


def check_history(sent: Sequence[dict[str, Any]]) -> None:
    """Every call has its result after it, and no result is without a call."""
    waiting: list[str] = []
    for message in sent:
        if message["role"] == "tool":
            assert message["tool_call_id"] == waiting.pop(0)
        else:
            assert not waiting, f"{message} comes before the result of {waiting}"
        for call in message.get("tool_calls", ()):
            waiting.append(call["id"])
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
    assert not waiting
