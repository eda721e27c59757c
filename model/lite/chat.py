"""Chat models: stream the assistant's next words, given the conversation so far.

The embedded one is here; :mod:`model.endpoints.openai_chat` uses an endpoint.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from model.engine import Progress
from model.errors import ChatError
from model.jobs.channel import Channel, feed
from model.lite.gguf import check_gguf, start_server, try_gguf
from model.lite.reply_reader import ChatPart, ReplyReader, ToolCalls
from model.tools.tool import ToolCall

_MAY_RECUR = 8
"""Repeated tokens that the DRY sampler allows, because an answer may echo its question."""

_CLOSE_S = 1.0
"""How long closing waits for a prompt being read, which cannot be cancelled."""

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

    def stream_with_tools(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        cancelled: Callable[[], bool],
    ) -> Iterator[ChatPart | ToolCalls]:
        """As :meth:`stream`; ``tools`` are those that it may call, in OpenAI's form. If it calls
        any, the last part is the calls, and there may be no text."""


class LlamaChat:
    """A GGUF model run in this process by llama.cpp (xllamacpp's in-process server).

    Its one KV cache keeps the beginning that a prompt shares with the last one, so only new tokens
    are read. ``context`` is in tokens. A file that is not ``pinned`` (its bytes were not compared
    with ours) is tried in a process of its own before it is loaded.
    """

    def __init__(
        self,
        model: Path,
        sampling: ChatSampling,
        *,
        context: int = 2048,
        threads: int = 2,
        pinned: bool = False,
    ) -> None:
        self.name = model.stem
        self.context = context - sampling.max_tokens
        self._model = model
        self._sampling = sampling
        self._threads = threads
        self._pinned = pinned
        self._thinks_first = False
        self._server: Any = None
        self._lock = threading.Lock()
        self._busy = threading.Lock()
        self._closed = threading.Event()

    def load(self, progress: Progress = lambda stage: None) -> None:
        with self._lock:
            if self._closed.is_set():
                raise ChatError(f"the chat model {self.name} was closed")
            if self._server is None:
                self._server = self._start(progress)

    def prepare(self, messages: Sequence[Message]) -> None:
        self._complete(messages, 1, lambda _: True)

    def stream(
        self, messages: Sequence[Message], cancelled: Callable[[], bool]
    ) -> Iterator[ChatPart]:
        channel: Channel[ChatPart] = Channel(cancelled)
        reader = ReplyReader(self.name, self._sampling.max_tokens, thinks_first=self._thinks_first)

        def take(choice: Mapping[str, Any]) -> bool:
            parts = reader.read(choice["delta"], choice.get("finish_reason"))
            return not channel.stopped and all(channel.put(part) for part in parts)

        def produce() -> None:
            self._complete(messages, self._sampling.max_tokens, take)
            if not channel.stopped:
                for part in reader.end():
                    channel.put(part)
                self._thinks_first = reader.thinks_first

        feed(channel, produce, "chat")
        return iter(channel)

    def close(self) -> None:
        """Free memory, waiting up to 1 s for a prompt being read. Safe to call twice."""
        self._closed.set()
        if self._busy.acquire(timeout=_CLOSE_S):
            try:
                with self._lock:
                    self._server = None
            finally:
                self._busy.release()

    def _complete(
        self,
        messages: Sequence[Message],
        max_tokens: int,
        take: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        """Generate up to ``max_tokens`` tokens and pass them to ``take`` until it returns false.

        Each is a choice of a chunk in OpenAI's form.
        """
        self.load()
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
                stop = self._closed.is_set() or not take(choice)
                if stop or choice.get("finish_reason"):
                    problem = ""
                if stop:
                    return True
            return False

        request = {
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "stream": True,
            "max_tokens": max_tokens,
            "temperature": self._sampling.temperature,
            "top_p": self._sampling.top_p,
            "repeat_penalty": self._sampling.repeat_penalty,
            "dry_multiplier": self._sampling.dry,
            "dry_allowed_length": _MAY_RECUR,
            "cache_prompt": True,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        with self._busy:
            if self._closed.is_set():
                raise ChatError(f"the chat model {self.name} was closed")
            try:
                self._server.handle_chat_completions(request, receive)
            except RuntimeError as error:
                raise ChatError(f"the chat model {self.name} failed: {error}") from error
        if problem:
            raise ChatError(f"the chat model {self.name} failed: {problem}")

    def _start(self, progress: Progress) -> Any:
        check_gguf(self._model)
        context = self.context + self._sampling.max_tokens
        if not self._pinned:
            progress(f"trying {self.name}")
            try_gguf(
                self._model,
                context=context,
                cancelled=self._closed.is_set,
            )
            progress(f"loading {self.name}")
        return start_server(self._model, context=context, threads=self._threads)
