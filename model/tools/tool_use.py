"""Let a chat model use tools while it replies: call, wait, tell it the results, read on."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from model.errors import ChatError, ToolError
from model.events import ToolOutcome
from model.jobs.channel import Cancelled
from model.lite.chat import Message, ToolCallingChat
from model.lite.failures import in_a_line
from model.lite.prompt import ToolRound
from model.lite.reply_reader import ChatPart, ToolCalls
from model.lite.tool_calls import new_call_id
from model.reply import ReplyToolCall, ReplyToolResult, ReplyWaits, ToolPart, UserTurn
from model.tools.confirmation import says_yes
from model.tools.tool import Arguments, Tool, ToolCall, ToolResult
from model.tools.toolbox import RunningTool, Toolbox, trimmed

MOST_ROUNDS = 5
"""Times that a reply may call tools."""
MOST_CALLS = 10
"""Calls of a reply."""
SLOW_S = 1.0
"""Seconds of a call after which the user is told to wait."""

_POLL_S = 0.02
_ONE_MOMENT = {"en": "One moment. ", "es": "Un momento. ", "zh": "请稍等。"}
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_WAITS_FOR_YES = "not run yet: the user is being asked, and it runs once they say yes"
_ONE_AT_A_TIME = "not run: the user can be asked about one call at a time; call it again later"
_TOO_MANY = f"not run: a reply may call {MOST_CALLS} tools"


@dataclass(slots=True)
class _Asked:
    """Reply ``reply`` asked whether to make ``call``. ``heard``: the user has heard it ask."""

    reply: int
    call: ToolCall
    heard: bool = False


class ToolUse:
    """The use of the tools in ``box`` by ``chat``, in one conversation."""

    def __init__(self, chat: ToolCallingChat, box: Toolbox) -> None:
        self.chat = chat
        self.box = box
        self.numbers = itertools.count(1)
        """Counts the calls."""
        self._asked: _Asked | None = None

    def begin(self, reply_id: int, turn: UserTurn, language: str = "en") -> ToolReply:
        """Return what writes the reply ``reply_id`` to ``turn``. ``language``: the only one of its
        voice, or English."""
        return ToolReply(self, reply_id, turn, language)

    def prepare(self, messages: Sequence[Message]) -> None:
        """Let the chat model read ``messages`` ahead. Raises: ChatError."""
        self.chat.prepare_with_tools(messages, self.box.declared())

    @property
    def tokens(self) -> int:
        """An estimate of the tokens that telling of the tools takes."""
        return len(json.dumps(self.box.declared())) // 3

    def ask(self, reply_id: int, call: ToolCall) -> None:
        """Note that reply ``reply_id`` asks whether to make ``call``."""
        self._asked = _Asked(reply_id, call)

    def agreed_to(self, turn: UserTurn) -> ToolCall | None:
        """Return the call to which ``turn`` says yes. A question that was not heard can only be
        answered by typing: it was shown."""
        asked = self._asked
        if asked is None or not (asked.heard or not len(turn.audio)):
            return None
        return asked.call if says_yes(turn.text or "") else None

    def settle(self, reply_id: int, heard: str | None) -> None:
        """Note what was heard of a reply; None: it never happened."""
        asked = self._asked
        if asked is None or (asked.reply != reply_id and heard is None):
            return
        if asked.reply == reply_id and heard is not None:
            asked.heard = bool(heard.strip())
        else:
            self._asked = None

    def forget_question(self) -> None:
        """Forget what was asked."""
        self._asked = None


@dataclass(slots=True)
class _Round:
    """Tools that were called after the text from ``begin`` to ``end`` was written."""

    begin: int
    end: int
    calls: tuple[ToolCall, ...]
    results: tuple[str, ...] = ()

    def after(self, said: str) -> ToolRound:
        return ToolRound(said, self.calls, self.results)


class ToolReply:
    """One reply in which tools may be used."""

    def __init__(self, use: ToolUse, reply_id: int, turn: UserTurn, language: str) -> None:
        self._use = use
        self._reply = reply_id
        self._turn = turn
        self._language = language
        self._rounds: list[_Round] = []
        self._text = ""
        self._called = 0
        self._question = ""
        self._asks: ToolCall | None = None  # what the question is about

    def stream(
        self, messages: Sequence[Message], stopped: Cancelled
    ) -> Iterator[ChatPart | ToolPart]:
        """Yield the reply to ``messages``, as a chat model does, and the use of tools in it.

        No tool is used before the turn is over. Raises: ChatError.
        """
        use = self._use
        if (agreed := use.agreed_to(self._turn)) is not None:
            again = (replace(agreed, id=new_call_id()),)
            yield from self._use_tools(again, 0, stopped, agreed=True)
        while not stopped():
            begin = len(self._text)
            calls: tuple[ToolCall, ...] = ()
            rounds, _ = self.heard(self._text)
            sent = [*messages, *(message for round_ in rounds for message in round_.messages())]
            for part in use.chat.stream_with_tools(sent, use.box.declared(), stopped):
                if isinstance(part, ToolCalls):
                    calls = part.calls
                else:
                    yield self._write(part)
            if not calls:
                return
            if len(self._rounds) >= MOST_ROUNDS:
                raise ChatError(
                    f"{use.chat.name} called tools {MOST_ROUNDS} times and still did not answer"
                )
            yield from self._use_tools(calls, begin, stopped)
            if self._asks is not None:
                yield self._write(self._question)
                use.ask(self._reply, self._asks)  # not reached if the reply was stopped
                return

    @property
    def used(self) -> bool:
        """Whether it has called any."""
        return bool(self._rounds)

    def heard(self, text: str, thought: int = 0) -> tuple[tuple[ToolRound, ...], str]:
        """Return the tools that were used, and the part of ``text`` after the last of them.

        ``text`` was heard of the reply; its first ``thought`` characters were thinking.
        """
        rounds = tuple(self._rounds)
        after = rounds[-1].end if rounds else 0
        used = tuple(found.after(text[max(found.begin, thought) : found.end]) for found in rounds)
        return used, text[max(after, thought) :]

    def _write(self, part: ChatPart) -> ChatPart:
        """Note ``part``; text after a tool is kept apart from the text before."""
        if isinstance(part, str):
            before = self._text[-1:]
            joins = self._rounds and len(self._text) == self._rounds[-1].end
            if joins and before and not (before.isspace() or part[:1].isspace()):
                part = f" {part}"
            self._text += part
        return part

    def _use_tools(
        self, calls: tuple[ToolCall, ...], begin: int, stopped: Cancelled, *, agreed: bool = False
    ) -> Iterator[ChatPart | ToolPart]:
        """Make ``calls`` once the turn is over; ``begin``: of the text before them."""
        while not self._turn.over():
            if stopped():
                return
            time.sleep(_POLL_S)
            yield ReplyWaits()
        if agreed:
            self._use.forget_question()
        present = _Round(begin, len(self._text), tuple(_repeatable(call) for call in calls))
        self._rounds.append(present)
        for call in calls:
            number = next(self._use.numbers)
            yield ReplyToolCall(number, call.name, call.arguments)
            result = yield from self._make(call, present, stopped, agreed=agreed)
            if stopped():
                return  # who stopped it tells how the call ended
            present.results += (result.text,)
            yield ReplyToolResult(number, call.name, result.outcome, result.text)

    def _make(
        self, call: ToolCall, present: _Round, stopped: Cancelled, *, agreed: bool
    ) -> Generator[ChatPart | ToolPart, None, ToolResult]:
        """Make ``call``, or ask whether to, and return what came of it."""
        self._called += 1
        if self._called > MOST_CALLS:
            return ToolResult(ToolOutcome.FAILED, _TOO_MANY)
        try:
            tool, arguments = self._use.box.find(call)
        except ToolError as error:
            return ToolResult(ToolOutcome.FAILED, trimmed(in_a_line(str(error))))
        if not tool.effects or agreed:
            return (yield from self._run(tool, arguments, present, stopped))
        if self._asks is not None:
            return ToolResult(ToolOutcome.FAILED, _ONE_AT_A_TIME)
        self._question, self._asks = tool.ask(arguments), call
        return ToolResult(ToolOutcome.ASKED, _WAITS_FOR_YES)

    def _run(
        self, tool: Tool, arguments: Arguments, present: _Round, stopped: Cancelled
    ) -> Generator[ChatPart | ToolPart, None, ToolResult]:
        running = RunningTool(tool, arguments)
        begun = time.monotonic()
        try:
            while (result := running.wait(_POLL_S)) is None:
                if stopped():
                    return ToolResult(ToolOutcome.CANCELLED, "")
                if not self._text and time.monotonic() - begun >= SLOW_S:
                    yield self._write(self._one_moment())
                    present.end = len(self._text)
                yield ReplyWaits()
        finally:
            running.stop()
        return result

    def _one_moment(self) -> str:
        chinese = _CHINESE.search(self._turn.text or "")
        return _ONE_MOMENT["zh" if chinese else self._language]


def _repeatable(call: ToolCall) -> ToolCall:
    """Return ``call`` as an endpoint can read it again: what is no JSON might be refused."""
    try:
        call.parsed()
    except ToolError:
        return replace(call, arguments="{}")
    return replace(call, arguments=call.arguments or "{}")
