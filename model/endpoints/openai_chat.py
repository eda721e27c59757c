"""A chat model behind an OpenAI-compatible endpoint: Ollama, llama.cpp, vLLM."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from model.endpoints.dialect import Dialect
from model.endpoints.endpoint import Endpoint, unless_stopped
from model.endpoints.server_key import openai_key
from model.engine import Progress
from model.jobs.channel import Channel, feed
from model.lite.chat import Message, Tools, no_tools
from model.lite.reply_reader import ChatPart, ReplyReader, ToolCalls

ENDPOINT_MAX_TOKENS = 400
ENDPOINT_CONTEXT = 6000

_PROBE_CHARACTERS = 2000
"""How much to read of the answer to the greeting with which the endpoint is tried."""


class OpenAIChat:
    """A chat endpoint (:class:`~model.endpoints.endpoint.Endpoint`) as a chat model.

    The key is OPENAI_API_KEY, if set. ``context`` is the longest prompt in tokens.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        max_tokens: int = ENDPOINT_MAX_TOKENS,
        context: int = ENDPOINT_CONTEXT,
        timeout: float = 180.0,
    ) -> None:
        self._endpoint = Endpoint(
            url,
            model,
            Dialect(context),
            openai_key(),
            max_tokens=max_tokens,
            timeout=timeout,
            model_flag="--chat-model",
        )
        self._max_tokens = max_tokens
        self._thinks_first = False

    @property
    def name(self) -> str:
        """The model and its address, without keys."""
        return self._endpoint.name

    @property
    def context(self) -> int:
        """Longest prompt in tokens, as far as it is known."""
        return self._endpoint.dialect.context

    def load(self, progress: Progress = lambda stage: None) -> None:
        """Say hello, so that the endpoint loads its model and mistakes show early.

        Waits for a model that is being loaded, and learns how the endpoint wants to be asked.
        """
        reader = self._reader()
        reading = _TextReading(reader, lambda parts: reader.characters < _PROBE_CHARACTERS)
        asyncio.run(self._endpoint.try_out(progress, reading))
        self._thinks_first = reader.thinks_first

    def prepare(self, messages: Sequence[Message]) -> None:
        """Do nothing: the endpoint manages its own cache."""

    def prepare_with_tools(self, messages: Sequence[Message], tools: Tools) -> None:
        """Do nothing, as :meth:`prepare`."""

    def stream(
        self, messages: Sequence[Message], cancelled: Callable[[], bool]
    ) -> Iterator[ChatPart]:
        channel: Channel[ChatPart] = Channel(cancelled)

        def produce() -> None:
            asyncio.run(self._produce(messages, channel.put, lambda: channel.stopped))

        feed(channel, produce, "chat")
        return iter(channel)

    def stream_with_tools(
        self, messages: Sequence[Message], tools: Tools, cancelled: Callable[[], bool]
    ) -> Iterator[ChatPart | ToolCalls]:
        channel: Channel[ChatPart | ToolCalls] = Channel(cancelled)

        def produce() -> None:
            could = self._endpoint.dialect.tools
            put = channel.put
            reader = asyncio.run(self._produce(messages, put, lambda: channel.stopped, tools))
            if could and not self._endpoint.dialect.tools:
                put(no_tools(self.name))
            if reader is not None and reader.calls:
                put(ToolCalls(reader.calls))

        feed(channel, produce, "chat")
        return iter(channel)

    def close(self) -> None:
        """Do nothing: each request closes its connection."""

    async def _produce(
        self,
        messages: Sequence[Message],
        put: Callable[[ChatPart], bool],
        stopped: Callable[[], bool],
        tools: Tools = (),
    ) -> ReplyReader | None:
        """Read a reply and ``put`` its parts; close the connection as soon as it is stopped.

        Return what has read it to its end.
        """

        def take(parts: Sequence[ChatPart]) -> bool:
            return not stopped() and all(put(part) for part in parts)

        reader = await unless_stopped(self._reply(messages, take, tools), stopped)
        if reader is None or stopped():
            return None
        take(reader.end())
        self._thinks_first = reader.thinks_first
        return reader

    async def _reply(
        self,
        messages: Sequence[Message],
        take: Callable[[Sequence[ChatPart]], bool],
        tools: Tools,
    ) -> ReplyReader:
        """Read a reply to ``messages``, shortened until there is room for its first word."""
        while True:
            reader = self._reader(tools=bool(tools))
            await self._endpoint.read(messages, _TextReading(reader, take), tools=tools)
            shorter = self._endpoint.dialect.shorter(messages) if reader.cut_early else None
            if shorter is not None:
                self._endpoint.dialect = shorter
            if reader.characters or shorter is None:
                return reader

    def _reader(self, *, tools: bool = False) -> ReplyReader:
        return ReplyReader(
            self.name, self._max_tokens, thinks_first=self._thinks_first, tools=tools
        )


class _TextReading:
    """Reads an answer with ``reader`` and passes its parts to ``take`` until that returns false."""

    def __init__(self, reader: ReplyReader, take: Callable[[Sequence[ChatPart]], bool]) -> None:
        self._reader = reader
        self._take = take

    @property
    def begun(self) -> bool:
        return self._reader.characters > 0

    @property
    def finished(self) -> bool:
        return self._reader.finished

    @property
    def complete(self) -> bool:
        return self._reader.finished

    def take(
        self, event: Mapping[str, Any], message: Mapping[str, Any], reason: str | None
    ) -> bool:
        return self._take(self._reader.read(message, reason)) and not self._reader.enough
