"""A chat model behind an OpenAI-compatible endpoint: Ollama, llama.cpp, vLLM."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from model.errors import ChatError
from model.jobs.channel import Channel, feed
from model.lite.chat import Message
from model.lite.failures import in_a_line

_CONNECT_TIMEOUT_S = 5.0
_CANCEL_POLL_S = 0.05


class OpenAIChat:
    """A chat endpoint at ``url``, with or without ``/v1``.

    The key is OPENAI_API_KEY, if set. Requests go only to ``url``, through no proxy. A request is
    given up after ``timeout`` seconds without a token; ``context`` is the longest prompt in tokens.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        max_tokens: int = 400,
        context: int = 6000,
        timeout: float = 60.0,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise ChatError(
                f"{url!r} is not the address of a chat endpoint: it must look like "
                "http://localhost:11434/v1"
            )
        if not model:
            raise ChatError(f"no model chosen at {url}: name one with --chat-model")
        self._url = url.rstrip("/")
        if not urlsplit(self._url).path.endswith("/v1"):
            self._url += "/v1"
        self._model = model
        self._max_tokens = max_tokens
        self.name = f"{model} at {self._url}"
        self.context = context
        self._timeout = timeout

    def load(self) -> None:
        """Request one token, so that the endpoint loads the model and mistakes show early."""
        asyncio.run(self._read([Message("user", "Hi")], 1, lambda delta: True))

    def prepare(self, messages: Sequence[Message]) -> None:
        """Do nothing: the endpoint manages its own cache."""

    def stream(self, messages: Sequence[Message], cancelled: Callable[[], bool]) -> Iterator[str]:
        channel: Channel[str] = Channel(cancelled)
        feed(channel, lambda: asyncio.run(self._produce(messages, channel)), "chat")
        return iter(channel)

    def close(self) -> None:
        """Do nothing: each request closes its connection."""

    async def _produce(self, messages: Sequence[Message], channel: Channel[str]) -> None:
        """Read a reply into ``channel``; close the connection as soon as the channel is stopped.

        Waiting for the next token could block an endpoint that serves one request at a time.
        """
        reading = asyncio.create_task(self._read(messages, self._max_tokens, channel.put))
        while not reading.done():
            if channel.stopped:
                reading.cancel()
            await asyncio.wait([reading], timeout=_CANCEL_POLL_S)
        if not reading.cancelled():
            reading.result()

    async def _read(
        self, messages: Sequence[Message], max_tokens: int, take: Callable[[str], bool]
    ) -> None:
        """Pass the reply's pieces to ``take`` until it returns false. Raises: ChatError."""
        import openai

        begun = finished = False
        try:
            async with (
                self._client() as client,
                await client.chat.completions.create(
                    model=self._model,
                    messages=[{"role": m.role, "content": m.content} for m in messages],
                    max_tokens=max_tokens,
                    stream=True,
                ) as chunks,
            ):
                async for chunk in chunks:
                    begun = True
                    for choice in chunk.choices:
                        finished = finished or choice.finish_reason is not None
                        if choice.delta.content and not take(choice.delta.content):
                            return
        except openai.APITimeoutError as error:
            raise ChatError(f"no answer from {self.name} for {self._timeout:.0f} s") from error
        except openai.NotFoundError as error:
            raise ChatError(
                f"{self.name} was not found ({_detail(error)}): check the address and the model"
            ) from error
        except openai.APIStatusError as error:
            raise ChatError(
                f"{self.name} answered {error.status_code}: {_detail(error)}"
            ) from error
        except openai.APIConnectionError as error:
            why = error.__cause__ or error
            if begun:
                raise ChatError(f"lost the connection to {self.name}: {why}") from error
            raise ChatError(f"cannot reach {self.name} ({why}): is it running?") from error
        except openai.APIError as error:
            raise ChatError(f"{self.name} failed: {_detail(error)}") from error
        except (ValueError, TypeError, AttributeError) as error:
            # The client raises these on bad JSON, bad UTF-8 or missing fields.
            raise ChatError(f"{self.name} sent no valid chat completion: {error}") from error
        if not finished:
            raise ChatError(f"{self.name} stopped in the middle of its reply")

    def _client(self) -> Any:
        import openai

        return openai.AsyncOpenAI(
            base_url=self._url,
            api_key=os.environ.get("OPENAI_API_KEY") or "none",
            max_retries=0,
            timeout=openai.Timeout(self._timeout, connect=_CONNECT_TIMEOUT_S),
            # Reading the certificates takes longer than a local connection.
            http_client=openai.DefaultAsyncHttpxClient(
                trust_env=False, verify=self._url.startswith("https"), follow_redirects=False
            ),
        )


def _detail(error: Exception) -> str:
    body = getattr(error, "body", None)
    return in_a_line(str(body.get("message", body)) if isinstance(body, dict) else str(error))
