"""MCP servers of the user's own as tools, through the official `mcp` package."""

from __future__ import annotations

import asyncio
import codecs
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from encodings import utf_8
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from audio_io.worker import Worker, join_all
from model.errors import ToolError
from model.jobs.channel import Cancelled
from model.lite.failures import in_a_line
from model.secrets import hide_in, without_secrets
from model.tools.tool import LIMIT_S, Arguments, Tool

if TYPE_CHECKING:
    import psutil

CONNECT_S = 15.0
"""Longest wait for a server to start and to tell its tools."""

_POLL_S = 0.02
_CLOSE_S = 0.5
"""Seconds after which a server that was told to end is killed."""
_MOST_PAGES = 20
_LONGEST_MESSAGE = 4_000_000
"""Characters of a server's message; what follows is dropped, so the message is never answered. The
package joins the pieces of a message in quadratic time, of any length."""
_ENCODING = "covo_mcp_utf_8"


@dataclass(frozen=True, slots=True)
class McpSource:
    """How to reach a server: a ``command`` with ``env`` besides a few variables, or a ``url``.

    ``only``: its tools to offer, empty for all. ``trusted``: those that are used without asking;
    the others are asked about unless the server calls them read-only.
    """

    name: str
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    url: str = ""
    only: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    limit_s: float = LIMIT_S


class _BoundedDecoder(utf_8.IncrementalDecoder):
    """Decodes UTF-8, and drops what is over the limit of a line."""

    _length = 0

    def decode(self, data: Any, final: bool = False) -> str:
        first, newline, others = super().decode(data, final).partition("\n")
        self._length += len(first)
        if self._length > _LONGEST_MESSAGE:
            first = ""
        if newline:
            self._length = len(others.rpartition("\n")[2])
        return first + newline + others


def _bounded(name: str) -> codecs.CodecInfo | None:
    if name != _ENCODING:
        return None
    return codecs.CodecInfo(utf_8.encode, utf_8.decode, incrementaldecoder=_BoundedDecoder)


codecs.register(_bounded)


class McpServer:
    """A connection to ``source``, on a thread of its own.

    The server's stderr is dropped, and so is what the package logs: either may quote arguments.
    """

    def __init__(self, source: McpSource) -> None:
        # A server may repeat the keys that it is given.
        hide_in(source.url)
        hide_in("?" + "&".join((*source.command, urlencode(source.env, quote_via=quote))))
        self._source = source
        self._ready = threading.Event()
        self._failure = ""
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._started: set[psutil.Process] = set()
        self._worker = Worker(lambda: asyncio.run(self._serve()), "mcp")

    def connect(self) -> list[Tool]:
        """Start the server and return its tools. Raises: ToolError."""
        logging.getLogger("mcp").setLevel(logging.CRITICAL + 1)
        self._worker.start()
        if not self._ready.wait(CONNECT_S):
            self.close()
            raise self._error(f"no answer within {CONNECT_S:g} s")
        if self._failure:
            raise self._error(self._failure)
        found = self._wait_for(self._list(), lambda: False, CONNECT_S)
        names = [tool.name for tool in found]
        if missing := [name for name in self._source.only if name not in names]:
            raise self._error(f"it has no tool {missing[0]}, only {', '.join(names)}")
        return [self._tool(t) for t in found if t.name in (self._source.only or names)]

    def close(self, wait_s: float = _CLOSE_S) -> None:
        """Disconnect, and kill what was started and lives after ``wait_s``. Safe to call twice."""
        self.stop()
        if self._worker.is_alive() and join_all([self._worker], wait_s):
            for process in self._started:
                _kill(process)

    def stop(self) -> None:
        """Let the connection end soon, also one that is still being made."""
        task, self._task = self._task, None  # once: a second time would break off the stopping
        if self._loop is not None and task is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(task.cancel)

    async def _serve(self) -> None:
        # Before the imports, which take a second: it may be stopped meanwhile.
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        from mcp import Client, StdioServerParameters, stdio_client
        from mcp.client.streamable_http import streamable_http_client

        source = self._source
        try:
            with Path(os.devnull).open("w") as dropped:
                transport: Any
                if source.command:
                    program, *rest = source.command
                    env = dict(source.env)
                    about = StdioServerParameters(
                        command=program, args=rest, env=env, encoding=_ENCODING
                    )
                    transport = self._watched(stdio_client(about, errlog=dropped))
                else:
                    transport = streamable_http_client(source.url)
                async with Client(transport) as self._client:
                    self._ready.set()
                    await asyncio.Event().wait()
        except asyncio.CancelledError:
            self._failure = "the connection was closed"
        except Exception as error:  # noqa: BLE001 - the connection is over, whatever the reason
            self._failure = _why(error)
        finally:
            self._client = None
            self._ready.set()

    @asynccontextmanager
    async def _watched(self, transport: Any) -> AsyncIterator[Any]:
        """Note which processes ``transport`` starts; it would wait 4 s for them to end."""
        before = _children()
        async with transport as streams:
            self._started = _children() - before
            yield streams

    async def _list(self) -> list[Any]:
        found: list[Any] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self._client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if not cursor:
                break
        return found

    def _tool(self, about: Any) -> Tool:
        def run(arguments: Arguments, stop: Cancelled) -> str:
            if self._client is None:
                raise self._error(self._failure or "the connection was closed")
            asked = self._client.call_tool(about.name, dict(arguments))
            return self._text(self._wait_for(asked, stop, self._source.limit_s))

        read_only = bool(about.annotations and about.annotations.read_only_hint)
        name = f"{self._source.name}_{about.name}"
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in name)
        return Tool(
            safe[:64],
            about.description or about.title or about.name,
            about.input_schema,
            run,
            self._source.limit_s,
            effects=not (read_only or about.name in self._source.trusted),
        )

    def _text(self, result: Any) -> str:
        texts = [part.text for part in result.content if part.type == "text"]
        others = sorted({part.type for part in result.content if part.type != "text"})
        if result.is_error:
            raise self._error(in_a_line(" ".join(texts)) or "it failed without a reason")
        if others and not texts:
            raise self._error(f"it returned no text but {', '.join(others)}")
        return "\n".join(texts)

    def _wait_for(self, work: Coroutine[Any, Any, Any], stop: Cancelled, limit_s: float) -> Any:
        """Do ``work`` on the connection's thread and return what it returns. Raises: ToolError."""
        if self._loop is None:
            raise self._error("it is not connected")
        asked = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, limit_s), self._loop)
        while True:
            try:
                return asked.result(_POLL_S)
            except TimeoutError as error:
                if asked.done():
                    raise self._error(f"no answer within {limit_s:g} s") from error
                if stop() or not self._worker.is_alive():
                    asked.cancel()
                    raise self._error("the call was stopped") from error
            except (Exception, CancelledError) as error:
                raise self._error(_why(error)) from error

    def _error(self, why: str) -> ToolError:
        return ToolError(f"the tool server {self._source.name}: {why}")


def connect_all(
    sources: Sequence[McpSource],
) -> tuple[list[Tool], Callable[[], None]]:
    """Connect to all ``sources``; return their tools and what closes the connections.

    Raises: ToolError; no connection is then left.
    """
    servers = [McpServer(source) for source in sources]

    def close() -> None:
        for server in servers:
            server.stop()
        end = time.monotonic() + _CLOSE_S
        for server in servers:
            server.close(max(0.0, end - time.monotonic()))

    try:
        return [tool for server in servers for tool in server.connect()], close
    except ToolError:
        close()
        raise


def _children() -> set[psutil.Process]:
    import psutil

    return set(psutil.Process().children())


def _kill(process: psutil.Process) -> None:
    """Kill ``process``, and what it started."""
    import psutil

    with suppress(psutil.Error):
        for one in (*process.children(recursive=True), process):
            one.kill()


def _why(error: BaseException) -> str:
    """Return the first reason in ``error``, which may be a group, on one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return without_secrets(in_a_line(str(error))) or type(error).__name__
