"""Remove from a reply, while it streams, what is not meant for the listener.

Models write their thinking, other channels, tool calls, the tokens of their chat template and stage
directions into the same text as their answer.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from model.lite.text.markup import HTML_TAG
from model.lite.text.stage_directions import may_become_one, stage_direction

_LONGEST_MARK = 80
"""Characters after which a mark that has not ended is plain text."""
_LONGEST_CALL = 4000
"""Longest tool call, in characters; a longer object is text."""

_THINKING = r"[\w:.-]*(?:think|thought|reason|reflect|analysis|scratch_?pad|monologue)[\w:.-]*"
_TOOLS = (
    r"tools?|tool_?calls?|tool_use|tool_response|tool_result|functions?|function_?calls?|"
    r"function_results|invoke"
)
_FINAL = r"<\|channel\|>\s*final\b[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
_OPENING = rf"<({_THINKING})(?:\s[^<>]*)?(?<!/)>"
_BLOCKS = tuple(
    (re.compile(opening, re.IGNORECASE), closing)
    for opening, closing in (
        # In a closing, NAME is the first group of the opening.
        (_OPENING, rf"</{_THINKING}\s*>"),
        (
            rf"<\|(?!end|/)({_THINKING})(?<!_end)\|>",
            rf"<\|(?:/|end_(?:of_)?){_THINKING}\|>|<\|{_THINKING}_end\|>|</{_THINKING}>",
        ),
        (r"<unused\d+>\s*thought", r"<unused\d+>"),
        (r"<\|START_ACTION\|>", r"<\|END_ACTION\|>"),
        (rf"<((?:\w+:|[|｜]\w+[|｜])?(?:{_TOOLS})|\w+:render)(?:[\s=][^<>]*)?>", r"</NAME\s*>"),
        (rf"<start_({_TOOLS})>", r"<end_NAME>"),
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
        (r"`{3,}(?:tool_(?:code|calls?|outputs?|response)|thinking|thoughts?)\b", r"`{3,}"),
        (r"<(details)\s+type=.reasoning[^<>]*>", r"</NAME>"),
        (r"\[TOOL_CALLS\]|<\|python_tag\|>", r"(?!)"),  # to the end
    )
)
_TOOL_MARK = re.compile(
    r"\W*(?:\w+\W)?(?:start_)?(?:tool|function|invoke|python_tag|action|render)", re.IGNORECASE
)
_NESTED = re.compile(rf"(?<![`'\"]){_OPENING}", re.IGNORECASE)
_END_OF_THINKING = re.compile(
    rf"</{_THINKING}\s*>|\[/{_THINKING}\]|<\|(?:/|end_(?:of_)?){_THINKING}\|>|◁/think▷|<channel\|>|"
    rf"{_FINAL}",
    re.IGNORECASE,
)
_TEMPLATE_TOKEN = re.compile(
    r"<[|｜][^<>|｜\s]{1,40}[|｜]>(?:assistant\b)?|\[/?INST\]|"
    r"</?(?:s|bos|eos|start_of_turn|end_of_turn|assistant|(?:final_?)?(?:answer|response|output)?)>|"
    rf"<{_THINKING}\s*/>|<0x[\da-f]{{2}}>|<(?:unused|special_)\d+>",
    re.IGNORECASE,
)
_NEXT_TURN = re.compile(
    r"(?:<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<\|start\|>|<\|START_OF_TURN_TOKEN\|>)"
    r"\W*(?:user|human)|<[|｜](?:user|human)(?:_token)?[|｜]>|\[INST\]|<\|endoftext\|>|</s>|"
    r"<[|｜]end[▁_]of[▁_]sentence[|｜]>|"
    r"\n[\s#*]*(?:(?:user|human)\**\s*:|(?<=# )instruction\**\s*:)",
    re.IGNORECASE,
)
"""Where a model goes on as the user, once it has said something."""
_NEXT_SPEAKERS = ("user", "human", "instruction")
_SPEAKER = re.compile(
    r"[\s#*]*(?:assistant|covo|ai|(?:final )?answer|response)\**(?:\s*:[\s*]*|\s*\n\s*)",
    re.IGNORECASE,
)
"""The model's own name, before its reply."""
_ANSWER = r"\n[\s#*]*(?:final answer|answer|response|here is my response)\**\s*:[\s*]*(?=[^\s*])"
_THOUGHTS = (
    (
        r"(?i:[\s#*]*(?:thoughts?|thinking|reasoning|here is my thought process)\**\s*:)",
        rf"(?i:{_ANSWER})",
    ),
    (r"analysis(?=[A-Z])", r"assistantfinal"),
)
"""Thoughts in plain words, at the beginning of a reply."""
_LABELS = (
    *("assistant", "covo", "ai", "answer", "final answer", "response", "analysis"),
    *("thoughts", "thinking", "reasoning", "here is my thought process"),
)
_TAG = re.compile(r"<([A-Za-z][\w:-]*)>")
_BEGUN_MARK = re.compile(
    r"<(?:[|｜/]?[A-Za-z][^<>\n]*|0(?:x\w{0,2})?|[|｜/]?|[|｜][^<>\n]*)|◁[^▷]*|`{1,3}\w{0,13}|"
    r"\[/?[A-Za-z_ ]*(?:[(:][^\]]*\]?)?|"
    r"<(?:[|｜][^<>]*|start_of_turn|unused\d+)>\s*\w{0,12}\s*(?:<[|｜]?\w*[|｜]?)?"
)
_CALL = re.compile(
    r"\[[a-z_]\w*\([^()]*\)(?:,\s*[a-z_]\w*\([^()]*\))*\](?!\()|\[(?:function|tool) ?call:[^\]]*\]",
    re.IGNORECASE,
)
"""Calls in the form of Python, or told in brackets."""
_TRIGGER = re.compile(r"[<\[(*◁{\n]|(?<!\w)[_~]|`(?!`*[^`t])")
_QUOTING = re.compile(r"[\s(\"'“]`{1,2}$")
"""The beginning of inline code, in which a mark is only mentioned."""
_CALL_KEYS = {"arguments", "parameters", "tool_calls", "function_call", "tool", "tool_name"}


@dataclass(frozen=True, slots=True)
class _Block:
    """Hidden text until ``closing``; ``tool``: a tool call, else thinking. ``nested``: what opens
    another one inside. ``guessed``: the answer, if nothing follows."""

    closing: re.Pattern[str]
    tool: bool = False
    nested: re.Pattern[str] | None = None
    guessed: bool = False


class Asides:
    """Takes a reply apart: :meth:`feed` returns what is meant for the listener.

    ``thinks_first``: the model begins with thinking and marks only its end.
    """

    def __init__(self, *, thinks_first: bool = False) -> None:
        self._text = ""
        self._before = "\n"
        self._after_hidden = False
        self._fresh = True
        self._block: _Block | None = None
        self._depth = 0
        self._skipped = False
        self._assumed: list[str] | None = None
        self._held = ""
        if thinks_first:
            self._hide(_Block(_END_OF_THINKING, nested=_NESTED), assumed=[])
        self.thinking = False
        """Whether thinking was removed."""
        self.tool = False
        """Whether a tool call was removed."""
        self.closed_late = False
        """Whether all that was returned before turned out to be thinking."""
        self.next_turn = False
        """Whether the model went on as the user; nothing of that is returned."""

    def feed(self, delta: str) -> str:
        """Take in more of the reply and return the part of it that is for the listener."""
        self._text += delta
        return self._take(over=False)

    def end(self, *, cut: bool = False) -> str:
        """End the reply and return the rest for the listener.

        If the expected thinking never ended, all of it is the answer, unless it was ``cut``.
        """
        rest = self._take(over=True)
        if self._assumed is not None and not cut:
            rest = "".join(self._assumed) + rest
        elif self._fresh and self._held:
            rest = self._held
        else:
            return rest
        self.thinking = False
        return rest

    def _take(self, *, over: bool) -> str:
        out: list[str] = []
        while self._text and not self.next_turn:
            if self._block is not None:
                if not self._skip(self._block, over=over):
                    break
                continue
            label = self._judge_label(over=over) if self._fresh else 0
            if label is None:
                break
            if label:
                self._text = self._text[label:]
                self._after_hidden = True
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
            self._fresh = self._fresh and given.isspace()
            self._after_hidden = False
            self._before = (self._before + given)[-20:]
            out.append(given)

    def _skip(self, block: _Block, *, over: bool) -> bool:
        """Drop hidden text up to a mark; return whether there was one."""
        closing = block.closing.search(self._text)
        until = closing.start() if closing else len(self._text)
        nested = block.nested.search(self._text, 0, until) if block.nested else None
        mark = nested or closing
        end = mark.start() if mark else len(self._text) if over else -_LONGEST_MARK
        gone = self._text[:end]
        if block.tool:
            self.tool = True
        elif gone.strip():
            self.thinking = self._skipped = True
        if self._assumed is not None:
            self._assumed.append(gone)
        self._text = self._text[mark.end() if mark else len(gone) :]
        if nested:
            self._depth += self._skipped  # twice in a row, it is one
        elif mark and self._depth:
            # If no other end comes, this was it.
            self._depth, self._assumed = self._depth - 1, []
        elif mark:
            if block.guessed and self._assumed:
                self._held = "".join(self._assumed[1:])
            self._after_hidden = True
            self._block = self._assumed = None
        return mark is not None

    def _judge(self, *, over: bool) -> int | None:
        """Return how much of the text's beginning to hide, None if more must come first."""
        text = self._text
        if _QUOTING.search(self._before):
            return 0
        waits = len(text) <= _LONGEST_MARK and not over
        opened = self._open_block(text)
        if opened or (waits and _BEGUN_MARK.fullmatch(text)):
            return opened or None
        marked = self._judge_mark(text, waits=waits)
        if marked != 0:
            return marked
        called = self._judge_call(text, over=over) if self._before.endswith("\n") else 0
        if called is None or (waits and may_become_one(text, self._before)):
            return None
        return called or stage_direction(text, self._before) or self._open_unknown(text)

    def _judge_mark(self, text: str, *, waits: bool) -> int | None:
        """Hide a mark that is alone: of the next turn, of the end of thinking, of a template."""
        if not self._fresh:
            begun = text.strip("\n\t #*").lower()
            if _NEXT_TURN.match(text):
                self.next_turn = True
                return len(text)
            if text[0] == "\n" and waits and any(n.startswith(begun) for n in _NEXT_SPEAKERS):
                return None
        if match := _END_OF_THINKING.match(text):
            twice = self._fresh and self._after_hidden
            self.closed_late = self.closed_late or not twice
            self.thinking = True
            return match.end()
        match = _TEMPLATE_TOKEN.match(text)
        return match.end() if match else 0

    def _judge_label(self, *, over: bool) -> int | None:
        """Return how much of the beginning names the speaker or marks thoughts, None if more must
        come first."""
        text = self._text
        for opening, closing in _THOUGHTS:
            if match := re.match(opening, text):
                self._hide(_Block(re.compile(closing)), assumed=[match.group()])
                return match.end()
        match = _SPEAKER.match(text)
        begun = text.strip("\n\t #*").lower()
        goes_on = match is not None and match.end() == len(text)
        if not over and (goes_on or any(label.startswith(begun) for label in _LABELS)):
            return None
        return match.end() if match else 0

    def _open_block(self, text: str) -> int:
        for opening, closing in _BLOCKS:
            if match := opening.match(text):
                name = re.escape(match.group(1)) if match.lastindex else ""
                pattern = re.compile(closing.replace("NAME", name), re.IGNORECASE)
                tool = bool(_TOOL_MARK.match(match.group()))
                self._hide(_Block(pattern, tool, _NESTED if opening is _BLOCKS[0][0] else None))
                self.tool |= tool
                return match.end()
        return 0

    def _open_unknown(self, text: str) -> int:
        """Hide what an unknown tag encloses at the beginning, unless it is the whole reply."""
        match = _TAG.match(text) if self._fresh else None
        if match is None or HTML_TAG.match(text):
            return 0
        closing = re.compile(rf"</{re.escape(match[1])}\s*>", re.IGNORECASE)
        self._hide(_Block(closing, guessed=True), assumed=[match.group()])
        return match.end()

    def _hide(self, block: _Block, assumed: list[str] | None = None) -> None:
        """Hide text until the end of ``block``. ``assumed``: given back if that does not come."""
        self._block, self._assumed = block, assumed
        self._depth, self._skipped = 0, False

    def _judge_call(self, text: str, *, over: bool) -> int | None:
        """Hide a tool call that a line begins with, in JSON or in the form of Python."""
        end = 0
        if match := _CALL.match(text):
            end = match.end()
        elif re.match(r'(?:\[\s*)?\{\s*(?:"|$)', text):
            try:
                found, end = json.JSONDecoder().raw_decode(text)
            except ValueError:
                return 0 if over or len(text) > _LONGEST_CALL else None
            found = found[0] if isinstance(found, list) else found
            end = end if _CALL_KEYS.intersection(found) else 0
        self.tool |= end > 0
        return end
