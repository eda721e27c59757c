"""Chat models: what was said so far in, the assistant's next words out, streamed.

The embedded one is here; :mod:`model.lite.openai_chat` is for an endpoint of the user's own.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from model.errors import ChatError
from model.jobs.channel import Channel, feed

_MAY_RECUR = 8
"""Tokens that may come again without the DRY sampler's penalty: an answer may echo its question."""

_CLOSE_SECONDS = 10.0
"""How long closing waits for a prompt that is being read."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; ``role`` is ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next words are chosen. ``max_tokens`` bounds a reply's length.

    ``dry`` is the strength of llama.cpp's DRY sampler, which penalises going on in words that are
    there already; ``repeat_penalty`` penalises single tokens. Temperature 0: the same words for
    the same conversation.
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
        """The model's name, for people."""

    @property
    def context(self) -> int:
        """Tokens that a prompt may have."""

    def load(self) -> None:
        """Make it ready to answer. Raises: ChatError."""

    def prepare(self, messages: Sequence[Message]) -> None:
        """Read ``messages`` ahead of the reply, as far as that makes the reply come sooner.

        Raises: ChatError.
        """

    def stream(self, messages: Sequence[Message], cancelled: Callable[[], bool]) -> Iterator[str]:
        """The reply to ``messages``, piece by piece; stops soon after ``cancelled()`` is true.

        Raises: ChatError.
        """

    def close(self) -> None:
        """Give back memory. Safe to call twice."""


class LlamaChat:
    """A GGUF model run in this process by llama.cpp (xllamacpp's in-process server).

    There is one KV cache, which keeps what the last prompt and reply have in common with the next
    prompt: only new words are read. ``context`` is in tokens.
    """

    def __init__(
        self, model: Path, sampling: Sampling, *, context: int = 2048, threads: int = 2
    ) -> None:
        self._model = model
        self._sampling = sampling
        self._context = context
        self._threads = threads
        self._server: Any = None
        self._lock = threading.Lock()
        self._busy = threading.Lock()
        self._closed = threading.Event()

    @property
    def name(self) -> str:
        return self._model.stem

    @property
    def context(self) -> int:
        return self._context - self._sampling.max_tokens

    def load(self) -> None:
        with self._lock:
            if self._closed.is_set():
                raise ChatError(f"the chat model {self.name} has been closed")
            if self._server is None:
                self._server = self._start()

    def prepare(self, messages: Sequence[Message]) -> None:
        self._complete(messages, 1, lambda _: True)

    def stream(self, messages: Sequence[Message], cancelled: Callable[[], bool]) -> Iterator[str]:
        channel: Channel[str] = Channel(cancelled)

        def produce() -> None:
            self._complete(messages, self._sampling.max_tokens, channel.put)

        feed(channel, produce, "chat")
        return iter(channel)

    def close(self) -> None:
        """Give back memory. A prompt that is being read cannot be broken off: then it waits 10 s,
        and leaves the rest to the end of the process. Safe to call twice."""
        self._closed.set()
        if self._busy.acquire(timeout=_CLOSE_SECONDS):
            try:
                with self._lock:
                    self._server = None
            finally:
                self._busy.release()

    def _complete(
        self, messages: Sequence[Message], max_tokens: int, take: Callable[[str], bool]
    ) -> None:
        """Write up to ``max_tokens`` tokens, handing them to ``take`` until it returns false."""
        self.load()
        # The server swallows what the callback raises, so that only this is left of an error.
        problem = "it stopped without finishing its reply"

        def receive(chunk: dict[str, Any]) -> bool:
            nonlocal problem
            if "error" in chunk:
                problem = str(chunk["error"].get("message", chunk["error"]))
                return True
            for choice in chunk.get("choices", ()):
                delta = choice["delta"].get("content")
                stop = self._closed.is_set() or (bool(delta) and not take(delta))
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
        }
        with self._busy:
            if self._closed.is_set():
                raise ChatError(f"the chat model {self.name} has been closed")
            try:
                self._server.handle_chat_completions(request, receive)
            except RuntimeError as error:
                raise ChatError(f"the chat model {self.name} failed: {error}") from error
        if problem:
            raise ChatError(f"the chat model {self.name} failed: {problem}")

    def _start(self) -> Any:
        check_gguf(self._model)
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(self._model)
        params.n_ctx = self._context
        params.n_parallel = 1
        params.n_gpu_layers = 0
        # Its threads wait for each other at every layer. With as many as there are cores, any other
        # work on the machine holds up all of them: on two cores with one busy, 31 tokens/s on two
        # threads and 66 on one. Reading a prompt has fewer such points and gains from more threads.
        params.cpuparams.n_threads = max(1, self._threads - 1)
        params.cpuparams_batch.n_threads = self._threads
        params.cpuparams.poll = params.cpuparams_batch.poll = 0
        params.cache_ram_mib = 0  # by default it would keep 8 GB of old prompts
        params.verbosity = -1
        # The server also listens on a local port, which we do not use: let nobody else use it.
        params.api_keys = [secrets.token_urlsafe(32)]
        params.ui = False
        params.endpoint_slots = False
        try:
            return xllamacpp.Server(params)
        except RuntimeError as error:
            raise ChatError(
                f"{self._model} could not be loaded as a chat model ({error}); is it a complete "
                "GGUF file of a chat model that fits the memory?"
            ) from error


def check_gguf(path: Path) -> None:
    """Make sure that ``path`` is a GGUF file. Raises: ChatError."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ChatError(f"the chat model {path} cannot be read: {error.strerror}") from error
    if magic != b"GGUF":
        raise ChatError(f"{path} is not a GGUF file; give a chat model in GGUF format")
