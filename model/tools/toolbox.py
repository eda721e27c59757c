"""The tools of a conversation, and running one: bounded in time and size, and cancellable."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from audio_io.worker import Worker
from model.errors import ToolError
from model.events import ToolOutcome
from model.lite.failures import in_a_line
from model.playback.timers import Timers
from model.tools.tool import Arguments, Tool, ToolCall, ToolResult

MOST_CHARACTERS = 4_000
"""Longest result that a model is given."""

log = logging.getLogger(__name__)


class Toolbox:
    """The ``tools`` of one conversation, whose names differ. ``close`` frees what they use;
    ``timers`` are those that they set."""

    def __init__(
        self,
        tools: Sequence[Tool],
        close: Callable[[], None] = lambda: None,
        timers: Timers | None = None,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self.close = close
        self.timers = timers or Timers()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tools."""
        return tuple(self._tools)

    def declared(self) -> list[dict[str, Any]]:
        """Return the tools as a chat endpoint is told of them."""
        return [tool.declared() for tool in self._tools.values()]

    def find(self, call: ToolCall) -> tuple[Tool, Arguments]:
        """Return the tool that is called, and the arguments. Raises: ToolError."""
        tool = self._tools.get(call.name)
        if tool is None:
            raise ToolError(f"there is no tool {call.name!r}, only {', '.join(self._tools)}")
        return tool, call.parsed()


class RunningTool:
    """A call of ``tool`` under way, on a thread of its own that nobody waits for."""

    def __init__(self, tool: Tool, arguments: Arguments) -> None:
        self._tool = tool
        self._arguments = arguments
        self._ends_at = time.monotonic() + tool.limit_s
        self._stop = threading.Event()
        self._done = threading.Event()
        self._result = ToolResult(ToolOutcome.FAILED, "")
        Worker(self._work, "tool").start()

    def wait(self, seconds: float) -> ToolResult | None:
        """Wait up to ``seconds`` for the result; None while there is none."""
        left = self._ends_at - time.monotonic()
        if self._done.wait(max(0.0, min(seconds, left))):
            return self._result
        if left > seconds:
            return None
        self.stop()
        limit = f"{self._tool.limit_s:g} s"
        return ToolResult(
            ToolOutcome.FAILED, f"{self._tool.name} gave no result within {limit} and was stopped"
        )

    def stop(self) -> None:
        """Let the tool end soon; its result is not waited for."""
        self._stop.set()

    def _work(self) -> None:
        name = self._tool.name
        try:
            text = self._tool.run(self._arguments, self._stop.is_set)
            self._result = ToolResult(ToolOutcome.DONE, trimmed(text))
        except ToolError as error:
            self._result = ToolResult(ToolOutcome.FAILED, trimmed(in_a_line(str(error))))
        except Exception as error:  # noqa: BLE001 - whatever a tool raises, the talk goes on
            # Neither arguments nor results may be logged, and a message may quote them.
            kind = type(error).__name__
            log.error("the tool %s failed: %s", name, kind)
            self._result = ToolResult(ToolOutcome.FAILED, f"{name} failed: internal error ({kind})")
        finally:
            self._done.set()


def trimmed(text: str) -> str:
    """Return ``text`` without control characters, cut to what a model is given."""
    text = text.strip()
    begin = text[:MOST_CHARACTERS]  # the rest may be of megabytes
    shown = "".join(c if c.isprintable() or c in "\n\t" else " " for c in begin).strip()
    if len(text) <= MOST_CHARACTERS:
        return shown or "(done; there is no output)"
    return f"{shown} … (cut: {len(text):,} characters in all)"
