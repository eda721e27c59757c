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
from model.lite.chat import Message
from model.lite.reply_reader import ChatPart, ReplyReader

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

    def stream(
        self, messages: Sequence[Message], cancelled: Callable[[], bool]
    ) -> Iterator[ChatPart]:
        channel: Channel[ChatPart] = Channel(cancelled)
        feed(channel, lambda: asyncio.run(self._produce(messages, channel)), "chat")
        return iter(channel)

    def close(self) -> None:
        """Do nothing: each request closes its connection."""

    async def _produce(self, messages: Sequence[Message], channel: Channel[ChatPart]) -> None:
        """Read a reply into ``channel``; close the connection as soon as the channel is stopped."""

        def take(parts: Sequence[ChatPart]) -> bool:
            return not channel.stopped and all(channel.put(part) for part in parts)

        reader = await unless_stopped(self._reply(messages, take), lambda: channel.stopped)
        if reader is not None and not channel.stopped:
            take(reader.end())
            self._thinks_first = reader.thinks_first

    async def _reply(
        self, messages: Sequence[Message], take: Callable[[Sequence[ChatPart]], bool]
    ) -> ReplyReader:
        """Read a reply to ``messages``, shortened until there is room for its first word."""
        while True:
            reader = self._reader()
            await self._endpoint.read(messages, _TextReading(reader, take))
            shorter = self._endpoint.dialect.shorter(messages) if reader.cut_early else None
            if shorter is not None:
                self._endpoint.dialect = shorter
            if reader.characters or shorter is None:
                return reader

    def _reader(self) -> ReplyReader:
        return ReplyReader(self.name, self._max_tokens, thinks_first=self._thinks_first)


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

    def take(
        self, event: Mapping[str, Any], message: Mapping[str, Any], reason: str | None
    ) -> bool:
        return self._take(self._reader.read(message, reason)) and not self._reader.endless
