"""Write numbers and signs as a person reads them, where the voices' own normaliser would lose some.

hibari's normaliser, which every text passes afterwards, reads times, dates, ordinals, simple
fractions and most amounts. Here is what it drops or reads otherwise than a person. The rules run
one after the other: what digits are (numerals.py), what they measure (quantities.py), what the
signs between them mean.
"""

from __future__ import annotations

import re
import unicodedata

from model.lite.text.names import NAMES, POSITION, SENTENCE, roman
from model.lite.text.numerals import NUMERALS, RANGES, ordinal
from model.lite.text.quantities import COMPOUNDS, MONEY, NOUN, NUMBER, UNITS, Rule

_OPERAND = r"[\w)\]°%²³!]"
_NEXT = r"[\w(√∞.$£€-]"
_SIGNS = {
    "≠": "not equal to",
    "≤": "less than or equal to",
    "⩽": "less than or equal to",
    "≥": "greater than or equal to",
    "⩾": "greater than or equal to",
    "≈": "about",
    "√": "the square root of",
    "∛": "the cube root of",
    "∑": "the sum of",
    "∏": "the product of",
    "∫": "the integral of",
    "∂": "partial",
    "∈": "in",
    "∇": "del",
    "⊥": "perpendicular to",
    "⋯": "…",
    "⇌": "in equilibrium with",
    "∉": "not in",
    "∅": "the empty set",
    "∧": "and",
    "∨": "or",
    "¬": "not",
    "↔": "and",
    "⇔": "and",
    "↑": "up",
    "↓": "down",
    "‰": "per thousand",
}
_ABBREVIATIONS = {
    **{r"[Ee]xt\.?": "extension", r"p\.": "page", r"ca?\.": "circa", r"[Tt]el\.:?": "telephone"},
    **{
        r"max\.": "maximum",
        r"min\.": "minimum",
        r"avg\.": "average",
        r"incl\.": "including",
        r"[Pp]ara\.": "paragraph",
    },
}
"""Abbreviations before a number that the normaliser does not know."""
_DIMENSION = rf"(?! [a-z]*(?:grams?|liters?|minutes?|seconds?|hours?)\b){NOUN.pattern}"
"""What follows 4×100 where it is "by"."""
_COMPARED = "a|an|as|better|bigger|faster|higher|larger|less|longer|more|slower|smaller|the"
"""Words before which 3x is "three times"."""
_SUPERSCRIPTS = "".join(
    c
    for c in map(chr, range(0x2080))
    if unicodedata.decomposition(c)[:7] == "<super>" and len(unicodedata.normalize("NFKC", c)) == 1
)
_SINGLE = "²³ªº"
"""What is no exponent, or read as "squared" and "cubed", where it stands alone."""
_TRIGONOMETRY = {"sin": "sine", "cos": "cosine", "tan": "tangent"}


def _raised(match: re.Match[str]) -> str:
    exponent = unicodedata.normalize("NFKC", match.group(1)).replace("−", "minus ")
    return f" to the power of {exponent.replace('+', 'plus ')}"


def _tag(match: re.Match[str]) -> str:
    return f" {'slash ' if match.group(1) else ''}{match.group(2)} "


def _height(match: re.Match[str]) -> str:
    return f"{match.group(1)} feet {match.group(2)} inches"


def _bounded(match: re.Match[str]) -> str:
    """Read an integral or a sum with its bounds."""
    low, high = (unicodedata.normalize("NFKC", bound) for bound in match.group(2, 3))
    return f" {_SIGNS[match.group(1)].removesuffix(' of')} from {low} to {high} of "


def _by_its_name(match: re.Match[str]) -> str:
    return f" {unicodedata.name(match.group(), '').lower().removesuffix(' operator')} "


def _letter(match: re.Match[str]) -> str:
    name = unicodedata.name(match.group()).partition(" WITH")[0].split()[-1].lower()
    return f" {'lambda' if name == 'lamda' else name} "


def _century(match: re.Match[str]) -> str:
    return ordinal(roman(match.group()))


def _inches(match: re.Match[str]) -> str:
    is_open = False
    for mark in re.finditer(r'(\d?)"', match.string[: match.start()]):
        is_open = not (is_open or mark[1])  # after a digit, it opens nothing
    return match.group() if is_open else " inches"


_WRITTEN: tuple[Rule, ...] = (
    (r"<!--+", " "),
    (r"(?<=\d)\s?[º˚]\s?(?=[CF]\b)", "°"),
    (r"<(/?)([A-Za-z][\w:-]*(?:,\s*\w+)*(?:\s+[\w:-]+=\"[^\"<>]*\")*)\s*/?>", _tag),
    *((rf"\b{short} ?(?=\d)", f"{word} ") for short, word in _ABBREVIATIONS.items()),
    POSITION,
    (r"(?<!\w)(\d)\s?['′’]\s?(\d{1,2})\s?(?:[\"″”]|'')", _height),
    (r"(?<!\w)([4-7])['′’](1[01]|\d)(?![\w'\"])", _height),
    (r"(?<!\w)(\d{1,2})\s?ft\.?\s?(\d{1,2})\s?in\b\.?", _height),
    (r"(?<=\d)['′](?= (?:tall|long|wide|deep|high)\b)", " feet"),
    (r"(?<=\d)\"(?= (?:pizza|screen|TV|monitor|display|laptop|pipe)\b)", " inch"),
    (r"(?<=\d)\s?″(?!\w)", " inches"),
    (r"(?:(?<=/\d)|(?<=/\d\d))\"|(?<=\d)\"(?= [a-z])", _inches),
    *NAMES,
    (r"(?<=\d)!(?=\s*[=)+*/×-])|(?<=\b[nk])!(?=\s*[=)+*/×-]| [a-z])", " factorial"),
    *NUMERALS,
    *COMPOUNDS,
    (r"([∫∑∏])([₀-₉₋ᵢₙ]+)([⁰¹²³⁴-⁹⁻ⁿ∞]+)", _bounded),
    (r"\b(sin|cos|tan)(?=[²³⁻]|\((?!s\))|\s?[α-ωx]\b)", lambda m: _TRIGONOMETRY[m[1]]),
    (r"(?<=\b[a-zA-Z])(?:′|'(?=\())", " prime "),
    (rf"(?<=[\w)])(?![{_SINGLE}](?![{_SUPERSCRIPTS}]))([{_SUPERSCRIPTS}]+)", _raised),
    (r"(?<![\d:])(\d{1,3}):(\d)(?![\d:])", r"\1 to \2"),
    (r"(?<![\d:,.])1:(?=\d{3}|\d{1,3},\d{3})", "1 to "),
    (r"(\d)[eE]([+-]?\d{1,3})(?!\w)", r"\1 times 10^\2"),
    (r"(?<![\w.])\.(?=\d)", "point "),
    (r"(?<=\d)x(?=\d)", " by "),
    (rf"(?<=\d)x(?=(?: (?:{_COMPARED})|/[a-z]+)\b)", " times"),
    (r"(?<=[a-z] )(Ave|Blvd|Rd|Pkwy)\b(?!\.| Maria)", r"\1."),
    (r"(?<=[a-z] )([A-Z][a-z]+ )Dr\b\.?(?= [a-z]|\s*[,;]|\.?$)", r"\1Drive"),
    (rf"(?<=[a-z] )St\.(?= (?:{SENTENCE})\b)", "Street."),
    (r"(?<=[a-z] )St(?=\.?,|$)", "Street"),
    (r"\b[IVX]+(?= (?:and [IVX]+ )?centur(?:y|ies)\b)", _century),
    (r"\bWW(I{1,2})\b", lambda m: f"World War {len(m[1])}"),
    (r"\b(UTC|GMT)[-−–](?=\d)", r"\1 minus "),
    (r"°\s?(?=[NSEW]\b)", " degrees "),
    *MONEY,
    *UNITS,
    *RANGES,
    (r"\b([A-D])-(?=[\s,.;!?)]|$)", r"\1 minus"),
    (r"(?<=[=<>≈≤≥+×÷*] )([1-9])(?=\d{3}(?![\d.,:-]))", r"\1,"),  # no year
    # Signs between and before numbers
    (r"(?<=\d)\s*\*\*\s*(?=[\d(-])", " to the power of "),
    (rf"(?<=\d)\s?[x×]\s?(?={NUMBER}(?:-[a-z]|\s?@|{_DIMENSION}))", " by "),
    (rf"(?<={_OPERAND})\s*[×⋅·✕]\s*(?={_NEXT})|(?<=\d) x (?=\d)", " times "),
    (r"(?<=\d) % (?=\d)", " mod "),
    (r"(?<=[\d)])(\s*)\*\1(?=[\w(-])|(?<=\b\w)\s*\*\s*(?=\w\b)", " times "),
    (rf"(?<={_OPERAND})\s*÷\s*(?={_NEXT})", " divided by "),
    (r"(?<=[\d)])\s+/\s+(?=[\d(])", " divided by "),
    (rf"(?<={_OPERAND})\s+[-−–]\s+(?=[\d(√$£€−-]|\w\b)", " minus "),
    (rf"(?<={_OPERAND})\s*−\s*(?=[\d(√])", " minus "),
    (r"(?<![\w)])[-−–](?=\d|\.\d)", "minus "),
    (r"(?<=[(=<>*/+^≤≥≈ ])[-−]\s?(?=\d)|−", " minus "),
    (rf"(?<={_OPERAND})\s*(?:<=|≤|⩽)\s*(?={_NEXT})", " less than or equal to "),
    (rf"(?<={_OPERAND})\s*(?:>=|≥|⩾)\s*(?={_NEXT})", " greater than or equal to "),
    (rf"(?<={_OPERAND})\s*(?:!==?|≠|<>)\s*(?={_NEXT})", " is not equal to "),
    (rf"(?:(?<=\b\w)|(?<=[\d)]))\s*≈\s*(?={_NEXT})", " is about "),
    (rf"(?<={_OPERAND})\s*={{1,3}}\s*(?={_NEXT})", " equals "),
    (rf"(?<={_OPERAND})\s*<\s*(?={_NEXT})", " less than "),
    (rf"(?<={_OPERAND})\s*(?<![-=])>\s*(?={_NEXT})", " greater than "),
    (r"(?:≤|⩽|<=)\s*(?=\d)", "at most "),
    (r"(?:≥|⩾|>=)\s*(?=\d)", "at least "),
    (r"<\s*(?=\d)", "less than "),
    (r">\s*(?=\d)", "more than "),
    (r"[≈~∼]\s*(?=[\d$£€])", "about "),
    *((sign, f" {words} ") for sign, words in _SIGNS.items()),
    (r"[\u2200-\u22ff]", _by_its_name),
    (r"[Α-ΡΣ-ώ]", _letter),
    (r"\b([CF])#(?!\w)", r"\1 sharp"),
    (r"(?<=\S )\*(?= \S)", "asterisk"),
    (rf"(?<={_OPERAND})\s*\+\s*(?=[\w(√])(?<!\+)", " plus "),
    (r"(?<=\d)\+(?=\s|[.,;:!?)]|$)", " plus"),
    (r"(?<![\w)])\+(?=\d)", "plus "),
    (r"\s*±\s*", " plus or minus "),
    (r"(?<=\w)\^\(?([23])\)?(?![\w.])", lambda m: " squared" if m[1] == "2" else " cubed"),
    (r"(\d)\^\(?(-?\w+)\)?", r"\1 to the power of \2"),
    (r"(?<=[\w.])@(?=\w+\.\w)|(?<=\w\w)@(?=\w)", " at "),
    (r"→|⇒|⟶|=>|-+>", " to "),
    (r"(?:←|⇐|<-)", " from "),
    (r"№\s?", "number "),
    (r"§\s?", "section "),
    (r"°(?=[\s,.;!?)]|$)(?!\s?[CFK]\b)", " degrees"),
    (r"(?<=[A-Za-z]{2})\.(?=[a-z]{2,})", " dot "),
    (r"(?<=[\w:])\\(?=\w)", " backslash "),
    (r"\s*\|\s*", ", "),
)
_RULES = tuple((re.compile(pattern), words) for pattern, words in _WRITTEN)
_DROPPED = re.compile(
    r"\[(?:[ xX]|\^\w+)\]|={4,}|-{3,}|_{3,}|[*<>\\{}\u2190-\u21ff]|(?<!\w)[~^](?!\w)|"
    r"\(\s*\)|\[\s*\]"
)
_EAST_ASIAN = str.maketrans(
    {
        "。": ". ",
        "।": ". ",
        "۔": ". ",
        "؟": "? ",
        "،": ", ",
        "؛": "; ",
        "、": ", ",
        "，": ", ",
        "！": "! ",
        "？": "? ",
        "：": ": ",
        "；": "; ",
    }
)
_SPACE_BEFORE = re.compile(r"\s+(?=[,.;:!?](?!\d))|(?<=[,.;:!?])(?:\s*,)+")


def multiplied(text: str) -> str:
    """Return ``text`` with its products and stars in words, which markup would take away."""
    text = re.sub(r"(?<=\d)\s?[★⭐]", " stars", text)  # else an emoji
    text = re.sub(r"(?<=\d)\s*\*\*\s*(?=[\d(-])", " to the power of ", text)
    return re.sub(r"(?<=[\d)])\s*\*\s*(?=[\d(-])", " times ", text)


def spoken_form(text: str) -> str:
    """Return ``text`` with its numbers and signs as they are read."""
    text = text.translate(_EAST_ASIAN)
    for pattern, words in _RULES:
        text = pattern.sub(words, text)
    text = _SPACE_BEFORE.sub("", _DROPPED.sub(" ", text))
    return " ".join(text.split()).lstrip(",.;:!? ")
