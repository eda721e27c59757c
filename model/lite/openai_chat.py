"""A chat model behind an OpenAI-compatible endpoint of the user's own: Ollama, llama.cpp, vLLM."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from model.errors import ChatError
from model.lite.channel import Channel, feed
from model.lite.chat import Message

_CONNECT_TIMEOUT = 5.0


class OpenAIChat:
    """``url`` with or without ``/v1``; ``model`` as the endpoint calls it.

    The key is that of OPENAI_API_KEY, if it is set. Nothing is sent anywhere but to ``url``, and no
    proxy is used. ``timeout``: seconds without a word until it is given up. ``context``: tokens
    that a prompt may have.
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
                f"{url!r} is not the address of a chat endpoint; one looks like "
                "http://localhost:11434/v1"
            )
        if not model:
            raise ChatError(f"which model at {url}? Name it with --chat-model")
        self._url = url.rstrip("/")
        if not urlsplit(self._url).path.endswith("/v1"):
            self._url += "/v1"
        self._model = model
        self._max_tokens = max_tokens
        self._context = context
        self._timeout = timeout
        self._client: Any = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return f"{self._model} at {self._url}"

    @property
    def context(self) -> int:
        return self._context

    def load(self) -> None:
        """Ask the endpoint for one token: it loads the model now, and mistakes show early."""
        for _ in self._deltas([Message("user", "Hi")], 1):
            pass

    def prepare(self, messages: Sequence[Message]) -> None:
        """Nothing: what the endpoint keeps is its own business."""

    def stream(self, messages: Sequence[Message], cancelled: Callable[[], bool]) -> Iterator[str]:
        channel: Channel[str] = Channel(cancelled)

        def produce() -> None:
            for delta in self._deltas(messages, self._max_tokens):
                if not channel.put(delta):
                    break

        feed(channel, produce, "chat")
        return iter(channel)

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _deltas(self, messages: Sequence[Message], max_tokens: int) -> Iterator[str]:

        import openai

        begun = finished = False
        try:
            with self._connected().chat.completions.create(
                model=self._model,
                messages=[{"role": m.role, "content": m.content} for m in messages],
                max_tokens=max_tokens,
                stream=True,
            ) as chunks:
                for chunk in chunks:
                    begun = True
                    for choice in chunk.choices:
                        finished = finished or choice.finish_reason is not None
                        if choice.delta.content:
                            yield choice.delta.content
        except openai.APITimeoutError as error:
            raise ChatError(f"{self.name} said nothing for {self._timeout:.0f} s") from error
        except openai.NotFoundError as error:
            raise ChatError(
                f"{self.name} was not found ({_detail(error)}); is the model there, and the "
                "address right?"
            ) from error
        except openai.APIStatusError as error:
            raise ChatError(
                f"{self.name} answered {error.status_code}: {_detail(error)}"
            ) from error
        except openai.APIConnectionError as error:
            why = error.__cause__ or error
            if begun:
                raise ChatError(f"the connection to {self.name} broke off: {why}") from error
            raise ChatError(f"cannot reach {self.name} ({why}); is it running?") from error
        except openai.APIError as error:
            raise ChatError(f"{self.name} failed: {_detail(error)}") from error
        if not finished:
            raise ChatError(f"{self.name} stopped in the middle of its reply")

    def _connected(self) -> Any:
        import openai

        with self._lock:
            if self._client is None:
                self._client = openai.OpenAI(
                    base_url=self._url,
                    api_key=os.environ.get("OPENAI_API_KEY") or "none",
                    max_retries=0,
                    timeout=openai.Timeout(self._timeout, connect=_CONNECT_TIMEOUT),
                    http_client=openai.DefaultHttpxClient(trust_env=False),
                )
            return self._client


def _detail(error: Exception) -> str:
    body = getattr(error, "body", None)
    text = str(body.get("message", body)) if isinstance(body, dict) else str(error)
    return " ".join(text.split())[:200]
