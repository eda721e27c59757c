"""Remove from a reply, while it streams, what is not meant for the listener.

Models write their thinking, other channels, tool calls, the tokens of their chat template and stage
directions into the same text as their answer.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from model.lite.text.stage_directions import may_become_one, stage_direction

_LONGEST_MARK = 80
"""Characters after which a mark that has not ended is plain text."""
_LONGEST_CALL = 4000
"""Longest tool call, in characters; a longer object is text."""

_THINKING = (
    r"(?:\w+[:_])*(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad|monologue)"
    r"(?:_\w+)?"
)
_TOOLS = (
    r"tools?|tool_?calls?|tool_use|tool_response|tool_result|functions?|function_?calls?|"
    r"function_results|invoke"
)
_FINAL = r"<\|channel\|>\s*final\s*<\|message\|>"
_BLOCKS = tuple(
    (re.compile(opening, re.IGNORECASE), closing)
    for opening, closing in (
        # In a closing, NAME is the first group of the opening.
        (rf"<({_THINKING})(?:\s[^<>]*)?(?<!/)>", r"</NAME\s*>"),
        (r"<\|(?:START|begin)_(?:of_)?(THINKING|thought|ACTION)\|>", r"<\|END_(?:of_)?NAME\|>"),
        (rf"<\|({_THINKING})\|>", r"<\|(?:/|end_(?:of_)?)NAME\|>|</NAME>"),
        (rf"<((?:\w+:)?(?:{_TOOLS}))(?:[\s=][^<>]*)?>", r"</NAME\s*>"),
        (rf"\[({_THINKING})\]", r"\[/NAME\]"),
        (r"◁(think)▷", r"◁/NAME▷"),
        (
            r"<\|channel\|?>\s*(?:analysis|commentary|thinking|thought)",
            rf"{_FINAL}|<channel\|>|<\|start\|>assistant<\|message\|>",
        ),
        (
            r"<[|｜]tool[▁_]?(?:calls?)?(?:_section)?(?:[▁_]?begin)?[|｜]>",
            r"<[|｜]/?tool[▁_]?calls?(?:_section)?[▁_]?(?:end)?[|｜]>",
        ),
        (r"`{3,}tool_(?:code|calls?|outputs?|response)\b", r"`{3,}"),
        (r"\[TOOL_CALLS\]|<\|python_tag\|>", r"(?!)"),  # to the end
    )
)
_TOOL_MARK = re.compile(
    r"\W*(?:\w+:)?(?:tool|function|invoke|python_tag|start_action)", re.IGNORECASE
)
_END_OF_THINKING = re.compile(
    rf"</{_THINKING}\s*>|\[/{_THINKING}\]|<\|/{_THINKING}\|>|◁/think▷|<\|END_(?:of_)?THINKING\|>|"
    rf"<\|end_of_thought\|>|<channel\|>|{_FINAL}",
    re.IGNORECASE,
)
_TEMPLATE_TOKEN = re.compile(
    r"<[|｜][^<>|｜\s]{1,40}[|｜]>(?:assistant\b)?|\[/?INST\]|"
    r"</?(?:s|bos|eos|start_of_turn|end_of_turn|assistant|(?:final_?)?(?:answer|response|output)?)>|"
    rf"<{_THINKING}\s*/>",
    re.IGNORECASE,
)
_BEGUN_MARK = re.compile(
    r"<(?:[|｜/]?[A-Za-z][^<>\n]*|[|｜/]?|[|｜][^<>\n]*)|◁[^▷]*|`{1,3}\w{0,13}|"
    r"\[/?[A-Za-z_ ]*(?:[(:][^\]]*\]?)?|"
    r"<[|｜][^<>]*>\s*\w{0,12}\s*(?:<[|｜]?\w*[|｜]?)?"
)
_CALL = re.compile(
    r"\[[a-z_]\w*\([^()]*\)(?:,\s*[a-z_]\w*\([^()]*\))*\](?!\()|\[(?:function|tool) ?call:[^\]]*\]",
    re.IGNORECASE,
)
"""Calls in the form of Python, or told in brackets."""
_TRIGGER = re.compile(r"[<\[(*◁{]|(?<!\w)[_~]|`(?!`*[^`t])")
_QUOTING = re.compile(r"[\s(\"'“]`{1,2}$")
"""The beginning of inline code, in which a mark is only mentioned."""
_CALL_KEYS = {"arguments", "parameters", "tool_calls", "function_call", "tool", "tool_name"}


@dataclass(frozen=True, slots=True)
class _Block:
    """Hidden text until ``closing``; ``tool``: a tool call, else thinking."""

    closing: re.Pattern[str]
    tool: bool


class Asides:
    """Takes a reply apart: :meth:`feed` returns what is meant for the listener.

    ``thinks_first``: the model begins with thinking and marks only its end.
    """

    def __init__(self, *, thinks_first: bool = False) -> None:
        self._text = ""
        self._before = "\n"
        self._after_hidden = False
        self._block = _Block(_END_OF_THINKING, tool=False) if thinks_first else None
        self._assumed: list[str] | None = [] if thinks_first else None
        self.thinking = False
        """Whether thinking was removed."""
        self.tool = False
        """Whether a tool call was removed."""
        self.closed_late = False
        """Whether all that was returned before turned out to be thinking."""

    def feed(self, delta: str) -> str:
        """Take in more of the reply and return the part of it that is for the listener."""
        self._text += delta
        return self._take(over=False)

    def end(self, *, cut: bool = False) -> str:
        """End the reply and return the rest for the listener.

        If the expected thinking never ended, all of it is the answer, unless it was ``cut``.
        """
        rest = self._take(over=True)
        if self._assumed is None or cut:
            return rest
        self.thinking = False
        return "".join(self._assumed) + rest

    def _take(self, *, over: bool) -> str:
        out: list[str] = []
        while self._text:
            if self._block is not None:
                if not self._skip(self._block, over=over):
                    break
                continue
            trigger = _TRIGGER.search(self._text)
            self._give(len(self._text) if trigger is None else trigger.start(), out)
            if not self._text:
                break
            hidden = self._judge(over=over)
            if hidden is None:
                break
            if hidden:
                self._text = self._text[hidden:]
                self._after_hidden = True
            else:
                self._give(1, out)
        return "".join(out)

    def _give(self, length: int, out: list[str]) -> None:
        given, self._text = self._text[:length], self._text[length:]
        if self._after_hidden and self._before[-1].isspace():
            given = given.lstrip()
        if given:
            self._after_hidden = False
            self._before = (self._before + given)[-20:]
            out.append(given)

    def _skip(self, block: _Block, *, over: bool) -> bool:
        """Drop hidden text; return whether its block is over."""
        closing = block.closing.search(self._text)
        end = closing.start() if closing else len(self._text) if over else -_LONGEST_MARK
        gone = self._text[:end]
        if block.tool:
            self.tool = True
        elif gone.strip():
            self.thinking = True
        if closing is None:
            if self._assumed is not None:
                self._assumed.append(gone)
            self._text = self._text[len(gone) :]
            return False
        self._text = self._text[closing.end() :]
        self._after_hidden = True
        self._block = self._assumed = None
        return True

    def _judge(self, *, over: bool) -> int | None:
        """Return how much of the text's beginning to hide, None if more must come first."""
        text = self._text
        if _QUOTING.search(self._before):
            return 0
        waits = len(text) <= _LONGEST_MARK and not over
        opened = self._open_block(text)
        if opened or (waits and _BEGUN_MARK.fullmatch(text)):
            return opened or None
        if match := _END_OF_THINKING.match(text):
            self.closed_late = self.thinking = True
            return match.end()
        if match := _TEMPLATE_TOKEN.match(text):
            return match.end()
        called = self._judge_call(text, over=over) if self._before.endswith("\n") else 0
        if called is None or (waits and may_become_one(text, self._before)):
            return None
        return called or stage_direction(text, self._before)

    def _open_block(self, text: str) -> int:
        for opening, closing in _BLOCKS:
            if match := opening.match(text):
                name = re.escape(match.group(1)) if match.lastindex else ""
                pattern = re.compile(closing.replace("NAME", name), re.IGNORECASE)
                self._block = _Block(pattern, bool(_TOOL_MARK.match(match.group())))
                self.tool |= self._block.tool
                return match.end()
        return 0

    def _judge_call(self, text: str, *, over: bool) -> int | None:
        """Hide a tool call that a line begins with, in JSON or in the form of Python."""
        end = 0
        if match := _CALL.match(text):
            end = match.end()
        elif re.match(r'\{\s*(?:"|$)', text):
            try:
                found, end = json.JSONDecoder().raw_decode(text)
            except ValueError:
                return 0 if over or len(text) > _LONGEST_CALL else None
            end = end if _CALL_KEYS.intersection(found) else 0
        self.tool |= end > 0
        return end
