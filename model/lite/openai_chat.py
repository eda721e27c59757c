"""A chat model behind an OpenAI-compatible endpoint: Ollama, llama.cpp, vLLM."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from model.engine import Progress
from model.errors import ChatError
from model.jobs.channel import Channel, feed
from model.lite.chat import Message
from model.lite.dialect import Dialect
from model.lite.endpoint_answer import (
    KEY_VARIABLE,
    NOT_READY,
    RefusedError,
    choices_of,
    events_of,
    raised_as_chat_error,
)
from model.lite.reply_reader import ChatPart, ReplyReader
from model.secrets import without_secrets

ENDPOINT_MAX_TOKENS = 400
ENDPOINT_CONTEXT = 6000

_CONNECT_TIMEOUT_S = 5.0
_CANCEL_POLL_S = 0.05
_LOAD_S = 900.0
"""Longest wait for an endpoint that is loading its model."""
_LOAD_POLL_S = 1.0
_PROBE_S = 8.0
_PROBE_CHARACTERS = 2000
"""How long to read the answer to the greeting with which the endpoint is tried."""

_GREETING = [Message("user", "Hi")]


class OpenAIChat:
    """A chat endpoint at ``url``; ``/v1`` is added where it is missing.

    The key is OPENAI_API_KEY, if set. Requests go only to ``url``, through no proxy. A request is
    given up after ``timeout`` seconds without a token. ``context`` is the longest prompt in tokens;
    what the endpoint refuses is learnt.
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
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ChatError(
                f"{without_secrets(url)!r} is not the address of a chat endpoint: it must look "
                "like http://localhost:11434/v1"
            )
        self._addresses = _candidates(parts.path)
        self._url = parts
        self._model = model
        if not model:
            raise ChatError(f"no model chosen at {self._shown}: name one with --chat-model")
        self._key = _key()
        self._max_tokens = max_tokens
        self._timeout = timeout
        self._dialect = Dialect(context)
        self._thinks_first = False

    @property
    def name(self) -> str:
        """The model and its address, without keys."""
        return f"{self._model} at {self._shown}"

    @property
    def context(self) -> int:
        """Longest prompt in tokens, as far as it is known."""
        return self._dialect.context

    def load(self, progress: Progress = lambda stage: None) -> None:
        """Say hello, so that the endpoint loads its model and mistakes show early.

        Waits for a model that is being loaded, and learns how the endpoint wants to be asked.
        """
        asyncio.run(self._load(progress))

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

    async def _load(self, progress: Progress) -> None:
        reader = self._reader()
        began, begun = time.monotonic(), 0.0

        def take(parts: Sequence[ChatPart]) -> bool:
            nonlocal begun
            begun = begun or time.monotonic()
            return reader.characters < _PROBE_CHARACTERS

        async def ask() -> None:
            while True:
                try:
                    return await self._read(_GREETING, reader, take, patience=_LOAD_S)
                except RefusedError as error:
                    if error.status != NOT_READY or time.monotonic() - began > _LOAD_S:
                        raise
                    await asyncio.sleep(_LOAD_POLL_S)

        asking = asyncio.create_task(ask())
        while not asking.done():
            await asyncio.wait([asking], timeout=_LOAD_POLL_S)
            if begun and time.monotonic() - begun > _PROBE_S:
                asking.cancel()
            elif not asking.done():
                progress(f"waiting for {self.name}: {time.monotonic() - began:.0f} s")
        try:
            asking.result()
        except (ChatError, asyncio.CancelledError):
            if not begun:
                raise
        self._thinks_first = reader.thinks_first

    async def _produce(self, messages: Sequence[Message], channel: Channel[ChatPart]) -> None:
        """Read a reply into ``channel``; close the connection as soon as the channel is stopped.

        Waiting for the next token could block an endpoint that serves one request at a time.
        """

        def take(parts: Sequence[ChatPart]) -> bool:
            return not channel.stopped and all(channel.put(part) for part in parts)

        reading = asyncio.create_task(self._reply(messages, take))
        while not reading.done():
            if channel.stopped:
                reading.cancel()
            await asyncio.wait([reading], timeout=_CANCEL_POLL_S)
        if reading.cancelled():
            return
        reader = reading.result()
        if not channel.stopped:
            take(reader.end())
            self._thinks_first = reader.thinks_first

    async def _reply(
        self, messages: Sequence[Message], take: Callable[[Sequence[ChatPart]], bool]
    ) -> ReplyReader:
        """Read a reply to ``messages``, shortened until there is room for its first word."""
        while True:
            reader = self._reader()
            await self._read(messages, reader, take, patience=self._timeout)
            shorter = self._dialect.shorter(messages) if reader.cut_early else None
            if shorter is not None:
                self._dialect = shorter
            if reader.characters or shorter is None:
                return reader

    def _reader(self) -> ReplyReader:
        return ReplyReader(self.name, self._max_tokens, thinks_first=self._thinks_first)

    async def _read(
        self,
        messages: Sequence[Message],
        reader: ReplyReader,
        take: Callable[[Sequence[ChatPart]], bool],
        *,
        patience: float,
    ) -> None:
        """Pass the reply's parts to ``take`` until it returns false. Raises: ChatError.

        A refusal changes the address or the dialect, and the request is made again.
        """
        addresses = self._addresses
        refused_first: RefusedError | None = None
        while True:
            try:
                return await self._ask(messages, reader, take, patience=patience)
            except RefusedError as refused:
                if refused.misses_address and len(self._addresses) > 1:
                    refused_first = refused_first or refused
                    self._addresses = self._addresses[1:]
                    continue
                learnt = self._dialect.after(refused.status, refused.text, messages)
                if learnt is None:
                    self._addresses = addresses
                    raise (refused_first or refused) from refused
                self._dialect = learnt

    async def _ask(
        self,
        messages: Sequence[Message],
        reader: ReplyReader,
        take: Callable[[Sequence[ChatPart]], bool],
        *,
        patience: float,
    ) -> None:
        body = self._dialect.request(self._model, messages, self._max_tokens)
        with raised_as_chat_error(self.name, patience, begun=lambda: reader.characters > 0):
            async with (
                asyncio.timeout(patience) as deadline,
                self._client() as client,
                client.chat.completions.with_streaming_response.create(
                    model=body.pop("model"),
                    messages=body.pop("messages"),
                    stream=body.pop("stream"),
                    extra_body=body,
                ) as response,
            ):
                async for event in events_of(response.iter_lines(), self.name):
                    deadline.reschedule(asyncio.get_running_loop().time() + self._timeout)
                    for message, reason in choices_of(event, self.name):
                        if not take(reader.read(message, reason)) or reader.endless:
                            return
        if not reader.finished:
            what = "stopped in the middle of its reply" if reader.characters else "sent no reply"
            raise ChatError(f"{self.name} {what}")

    @property
    def _shown(self) -> str:
        host = self._url.netloc.rpartition("@")[2]
        return urlunsplit((self._url.scheme, host, self._addresses[0], "", ""))

    def _client(self) -> Any:
        import openai

        url = self._url
        return openai.AsyncOpenAI(
            base_url=urlunsplit((url.scheme, url.netloc, self._addresses[0], "", "")),
            default_query=dict(parse_qsl(url.query)),
            api_key=self._key,
            max_retries=0,
            timeout=openai.Timeout(None, connect=_CONNECT_TIMEOUT_S),
            # Reading the certificates takes longer than a local connection.
            http_client=openai.DefaultAsyncHttpxClient(
                trust_env=False, verify=url.scheme == "https", follow_redirects=False
            ),
        )


def _candidates(path: str) -> list[str]:
    """Return the base paths to try for an address with ``path``, the likeliest first."""
    path = path.rstrip("/").removesuffix("/chat/completions")
    last = path.rpartition("/")[2]
    if not path:
        return ["/v1", ""]
    if last.startswith("v") and last[1:2].isdigit():
        return [path]
    return [path, f"{path}/v1"]


def _key() -> str:
    """Return the key of the environment. Raises: ChatError, without it, if it cannot be one."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ChatError(
            f"{KEY_VARIABLE} is not a key: it has a space, a line break or another character that "
            "no key has; set it again"
        )
    return key or "none"
