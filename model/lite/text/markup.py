"""What is said of markup: words instead of code, tables and formulas, no marks.

Blocks are found while the text is still being written (:func:`first_block`), so that no clause ends
inside one; the markup within lines is markdown-it's work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from model.lite.text.formulas import spoken_formulas

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_KINDS = {
    "code": "I've put the code in the transcript.",
    "table": "I've put the table in the transcript.",
    "formula": "I've put the formula in the transcript.",
    "comment": "",
}
_CODE_TAGS = "pre|code|script|style|svg"
_OPENING = re.compile(
    r"(?P<fence>`{3,}|(?:(?<=\n)|^)[ \t]*~{3,})|(?P<formula>\$\$|\\\[|\\begin\{(?P<env>[\w*]+)\})|"
    rf"<(?P<tag>{_CODE_TAGS}|table)\b[^<>]*>|(?P<comment><!--)|"
    r"(?P<row>(?:(?<=\n)|^)[ \t]*\|[^\n]*\n)|"
    r"(?P<head>(?:(?<=\n)|^)[^\n|]+\|[^\n]*\n(?=[^\n]*\|)[ \t]*[-|:][-:| \t]*-[-:| \t]*\n)",
    re.IGNORECASE,
)
_MAY_OPEN = re.compile(
    r"`{1,2}$|(?:\n|^)[ \t]*~{1,2}$|\$$|\\(?:b\w*(?:\{[\w*]*)?)?$|"
    rf"<(?:(?:{_CODE_TAGS}|table)\b[^<>]*|[a-z]{{0,6}}|!-?-?)$|"
    r"(?:\n|^)[^\n]*\|[^\n]*(?:\n[-:| \t]*)?$",
    re.IGNORECASE,
)
_ROW = re.compile(r"[^\n]*\|[^\n]*(?:\n|\Z)")
_PIPED_ROW = re.compile(r"[ \t]*\|[^\n]*(?:\n|\Z)")
_SHORT_CODE = re.compile(r"(?:`{3,}|<code>)\s*([^`\n<]{1,60}?)\s*(?:`{3,}|</code>)", re.IGNORECASE)
_LONGEST_CELL = 80
"""Characters without a "|" after which a line belongs to no table."""

_URL = re.compile(r"(?:https?://|www\.)[^\s<>]*[^\s<>.,;:!?)\]'\"]")
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2300-\u23ff\u2500-\u27bf\u2b00-\u2bff\ufe0e\ufe0f\u200d\u200b\u2060]"
)
_LINE_BREAK_TAG = re.compile(r"<(?:br|/?p|/?div|/?li|/?tr|/?h\d|/?td)\b", re.IGNORECASE)
_HTML = re.compile(
    r"<(?:!|\?|/?(?:a|abbr|article|audio|b|big|blockquote|body|br|button|center|cite|code|dd|del|"
    r"details|div|dl|dt|em|font|footer|h[1-6]|head|header|hr|html|i|img|input|ins|kbd|label|li|mark|"
    r"ol|p|pre|q|rp|rt|ruby|s|samp|section|small|source|span|strike|strong|sub|summary|sup|table|"
    r"tbody|td|tfoot|th|thead|tr|tt|u|ul|var|video|wbr|"
    r"speak|prosody|break|emphasis|say-as|voice|phoneme|audio|mark)\b)",
    re.IGNORECASE,
)
"""The tags of HTML and SSML; other words in angle brackets are read."""
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class MarkupBlock:
    """Markup of ``kind`` at ``start``, up to ``end``, which is None while it is being written."""

    kind: str
    start: int
    end: int | None


def first_block(text: str, *, over: bool = False) -> MarkupBlock | None:
    """Return the first block in ``text``. ``over``: no more text will come."""
    match = _OPENING.search(text)
    if match is None:
        return None
    start, after = match.start(), match.end()
    if fence := match["fence"]:
        closing = re.compile(re.escape(fence.strip()) + r"[ \t]*(?:\n|$)?")
        return _block("code", start, closing.search(text, _after_line(text, after)), text, over)
    if match["formula"]:
        closings = {"$$": r"\$\$", "\\[": r"\\\]"}
        closing = re.compile(
            closings.get(match["formula"], rf"\\end\{{{re.escape(match['env'] or '')}\}}")
        )
        return _block("formula", start, closing.search(text, after), text, over)
    if tag := match["tag"]:
        kind = "table" if tag.lower() == "table" else "code"
        closing = re.compile(rf"</{tag}\s*>", re.IGNORECASE)
        return _block(kind, start, closing.search(text, after), text, over)
    if match["comment"]:
        return _block("comment", start, re.compile("-->").search(text, after), text, over)
    end = after
    while row := (_PIPED_ROW if match["row"] else _ROW).match(text, end):
        end = row.end()
    rest = text[end:]
    ended = rest.strip(" \t") if match["row"] else "\n" in rest or len(rest) > _LONGEST_CELL
    return MarkupBlock("table", start, end if over or ended else None)


def may_open(text: str) -> bool:
    """Return whether the end of ``text`` may be the beginning of a block."""
    return bool(_MAY_OPEN.search(text[-400:]))


def replacement(clause: str) -> str:
    """Return the phrase that is said instead of a block, "" if ``clause`` is none."""
    block = first_block(clause, over=True)
    if block is None or clause[: block.start].strip():
        return ""
    return "" if _in_a_line(clause[block.start : block.end]) else _KINDS[block.kind]


def without_markup(text: str) -> str:
    """Return ``text`` as it is to be read: phrases for blocks, no marks, emoji or addresses."""
    out: list[str] = []
    while block := first_block(text, over=True):
        end = len(text) if block.end is None else block.end
        inside = _in_a_line(text[block.start : end])
        out += [_inline(text[: block.start]), inside or _KINDS[block.kind]]
        text = text[end:]
    out.append(_inline(text))
    return _SPACE.sub(" ", " ".join(out)).strip()


def _inline(text: str) -> str:
    if not text.strip():
        return ""
    text = spoken_formulas(text)
    words = " ".join(_words(_markdown().parse(text)))
    return _EMOJI.sub(" ", _URL.sub("a link", words))


def _words(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "list_item_open" and token.info:
            yield f"{token.info}{token.markup}"
        elif token.type == "inline":
            yield "".join(_inline_words(token.children or ()))
        elif token.type in ("fence", "code_block", "html_block"):
            yield token.content


def _inline_words(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        match token.type:
            case "text" | "code_inline" | "image":
                yield token.content
            case "softbreak" | "hardbreak":
                yield " "
            case "html_inline" if _LINE_BREAK_TAG.match(token.content):
                yield " "
            case "html_inline" if not _HTML.match(token.content):
                yield f" {token.content.strip('<>')} "


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    off = ["code", "html_block", "lheading", "reference"]
    return MarkdownIt("commonmark").enable("strikethrough").disable(off)


def _in_a_line(block: str) -> str:
    """Return the code in a ``block`` that is only a few words in a line, else ""."""
    match = _SHORT_CODE.fullmatch(block.strip())
    return match.group(1) if match else ""


def _block(
    kind: str, start: int, closing: re.Match[str] | None, text: str, over: bool
) -> MarkupBlock:
    if closing is not None:
        return MarkupBlock(kind, start, closing.end())
    return MarkupBlock(kind, start, len(text) if over else None)


def _after_line(text: str, at: int) -> int:
    """Return the end of the line at ``at``, or ``at`` in the last line."""
    end = text.find("\n", at)
    return at if end < 0 else end
