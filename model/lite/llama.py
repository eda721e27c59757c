"""A GGUF file in llama.cpp's server in this process (xllamacpp), loaded once for all its users."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model.engine import Progress
from model.errors import ChatError
from model.lite.gguf import check_gguf, start_server, try_gguf

_CLOSE_S = 1.0
"""How long closing waits for a prompt being read, which cannot be cancelled."""
_PROPERTIES_S = 5.0
"""Longest wait for what the server tells of itself."""
_TOOL_SKILLS = ("supports_tools", "supports_tool_calls")

Receive = Callable[[dict[str, Any]], bool]
"""Takes a chunk of an answer; returns true to stop."""

log = logging.getLogger(__name__)


class LlamaModel:
    """The GGUF file at ``path``.

    Each user takes a :meth:`slot` before the first of them loads it; the last to close frees it. A
    file that is not ``pinned`` (its bytes were not compared with ours) is tried in a process of its
    own before it is loaded.
    """

    def __init__(self, path: Path, *, threads: int = 2, pinned: bool = False) -> None:
        self.path = path
        self._threads = threads
        self._pinned = pinned
        self._slots: list[LlamaSlot] = []
        self._open: set[LlamaSlot] = set()
        self._key = secrets.token_urlsafe(32)
        self._server: Any = None
        self._skilled: bool | None = None
        self._loading = threading.Lock()
        self._lock = threading.Lock()  # held for a moment only

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    def slot(self, context: int, *, first: bool = False) -> LlamaSlot:
        """Return a slot of ``context`` tokens for one user.

        llama.cpp computes what all slots ask in one batch. Of a long prompt in another slot, one
        that comes ``first`` waits for one batch at most. Raises: ChatError once it is loaded.
        """
        with self._loading, self._lock:
            if self._server is not None:
                raise ChatError(f"the chat model {self.name} is loaded already")
            taken = LlamaSlot(self, context)
            self._slots.insert(0 if first else len(self._slots), taken)
            self._open.add(taken)
            return taken

    def server(self, slot: LlamaSlot, progress: Progress) -> tuple[Any, int]:
        """Return the server and the number of ``slot``; load it first if that was not done.

        Raises: ChatError.
        """
        with self._loading:
            if self._server is None and not slot.closed:
                self._keep(self._start(slot, progress))
            with self._lock:
                if slot.closed:
                    raise ChatError(f"the chat model {self.name} was closed")
                return self._server, self._slots.index(slot)

    def leave(self, slot: LlamaSlot) -> None:
        """Give ``slot`` up, and the memory with the last one. Does not wait for a loading."""
        with self._lock:
            self._open.discard(slot)
            if not self._open:
                self._server = None

    def skilled_in_tools(self, server: Any) -> bool | None:
        """Return whether the chat template of the file, which ``server`` serves, knows tools; None
        if the server does not tell this time."""
        import httpx2

        if self._skilled is None:
            try:
                properties = (
                    httpx2.get(
                        f"{server.listening_address}/props",
                        headers={"Authorization": f"Bearer {self._key}"},
                        timeout=_PROPERTIES_S,
                        trust_env=False,
                    )
                    .raise_for_status()
                    .json()
                )
            except (httpx2.HTTPError, OSError, ValueError):
                log.exception("llama.cpp does not tell what the template of %s knows", self.name)
                return None
            told = properties.get("chat_template_caps") if isinstance(properties, dict) else None
            skills = told if isinstance(told, dict) else {}
            self._skilled = all(skills.get(skill) is True for skill in _TOOL_SKILLS)
        return self._skilled

    def _keep(self, server: Any) -> None:
        """Keep what was loaded, unless everybody has left meanwhile."""
        with self._lock:
            if self._open:
                self._server = server

    def _start(self, slot: LlamaSlot, progress: Progress) -> Any:
        check_gguf(self.path)
        context = max(one.context for one in self._slots)
        if not self._pinned:
            progress(f"trying {self.name}")
            try_gguf(self.path, context=context, cancelled=lambda: slot.closed)
            progress(f"loading {self.name}")
        return start_server(
            self.path,
            context=context,
            threads=self._threads,
            slots=len(self._slots),
            key=self._key,
        )


class LlamaSlot:
    """One user's part of a :class:`LlamaModel`, with a cache of its own: of a prompt that begins
    like the last one, only new tokens are read. One request at a time."""

    def __init__(self, model: LlamaModel, context: int) -> None:
        self.context = context
        self._model = model
        self._busy = threading.Lock()
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        """Whether it was given up."""
        return self._closed.is_set()

    def load(self, progress: Progress = lambda stage: None) -> None:
        """Load the model unless it is loaded. Raises: ChatError."""
        self._model.server(self, progress)

    def knows_tools(self) -> bool | None:
        """Return whether the model's chat template knows tools, None if that cannot be told now.
        Raises: ChatError."""
        server, _ = self._model.server(self, lambda stage: None)
        return self._model.skilled_in_tools(server)

    def chat(self, request: Mapping[str, Any], receive: Receive) -> None:
        """Answer a chat; ``request`` and chunks are in OpenAI's form. Raises: ChatError."""
        self._ask("handle_chat_completions", request, receive)

    def complete(self, request: Mapping[str, Any], receive: Receive) -> None:
        """Go on with a text, as :meth:`chat` does with messages. Raises: ChatError."""
        self._ask("handle_completions", request, receive)

    def close(self) -> None:
        """Give the slot up, waiting up to 1 s for a prompt being read; after a longer one it is
        given up by whoever asked. Safe to call twice."""
        self._closed.set()
        if self._busy.acquire(timeout=_CLOSE_S):
            try:
                self._model.leave(self)
            finally:
                self._busy.release()

    def _ask(self, way: str, request: Mapping[str, Any], receive: Receive) -> None:
        with self._busy:
            try:
                server, number = self._model.server(self, lambda stage: None)
                asked = {**request, "id_slot": number, "cache_prompt": True}
                getattr(server, way)(asked, receive)
            except RuntimeError as error:
                raise ChatError(f"the chat model {self._model.name} failed: {error}") from error
            finally:
                if self.closed:
                    self._model.leave(self)
