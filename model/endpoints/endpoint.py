"""Ask an OpenAI-compatible endpoint for chat completions, and learn how it wants to be asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from model.endpoints.dialect import Dialect
from model.endpoints.endpoint_answer import (
    NOT_READY,
    RefusedError,
    choices_of,
    events_of,
    lines_of,
    raised_as_chat_error,
    told_in,
)
from model.endpoints.server_key import ServerKey
from model.engine import Progress
from model.errors import ChatError
from model.lite.chat import Message
from model.lite.failures import in_a_line
from model.secrets import hide_in, without_secrets

_CONNECT_TIMEOUT_S = 5.0
_CANCEL_POLL_S = 0.05
_LOAD_S = 900.0
"""Longest wait for an endpoint that is loading its model."""
_LOAD_POLL_S = 1.0
_PROBE_S = 8.0
"""How long to read the answer to the greeting with which the endpoint is tried."""

_BUSY = (429, 502, 503, 504, 529)
"""Answers of a server, or of one before it, that may be gone in a moment."""
_BUSY_S, _LONGEST_BUSY_S = 1.0, 5.0
_AFTER_END_S = 1.0
"""How long to wait for the end of an answer of which all has come."""

_GREETING = [Message("user", "Hi")]

T = TypeVar("T")


class Reading(Protocol):
    """What reads the answer to one request."""

    def take(
        self, event: Mapping[str, Any], message: Mapping[str, Any], reason: str | None
    ) -> bool:
        """Take in one choice of ``event``: a message or a part of one, and why it ended the
        answer, if it did. Return whether to go on. Raises: ValueError, ChatError."""

    @property
    def begun(self) -> bool:
        """Whether anything of the answer came."""

    @property
    def finished(self) -> bool:
        """Whether the answer was ended."""

    @property
    def complete(self) -> bool:
        """Whether all of the answer came, so that what becomes of the connection does not
        matter."""


class Endpoint:
    """The ``model`` at ``url``; ``/v1`` is added where it is missing.

    Requests go only there, through no proxy. One is given up after ``timeout`` seconds without a
    token. What the endpoint refuses is learnt: ``dialect`` changes. Raises: ChatError for an
    address or a model that cannot be one.
    """

    def __init__(
        self,
        url: str,
        model: str,
        dialect: Dialect,
        key: ServerKey,
        *,
        max_tokens: int,
        timeout: float,
        model_flag: str,
    ) -> None:
        parts = _address(url.strip())
        hide_in(url)
        self._addresses = _candidates(parts.path)
        self._url = parts
        self._model = model
        if not model:
            raise ChatError(f"no model chosen at {self._shown}: name one with {model_flag}")
        self._key = key
        self._max_tokens = max_tokens
        self._timeout = timeout
        self.dialect = dialect
        """How it is asked."""

    @property
    def name(self) -> str:
        """The model and its address, without keys, also where one was given as the model."""
        return without_secrets(f"{self._model} at {self._shown}")

    async def try_out(self, progress: Progress, reading: Reading) -> None:
        """Read the answer to a greeting, so that the model is loaded and mistakes show early.

        Wait for a model that is being loaded; stop soon after the answer has begun.
        """
        began, begun = time.monotonic(), 0.0

        async def ask() -> None:
            while True:
                try:
                    return await self.read(_GREETING, reading, patience=_LOAD_S)
                except RefusedError as error:
                    if error.status != NOT_READY or time.monotonic() - began > _LOAD_S:
                        raise
                    await asyncio.sleep(_LOAD_POLL_S)

        asking = asyncio.create_task(ask())
        while not asking.done():
            await asyncio.wait([asking], timeout=_LOAD_POLL_S)
            if reading.begun:
                begun = begun or time.monotonic()
            if begun and time.monotonic() - begun > _PROBE_S:
                asking.cancel()
            elif not asking.done():
                progress(f"waiting for {self.name}: {time.monotonic() - began:.0f} s")
        try:
            asking.result()
        except (ChatError, asyncio.CancelledError):
            if not reading.begun:
                raise

    async def read(
        self,
        messages: Sequence[Message],
        reading: Reading,
        *,
        patience: float | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Read the answer to ``messages`` until it ends or ``reading`` has enough.

        A refusal changes the address or the dialect, and the request is made again; so it is, once
        and a second later, if the server or what stands before it is busy. ``patience``: seconds to
        wait for its beginning; then a busy server is the caller's. ``tools``: those it may call.
        Raises: ChatError.
        """
        addresses, options = self._addresses, self.dialect.options
        refused_first: RefusedError | None = None
        waits = patience is None
        while True:
            try:
                return await self._ask(messages, reading, patience or self._timeout, tools)
            except RefusedError as refused:
                if refused.misses_address and len(self._addresses) > 1:
                    refused_first = refused_first or refused
                    self._addresses = self._addresses[1:]
                    continue
                if waits and refused.status in _BUSY:
                    waits = False
                    await asyncio.sleep(max(_BUSY_S, min(refused.retry_after_s, _LONGEST_BUSY_S)))
                    continue
                learnt = self.dialect.after(refused.status, refused.text, messages)
                if learnt is None:
                    self._addresses = addresses
                    # They were not what it refused.
                    self.dialect = replace(self.dialect, options=options)
                    raise (refused_first or refused) from refused
                self.dialect = learnt

    async def _ask(
        self,
        messages: Sequence[Message],
        reading: Reading,
        patience: float,
        tools: Sequence[Mapping[str, Any]],
    ) -> None:
        body = self.dialect.request(self._model, messages, self._max_tokens, tools)
        told = ""
        try:
            with raised_as_chat_error(self.name, patience, self._key, lambda: reading.begun):
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
                    response.http_response.encoding = "utf-8"  # whatever its header says
                    async for event in events_of(lines_of(response.iter_text()), self.name):
                        for message, reason in choices_of(event, self.name):
                            if not reading.take(event, message, reason):
                                return
                        told = told or (told_in(event) if not event.get("choices") else "")
                        left = _AFTER_END_S if reading.complete else self._timeout
                        deadline.reschedule(asyncio.get_running_loop().time() + left)
        except ChatError:
            if not reading.complete:
                raise
        if not reading.finished:
            what = "stopped in the middle of its reply" if reading.begun else "sent no reply"
            raise ChatError(f"{self.name} {what}{f': {in_a_line(told)}' if told else ''}")

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
            api_key=self._key.key or "none",
            max_retries=0,
            timeout=openai.Timeout(None, connect=_CONNECT_TIMEOUT_S),
            # Reading the certificates takes longer than a local connection.
            http_client=openai.DefaultAsyncHttpxClient(
                trust_env=False, verify=url.scheme == "https", follow_redirects=False
            ),
        )


async def unless_stopped(work: Awaitable[T], stopped: Callable[[], bool]) -> T | None:
    """Do ``work`` and return what it returns; cancel it, and return None, once ``stopped()``.

    Waiting for the next token could block an endpoint that serves one request at a time.
    """
    working = asyncio.ensure_future(work)
    while not working.done():
        if stopped():
            working.cancel()
        await asyncio.wait([working], timeout=_CANCEL_POLL_S)
    return None if working.cancelled() else working.result()


def _address(url: str) -> SplitResult:
    """Return the parts of ``url``. Raises: ChatError if it is no address of an endpoint."""
    try:
        parts = urlsplit(url)
        # A port that is none shows only when it is asked for.
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ChatError(
            f"{without_secrets(url)!r} is not the address of a chat endpoint: it must look "
            "like http://localhost:11434/v1"
        )
    return parts


def _candidates(path: str) -> list[str]:
    """Return the base paths to try for an address with ``path``, the likeliest first."""
    path = path.rstrip("/").removesuffix("/chat/completions")
    last = path.rpartition("/")[2]
    if not path:
        return ["/v1", ""]
    if last.startswith("v") and last[1:2].isdigit():
        return [path]
    return [path, f"{path}/v1"]
