"""Read a chat model's reply: its text for the listener, and why it ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.characters import WholeCharacters
from model.errors import ChatError
from model.lite.text.asides import Asides
from model.lite.tool_calls import CallReader
from model.reply import ReplyNotice
from model.tools.tool import ToolCall

_CHARACTERS_PER_TOKEN = 8
"""More than any tokenizer's average, so that only a model that ignores its limit is cut by it."""
_LONGEST_THINKING = 20
"""Longest thinking of such a model, in longest replies."""

_LENGTH, _FILTER = "length", "content_filter"
_REASONS = (
    (re.compile(r"length|max_?(?:output_?)?tokens", re.IGNORECASE), _LENGTH),
    (re.compile(r"filter|safety|sensitive|prohibited|block", re.IGNORECASE), _FILTER),
)
"""Other servers' words for OpenAI's."""
_USUAL = re.compile(r"stop|end|eos|complete|finish|done|tool|function", re.IGNORECASE)
"""What the reason of a reply that its model ended contains."""


@dataclass(frozen=True, slots=True)
class ThoughtAloud:
    """What the model has written so far was thinking; the reply begins now."""


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """The model calls these tools, and waits for their results."""

    calls: tuple[ToolCall, ...]


ChatPart = str | ReplyNotice | ThoughtAloud
"""A piece of the reply, or something about it."""


class ReplyReader:
    """Reads the messages of one reply of the model ``name``, limited to ``max_tokens``.

    ``thinks_first``: see :class:`~model.lite.text.asides.Asides`. ``tools``: it was offered some.
    """

    def __init__(
        self, name: str, max_tokens: int, *, thinks_first: bool = False, tools: bool = False
    ) -> None:
        self._name = name
        self._max_tokens = max_tokens
        self._characters = WholeCharacters()
        self._asides = Asides(thinks_first=thinks_first)
        self._thinks_first = thinks_first
        self._reason = ""
        self._offered = tools
        self._calls = CallReader()
        self._thinking = False
        self._late = False
        self.characters = 0
        """Characters that came, hidden ones included."""
        self._shown = 0

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tools that the model calls, once it has ended its reply; none unless offered."""
        return self._calls.calls if self._offered and not self.endless else ()

    @property
    def finished(self) -> bool:
        """Whether the model ended its reply."""
        return bool(self._reason)

    @property
    def endless(self) -> bool:
        """Whether the model goes on although the limit is far behind."""
        limit = self._max_tokens * _CHARACTERS_PER_TOKEN
        return self._shown > limit or self.characters > limit * _LONGEST_THINKING

    @property
    def enough(self) -> bool:
        """Whether what is still to come is not for the listener."""
        return self.endless or self._asides.next_turn

    @property
    def cut_early(self) -> bool:
        """Whether something other than the reply's limit cut it, such as a full context."""
        return self._reason == _LENGTH and self.characters < self._max_tokens

    @property
    def thinks_first(self) -> bool:
        """Whether the next reply must be expected to begin with thinking."""
        return self._asides.closed_late or (self._thinks_first and self._thinking_seen)

    def read(self, message: Mapping[str, Any], reason: str | None) -> list[ChatPart]:
        """Take in a message or a part of one, and why it ended the reply, if it did.

        Raises: ValueError for content that is no text.
        """
        hidden = _text_of(message.get("reasoning_content") or message.get("reasoning"))
        if hidden.strip():
            self._thinking = True
        self.characters += self._calls.read(message.get("tool_calls") or ())
        text = _text_of(message.get("content")) or _text_of(message.get("refusal"))
        text = self._characters.feed(text)
        self.characters += len(hidden) + len(text)
        self._reason = self._reason or _openai_reason(reason)
        return self._hand_out(self._asides.feed(text)) if text else []

    def end(self) -> list[ChatPart]:
        """End the reply and return its rest.

        Raises: ChatError if nothing was for the listener and there are no :attr:`calls`.
        """
        parts = self._hand_out(self._asides.end(cut=self._reason == _LENGTH))
        if self._shown == 0 and not self.calls:
            raise ChatError(f"{self._name} {self._silence()}")
        if self.endless or (self._reason == _LENGTH and not self.cut_early):
            limit = f"{self._max_tokens} tokens (chat.max_tokens)"
            parts.append(ReplyNotice("info", f"the reply was cut at its limit of {limit}"))
        elif self._reason == _LENGTH:
            parts.append(ReplyNotice("warning", "the reply was cut: the model's context is full"))
        elif self._reason == _FILTER:
            parts.append(ReplyNotice("warning", f"{self._name} cut the reply: its content filter"))
        elif self._reason and not _USUAL.search(self._reason):
            parts.append(ReplyNotice("warning", f"{self._name} broke off: {self._reason}"))
        return parts

    @property
    def _thinking_seen(self) -> bool:
        return self._thinking or self._asides.thinking

    def _hand_out(self, text: str) -> list[ChatPart]:
        parts: list[ChatPart] = []
        if self._asides.closed_late and not self._late:
            self._late = True
            if self._shown:
                parts.append(ThoughtAloud())
                self._shown = 0
        if self._shown == 0:
            text = text.lstrip()  # models often begin with white space or an empty line
        if text:
            self._shown += len(text)
            parts.append(text)
        return parts

    def _silence(self) -> str:
        """Tell why there was nothing for the listener."""
        if self._reason == _FILTER:
            return "withheld its reply: its content filter"
        if self._offered and self._asides.tool:
            return "called a tool in its text: turn on the parser of tool calls at the server"
        calls = self._calls.calls
        if calls or self._asides.tool or self._reason in ("tool_calls", "function_call"):
            names = ", ".join(sorted({call.name for call in calls} - {""}))
            return (
                f"called a tool{f' ({names})' if names else ''} instead of answering: covo's are "
                "off (--tools); turn them off there, too"
            )
        if self._reason == _LENGTH and not self._thinking_seen:
            return (
                "had no room for a word of its reply: give it a longer context, or set "
                "chat.max_tokens"
            )
        if self._thinking_seen:
            spent = self._reason == _LENGTH or self.endless
            what = f"spent all {self._max_tokens} tokens" if spent else "spent its whole reply"
            return f"{what} on thinking: turn its thinking off, or raise chat.max_tokens"
        return f"sent an empty reply (it ended with {self._reason or 'nothing'!r})"


def _openai_reason(reason: object) -> str:
    """Return why a reply ended in OpenAI's words where it has some."""
    given = str(reason or "")
    return next((ours for theirs, ours in _REASONS if theirs.search(given)), given)


def _text_of(content: object) -> str:
    """Return the text of a message's content: a text, or a list of parts.

    Raises: ValueError if it is something else.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_text_of(part) for part in content)
    if isinstance(content, Mapping):
        text = content.get("text", content.get("value"))
        return _text_of(text) if content.get("type", "text") in _TEXT_TYPES else ""
    raise ValueError(f"its content is no text but {type(content).__name__}")


_TEXT_TYPES = ("text", "output_text", "refusal")
