"""Chat models: stream the assistant's next words, given the conversation so far.

The embedded one is here; :mod:`model.endpoints.openai_chat` uses an endpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from model.engine import Progress
from model.errors import ChatError
from model.jobs.channel import Channel, feed
from model.lite.llama import LlamaModel
from model.lite.reply_reader import ChatPart, ReplyReader, ToolCalls
from model.reply import ReplyNotice
from model.tools.tool import ToolCall

_MAY_RECUR = 8
"""Repeated tokens that the DRY sampler allows, because an answer may echo its question."""
_UNTOLD = "llama.cpp did not tell whether it knows them; asked again at the next turn"

Tools = Sequence[Mapping[str, Any]]
"""Tools that a reply may call, in OpenAI's form."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; ``role`` is ``system``, ``user``, ``assistant`` or ``tool``.

    ``calls``: tools that the assistant calls. ``call``: the call whose result it is.
    """

    role: str
    content: str
    calls: tuple[ToolCall, ...] = ()
    call: str = ""

    def to_openai(self) -> dict[str, Any]:
        """Return it in OpenAI's form."""
        sent: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.role == "tool":
            sent["tool_call_id"] = self.call
        if self.calls:
            sent["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.calls
            ]
        return sent


@dataclass(frozen=True, slots=True)
class ChatSampling:
    """How the next token is chosen, and the longest reply in tokens.

    ``dry`` is the strength of llama.cpp's DRY sampler, which penalises repeated phrases;
    ``repeat_penalty`` penalises single tokens. Temperature 0 makes the replies deterministic.
    """

    temperature: float = 0.7
    top_p: float = 0.9
    repeat_penalty: float = 1.0
    dry: float = 0.0
    max_tokens: int = 250


class ChatModel(Protocol):
    """Writes the assistant's replies."""

    @property
    def name(self) -> str:
        """The model's name as shown to the user."""

    @property
    def context(self) -> int:
        """Longest prompt in tokens."""

    def load(self, progress: Progress = lambda stage: None) -> None:
        """Load the model, or wait until it is loaded. Raises: ChatError."""

    def prepare(self, messages: Sequence[Message]) -> None:
        """Read ``messages`` ahead, if that makes the reply start sooner. Raises: ChatError."""

    def stream(
        self, messages: Sequence[Message], cancelled: Callable[[], bool]
    ) -> Iterator[ChatPart]:
        """Yield the reply to ``messages`` in pieces until ``cancelled()``.

        Only what is meant for the listener. Raises: ChatError, also if that is nothing.
        """

    def close(self) -> None:
        """Free memory. Safe to call twice."""


@runtime_checkable
class ToolCallingChat(ChatModel, Protocol):
    """A chat model that can call tools."""

    def prepare_with_tools(self, messages: Sequence[Message], tools: Tools) -> None:
        """As :meth:`prepare`, for a reply that may call ``tools``."""

    def stream_with_tools(
        self, messages: Sequence[Message], tools: Tools, cancelled: Callable[[], bool]
    ) -> Iterator[ChatPart | ToolCalls]:
        """As :meth:`stream`; it may call ``tools``. If it does, the last part is the calls, and
        there may be no text. A model that turns out to know no tools says so once."""


def no_tools(name: str) -> ReplyNotice:
    """Return what the user is told once of the model ``name``, which knows no tools."""
    return ReplyNotice("warning", f"{name} cannot call tools: it answers without")


class LlamaChat:
    """A GGUF ``model`` run in this process by llama.cpp, limited to ``context`` tokens."""

    def __init__(self, model: LlamaModel, sampling: ChatSampling, *, context: int = 2048) -> None:
        self.name = model.name
        self.model = model
        """What is loaded, perhaps for other users as well."""
        self.context = context - sampling.max_tokens
        self._slot = model.slot(context)
        self._sampling = sampling
        self._thinks_first = False

    def load(self, progress: Progress = lambda stage: None) -> None:
        self._slot.load(progress)

    def prepare(self, messages: Sequence[Message]) -> None:
        self._complete(messages, (), 1, lambda _: True)

    def stream(
        self, messages: Sequence[Message], cancelled: Callable[[], bool]
    ) -> Iterator[ChatPart]:
        channel: Channel[ChatPart] = Channel(cancelled)

        def produce() -> None:
            self._produce(messages, (), channel.put, lambda: channel.stopped)

        feed(channel, produce, "chat")
        return iter(channel)

    def close(self) -> None:
        """Free memory, waiting up to 1 s for a prompt being read. Safe to call twice."""
        self._slot.close()

    def _produce(
        self,
        messages: Sequence[Message],
        tools: Tools,
        put: Callable[[ChatPart], bool],
        stopped: Callable[[], bool],
    ) -> tuple[ToolCall, ...]:
        """Write a reply and ``put`` its parts until it is ``stopped``; return the calls in it."""
        reader = ReplyReader(
            self.name,
            self._sampling.max_tokens,
            thinks_first=self._thinks_first,
            tools=bool(tools),
        )

        def take(choice: Mapping[str, Any]) -> bool:
            parts = reader.read(choice["delta"], choice.get("finish_reason"))
            return not stopped() and all(put(part) for part in parts) and not reader.enough

        self._complete(messages, tools, self._sampling.max_tokens, take)
        if stopped():
            return ()
        for part in reader.end():
            put(part)
        self._thinks_first = reader.thinks_first
        return reader.calls

    def _complete(
        self,
        messages: Sequence[Message],
        tools: Tools,
        max_tokens: int,
        take: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        """Generate up to ``max_tokens`` tokens and pass them to ``take`` until it returns false.

        Each is a choice of a chunk in OpenAI's form.
        """
        problem = "it stopped without finishing its reply"

        def receive(chunk: dict[str, Any]) -> bool:
            """Return true to stop. The server swallows what a callback raises, so log it here."""
            nonlocal problem
            try:
                return read(chunk)
            except Exception as error:
                log.exception("reading the chat model's reply failed")
                problem = f"internal error: {type(error).__name__}: {error}"
                return True

        def read(chunk: dict[str, Any]) -> bool:
            nonlocal problem
            if "error" in chunk:
                problem = str(chunk["error"].get("message", chunk["error"]))
                return True
            for choice in chunk.get("choices", ()):
                stop = self._slot.closed or not take(choice)
                if stop or choice.get("finish_reason"):
                    problem = ""
                if stop:
                    return True
            return False

        request = {
            "messages": [message.to_openai() for message in messages],
            "stream": True,
            "max_tokens": max_tokens,
            "temperature": self._sampling.temperature,
            "top_p": self._sampling.top_p,
            "repeat_penalty": self._sampling.repeat_penalty,
            "dry_multiplier": self._sampling.dry,
            "dry_allowed_length": _MAY_RECUR,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        if tools:
            request["tools"] = list(tools)
        self._slot.chat(request, receive)
        if problem:
            raise ChatError(f"the chat model {self.name} failed: {problem}")


class ToolCallingLlama(LlamaChat):
    """One that calls tools if the file's chat template knows them."""

    _told = False

    def prepare_with_tools(self, messages: Sequence[Message], tools: Tools) -> None:
        self._complete(messages, tools if self._slot.knows_tools() else (), 1, lambda _: True)

    def stream_with_tools(
        self, messages: Sequence[Message], tools: Tools, cancelled: Callable[[], bool]
    ) -> Iterator[ChatPart | ToolCalls]:
        channel: Channel[ChatPart | ToolCalls] = Channel(cancelled)

        def produce() -> None:
            skilled = self._slot.knows_tools()
            usable = tools if skilled else ()
            if tools and skilled is None:
                channel.put(ReplyNotice("warning", f"{self.name} answers without tools: {_UNTOLD}"))
            elif tools and not skilled and not self._told:
                channel.put(no_tools(self.name))
            calls = self._produce(messages, usable, channel.put, lambda: channel.stopped)
            if skilled is not None and not channel.stopped:  # else nobody saw it
                self._told = True
            if calls:
                channel.put(ToolCalls(calls))

        feed(channel, produce, "chat")
        return iter(channel)
