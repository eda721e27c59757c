"""What is said of markup: words instead of code, tables and formulas, no marks.

Blocks are found while the text is still being written (:func:`first_block`), so that no clause ends
inside one; the markup within lines is markdown-it's work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING

from model.lite.text.formulas import spoken_formulas

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_KINDS = {
    "en": {
        "code": "I've put the code in the transcript.",
        "table": "I've put the table in the transcript.",
        "formula": "I've put the formula in the transcript.",
        "comment": "",
        "link": "a link",
    },
    "es": {
        "code": "He puesto el código en la transcripción.",
        "table": "He puesto la tabla en la transcripción.",
        "formula": "He puesto la fórmula en la transcripción.",
        "comment": "",
        "link": "un enlace",
    },
    "zh": {
        "code": "我把代码放在文字记录里了。",
        "table": "我把表格放在文字记录里了。",
        "formula": "我把公式放在文字记录里了。",
        "comment": "",
        "link": "一个链接",
    },
}
"""What is said instead of markup, by the language of the voice; where it is unknown, in English."""
CODE_SPAN = r"(?<!`)(?P<ticks>`{1,2})(?!`|\Z)[^\n]*?(?:(?<!`)(?P=ticks)(?!`)|\Z)"
"""The pattern of code in a line, whole or still being written."""
_CODE_SPAN = re.compile(CODE_SPAN)
_CODE_TAGS = "pre|code|script|style|svg"
_MARGIN = r"[ \t>]*(?:(?:[-*+]|\d{1,2}[.)])[ \t]+)?"
_LINE = rf"(?<=\n){_MARGIN}"
_BEGIN = rf"(?:{_LINE}|(?<=: ))"
"""Where a tag, a comment or ``$$`` opens a block; elsewhere it is only mentioned."""
_INFO = r"(?:[\w{][^\s`]*)?"
"""The language after a fence."""
_FORMULA = r"(?:[^\s$,.;:!?)\]'\"–—=-]|-[^\s$])"
"""What follows ``$$`` where it does not tell, say, the prices of a restaurant."""
_OPENING = re.compile(
    r"(?P<ticks>`{3,}(?=[^\s`.,;:!?)][^`\n]*`{3}))|"
    rf"{_LINE}(?P<fence>`{{3,}}|~{{3,}})(?=[^\s`~.,;:!?)]|[ \t]*{_INFO}[ \t]*(?:\n|\Z))|"
    rf"(?P<late_fence>`{{3,}}(?={_INFO}[ \t]*\n))|"
    r"(?P<open_ticks>`{3,}(?=[^\s`.,;:!?)][^`\n]*\Z))|"
    rf"{_BEGIN}(?P<element><(?P<tag>{_CODE_TAGS}|table)\b[^<>]*>(?=[ \t]*[\n<]|[^\s,.;:!?)'\"]))|"
    rf"{_BEGIN}(?P<comment><!--)|{_LINE}(?P<display>\$\$(?=[ \t]*(?:\n|{_FORMULA})))|"
    r"(?<=: )(?P<spaced>\$\$(?=[ \t]+(?:\\|\w(?!\w))))|"
    rf"(?P<formula>(?<=[\s(])\$\$(?={_FORMULA})|\\\[|\\begin\{{(?P<env>[\w*]+)\}})|"
    r"(?P<row>(?<=\n)[ \t]*\|[^\n]*\n)|"
    r"(?P<head>(?<=\n)[^\n|]+\|[^\n]*\n(?=[^\n]*\|)[ \t]*[-|:][-:| \t]*-[-:| \t]*\n)",
    re.IGNORECASE,
)
_MAY_OPEN = re.compile(
    r"`{1,2}$|`{3,}[^\s`]*[ \t]*$|(?<=\n)[ \t]*~{1,2}$|\$(?:\$[ \t]*-?)?$|"
    r"\\(?:b\w*(?:\{[\w*]*)?)?$|"
    rf"{_BEGIN}<(?:(?:{_CODE_TAGS}|table)\b[^<>]*(?:>[ \t]*)?|[a-z]{{0,6}}|!-?-?)$|"
    r"(?<=\n)(?:[ \t]*\|[^\n]*|[^\n|]+\|(?:(?![.!?]\s)[^\n])*)(?:\n[-:| \t]*)?$",
    re.IGNORECASE,
)
_BEFORE_BLOCK = re.compile(rf"(?:\n{_MARGIN}|: )\Z")
_ROW = re.compile(r"[^\n]*\|[^\n]*(?:\n|\Z)")
_PIPED_ROW = re.compile(r"[ \t]*\|[^\n]*(?:\n|\Z)")
_SHORT_CODE = re.compile(r"(?:`{3,}|<code>)\s*([^`\n<]{1,60}?)\s*(?:`{3,}|</code>)", re.IGNORECASE)
_LONGEST_CELL = 80
"""Characters without a "|" after which a line belongs to no table."""

_NO_ADDRESS = r"\s<>“”\u3000-\u9fff\uff00-\uffef"
"""Chinese text follows an address without a space."""
_URL = re.compile(rf"(?:https?://|www\.)[^{_NO_ADDRESS}]*[^{_NO_ADDRESS}.,;:!?)\]'\"]")
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2300-\u23ff\u2500-\u27bf\u2b00-\u2bff\ufe0e\ufe0f\u200d\u200b\u2060]"
)
_LINE_BREAK_TAG = re.compile(r"<(?:br|/?p|/?div|/?li|/?tr|/?h\d|/?td)\b", re.IGNORECASE)
HTML_TAG = re.compile(
    r"<(?:!|\?|/?(?:a|abbr|article|audio|b|big|blockquote|body|br|button|center|cite|code|dd|del|"
    r"details|div|dl|dt|em|font|footer|h[1-6]|head|header|hr|html|i|img|input|ins|kbd|label|li|mark|"
    r"ol|p|pre|q|rp|rt|ruby|s|samp|section|small|source|span|strike|strong|sub|summary|sup|table|"
    r"tbody|td|tfoot|th|thead|tr|tt|u|ul|var|video|wbr|"
    r"speak|prosody|break|emphasis|say-as|voice|phoneme|audio|mark)\b)",
    re.IGNORECASE,
)
"""The tags of HTML and SSML; other words in angle brackets are read."""
_VOID = re.compile(r"<(?:/|!|(?:br|hr|img|input|wbr|source)\b)", re.IGNORECASE)
_NAMED = re.compile(r"[.,;:!?)]|\s*(?:tags?|elements?|is|opens?|starts?|begins?|makes?|creates?)\b")
"""What follows an opening tag that is only mentioned."""
_SPACE = re.compile(r"\s+")
_CITED = r"[1-9]\d{0,2}"
_CITATION = re.compile(
    rf"(?P<code>{CODE_SPAN})|"
    r"【\d+(?::\d+)?(?:†[^【】]*)?】|\ue200[^\ue201]*\ue201|:contentReference\[[^\[\]]*\](?:\{[^{}]*\})?|"
    r"</?co:[^<>]*>|\[\^[^\[\]\s]+\](?!:)|"
    r"\[(?:(?:doc|ref|cite|citation|source)[:\s_-]?\d+|citation needed)\]|"
    # A number in brackets after a word or a sentence: no element of an array, no interval
    rf"(?:(?<=\w{{4}})|(?<=[.,;!?”’)\]]))\[{_CITED}(?:\s?[,–-]\s?{_CITED})*\](?!\()|"
    rf"(?<=\w\w)\[{_CITED}\](?=[.,;:!?\[]|$)|"
    rf"(?<=\w) \[{_CITED}\](?=\s*(?:[.,;:!?\[]|$))|"
    rf"(?<=[\w\s.,;!?)\]])(?:\[\[{_CITED}\]\]|\[{_CITED}\])\(https?://[^\s()]*\)|"
    rf"(?:(?<=[a-z]{{3}})|(?<=[.,;!?”’]))<sup>\[?{_CITED}\]?</sup>|"
    r"(?<=[.,;!?”’])[⁰¹²³⁴-⁹]+(?=\s|$)|(?<=[a-z]{3})[¹⁴-⁹](?![⁰¹²³⁴-⁹\w])"
)
"""What a reply's sources are marked with, and code, in which nothing is."""
_SPACE_LEFT = re.compile(r"\s+(?=[.,;:!?](?:\s|$))")
_NO_FORMULA = re.compile(r"\n[ \t]*(?:\n|[-*] [A-Z][a-z])")
"""A blank line or an item of a list, before which a formula ends."""


@dataclass(frozen=True, slots=True)
class MarkupBlock:
    """Markup of ``kind`` at ``start``, up to ``end``, which is None while it is being written."""

    kind: str
    start: int
    end: int | None


def first_block(text: str, *, over: bool = False, before: str = "\n") -> MarkupBlock | None:
    """Return the first block in ``text``.

    A fence may lack its end, other markup without one is plain text. ``over``: no more text will
    come. ``before``: the :func:`margin` of ``text``.
    """
    for match in _openings(before, text):
        if block := _block(match, before + text, over=over):
            skip = len(before)
            # A table without a leading pipe begins with its row's indentation, perhaps before.
            start = max(0, block.start - skip)
            return MarkupBlock(block.kind, start, block.end and block.end - skip)
    return None


def _openings(before: str, text: str) -> Iterator[re.Match[str]]:
    first = _OPENING.search(before + text)
    if first is None:
        return
    # Nothing is quoted before the beginning, so a long block is not searched for code spans.
    if first.start(first.lastgroup or 0) == len(before):
        yield first
    yield from _OPENING.finditer(before + _without_code_spans(text))


def may_open(text: str, *, before: str) -> bool:
    """Return whether the end of ``text`` may be the beginning of a block."""
    return bool(_MAY_OPEN.search((before + _without_code_spans(text))[-400:]))


def margin(text: str) -> str:
    """Return what of the end of ``text`` tells whether a block can begin after it."""
    match = _BEFORE_BLOCK.search(text)
    return match.group() if match else " "


def _block(match: re.Match[str], text: str, *, over: bool) -> MarkupBlock | None:
    opening = match.lastgroup or ""
    start, after = match.span(opening)
    if opening in ("row", "head"):
        return _table(text, start, after, piped=opening == "row", over=over)
    kind, limit, has_lines = "code", len(text), False
    if opening.endswith("fence"):
        closing = re.escape(match[opening]) + r"[ \t]*(?:\n|$)?"
        has_lines = "\n" in text[after:]
        after = _after_line(text, after)
    elif opening.endswith("ticks"):
        closing = r"`{3,}"
    elif opening == "element":
        kind = "table" if match["tag"].lower() == "table" else "code"
        closing = rf"(?i:</{match['tag']}\s*>)"
    elif opening == "comment":
        kind, closing = "comment", "-->"
    else:
        kind = "formula"
        closings = {"$$": r"(?<!\$)\$\$(?!\$)", "\\[": r"\\\]"}
        closing = closings.get(match[opening], rf"\\end\{{{re.escape(match['env'] or '')}\}}")
        blank = _NO_FORMULA.search(text, after)
        limit = blank.start() if blank else limit
    if found := re.compile(closing).search(text, after, limit):
        return MarkupBlock(kind, start, found.end())
    if limit < len(text) or (over and not has_lines):
        return None
    return MarkupBlock(kind, start, len(text) if over else None)


def _table(text: str, start: int, after: int, *, piped: bool, over: bool) -> MarkupBlock:
    end = after
    while row := (_PIPED_ROW if piped else _ROW).match(text, end):
        end = row.end()
    rest = text[end:]
    ended = rest.strip(" \t") if piped else "\n" in rest or len(rest) > _LONGEST_CELL
    return MarkupBlock("table", start, end if over or ended else None)


def replacement(clause: str) -> str:
    """Return the phrase that is said instead of the block ``clause``; "" for other text."""
    block = first_block(clause, over=True)
    if block is None or clause[: block.start].strip():
        return ""
    return "" if _in_a_line(clause[block.start : block.end]) else _KINDS["en"][block.kind]


def without_markup(text: str, language: str = "en") -> str:
    """Return ``text`` as it is to be read: phrases for blocks, no marks, emoji or addresses."""
    out: list[str] = []
    kinds = _KINDS.get(language, _KINDS["en"])
    while block := first_block(text, over=True):
        end = len(text) if block.end is None else block.end
        inside = _in_a_line(text[block.start : end])
        out += [_inline(text[: block.start], language), inside or kinds[block.kind]]
        text = text[end:]
    out.append(_inline(text, language))
    return _SPACE.sub(" ", " ".join(out)).strip()


def without_citations(text: str) -> str:
    """Return ``text`` without the marks of its sources."""
    cleared = _CITATION.sub(lambda match: match["code"] or "", text)
    return text if cleared == text else _SPACE_LEFT.sub("", cleared)


def _inline(text: str, language: str) -> str:
    if not text.strip():
        return ""
    text = spoken_formulas(text, language)
    words = " ".join(_words(_markdown().parse(text)))
    return _EMOJI.sub(" ", _URL.sub(_KINDS.get(language, _KINDS["en"])["link"], words))


def _words(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "list_item_open" and token.info:
            yield f"{token.info}{token.markup}"
        elif token.type == "inline":
            yield "".join(_inline_words(token.children or ()))


def _inline_words(tokens: Sequence[Token]) -> Iterator[str]:
    for token, following in zip_longest(tokens, tokens[1:]):
        after = "" if following is None else following.content
        named = _NAMED.match(after) and not _VOID.match(token.content)
        match token.type:
            case "text" | "code_inline" | "image":
                yield token.content
            case "softbreak" | "hardbreak":
                yield " "
            case "html_inline" if named or not HTML_TAG.match(token.content):
                yield f" {token.content.strip('<>')} "
            case "html_inline" if _LINE_BREAK_TAG.match(token.content):
                yield " "


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    off = ["code", "fence", "html_block", "lheading", "reference"]
    return MarkdownIt("commonmark").enable("strikethrough").disable(off)


def _in_a_line(block: str) -> str:
    """Return the code in a ``block`` that is only a few words in a line, else ""."""
    match = _SHORT_CODE.fullmatch(block.strip())
    return match.group(1) if match else ""


def _without_code_spans(text: str) -> str:
    """Return ``text`` with its code spans blanked out, since what they hold is only mentioned."""
    return _CODE_SPAN.sub(lambda match: "x" * len(match.group()), text)


def _after_line(text: str, at: int) -> int:
    """Return the end of the line at ``at``, or ``at`` in the last line."""
    end = text.find("\n", at)
    return at if end < 0 else end
