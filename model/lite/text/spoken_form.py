"""Write numbers and signs as a person reads them, where the voices' own normaliser would lose some.

hibari's normaliser, which every text passes afterwards, reads times, dates, units, ordinals,
fractions and most amounts. Here is what it drops or reads otherwise than a person.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_DIGITS = ("oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_MONEY = {"$": "dollars", "£": "pounds", "€": "euros", "¥": "yen", "₹": "rupees", "₩": "won"}
_SIGN = "[$£€¥₹₩]"
_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
_OPERAND = r"[\w)\]°%²³!]"
_NEXT = r"[\w(√∞.$£€-]"
_LENGTHS = {
    "mm": "millimeters",
    "cm": "centimeters",
    "km": "kilometers",
    "m": "meters",
    "ft": "feet",
    "in": "inches",
    "mi": "miles",
}
_MICRO = {
    "g": "grams",
    "m": "meters",
    "s": "seconds",
    "l": "liters",
    "L": "liters",
    "A": "amperes",
    "V": "volts",
    "F": "farads",
}
_OHMS = {"": "ohms", "k": "kiloohms", "M": "megaohms"}
_SIGNS = {
    "≠": "not equal to",
    "≤": "less than or equal to",
    "⩽": "less than or equal to",
    "≥": "greater than or equal to",
    "⩾": "greater than or equal to",
    "≈": "about",
    "√": "the square root of",
    "∛": "the cube root of",
    "∞": "infinity",
    "∑": "the sum of",
    "∏": "the product of",
    "∫": "the integral of",
    "∂": "partial",
    "∈": "in",
    "∉": "not in",
    "∀": "for all",
    "∃": "there exists",
    "∅": "the empty set",
    "∪": "union",
    "∩": "intersection",
    "⊂": "subset of",
    "∧": "and",
    "∨": "or",
    "¬": "not",
    "∴": "therefore",
    "↔": "and",
    "⇔": "and",
    "↑": "up",
    "↓": "down",
    "‰": "per thousand",
}
_FIRST_YEAR, _LAST_YEAR = 1000, 2100


def _spelled(digits: str) -> str:
    """Return ``digits`` as they are read one by one; "800" is "eight hundred"."""
    if (
        len(digits) > 2
        and digits.endswith("00")
        and set(digits[:-3]) <= {"0"}
        and digits[-3] != "0"
    ):
        return " ".join([*["oh"] * (len(digits) - 3), _DIGITS[int(digits[-3])], "hundred"])
    return " ".join(_DIGITS[int(digit)] for digit in digits)


def _telephone(match: re.Match[str]) -> str:
    text = match.group()
    groups = re.findall(r"\d+", text)
    if len(groups) == 2 and all(
        _FIRST_YEAR <= int(g) <= _LAST_YEAR and len(g) == 4 for g in groups
    ):
        return text if " " in text else f"{groups[0]} to {groups[1]}"
    is_date = [len(group) for group in groups] == [4, 2, 2] and "-" in text
    if is_date or (len("".join(groups)) < 7 and not groups[0].startswith("0")):
        return text
    return ("plus " if text.startswith("+") else "") + ", ".join(map(_spelled, groups))


def _grouped(match: re.Match[str]) -> str:
    first, *others = re.split(r"\D", match.group())
    narrow = not re.search(r"[ .]", match.group())
    plain = len(first) < 3 or set("".join(others)) == {"0"}
    return "".join([first, *others]) if narrow or plain else match.group()


def _zeros(match: re.Match[str]) -> str:
    return _spelled(match.group())


def _dotted(match: re.Match[str]) -> str:
    dot = " dot " if match.group().count(".") == 3 else " point "
    return dot.join(match.group().split("."))


def _amounts(match: re.Match[str]) -> str:
    return f"{match.group(2)} to {match.group(3)} {_MONEY[match.group(1)]}"


def _rate(match: re.Match[str]) -> str:
    units = {"h": "hour", "hr": "hour", "mo": "month", "wk": "week", "yr": "year", "lb": "pound"}
    return f"{match.group(1)} per {units.get(match.group(2), match.group(2))}"


def _european(match: re.Match[str]) -> str:
    return f"{match.group(1).replace('.', ',')}.{match.group(2)}"


def _raised(match: re.Match[str]) -> str:
    exponent = unicodedata.normalize("NFKC", match.group(1)).replace("−", "minus ")
    return f" to the power of {exponent.replace('+', 'plus ')}"


def _range(match: re.Match[str]) -> str:
    first, dash, last = match.groups()
    rises = float(first.replace(",", "")) < float(last.replace(",", ""))
    a_score = len(first) < 3 and len(last) < 3
    return f"{first} to {last}" if rises or a_score or dash != "-" else f"{first} {last}"


def _per_area(match: re.Match[str]) -> str:
    kind = "square" if match.group(2) == "²" else "cubic"
    length = _LENGTHS[match.group(1)]
    return f" per {kind} {'foot' if length == 'feet' else length.removesuffix('s')}"


def _area(match: re.Match[str]) -> str:
    kind = "square" if match.group(2) == "²" else "cubic"
    return f" {kind} {_LENGTHS[match.group(1)]}"


def _height(match: re.Match[str]) -> str:
    return f"{match.group(1)} feet {match.group(2)} inches"


Words = str | Callable[[re.Match[str]], str]

_WRITTEN: tuple[tuple[str, Words], ...] = (
    # Numbers
    (r"(?<![\d.,])(\d{1,3}(?:\.\d{3})+),(\d{1,2})(?![\d.,]\d|\d)", _european),
    (r"(?<![\d.,])[1-9]\d{0,2}(?:[ \u00a0\u202f\u2009.]\d{3}){2,}(?![\d.,]\d)", _grouped),
    (r"(?<![\d.,])[1-9]\d{0,2}[\u00a0\u202f\u2009]\d{3}(?![\d.,]\d)", _grouped),
    (r"(?<![\d.,])[1-9]\d?[ ]000(?![\d.,]\d)", _grouped),
    (r"[\u00a0\u202f\u2009\u2007]", " "),
    (r"(?<=\d),(?=\d{1,2}(?!\d)|\d{4})", ", "),
    (r"(?<![\w.])\d{3}\.\d{3}\.\d{4}(?![\w.]\d|\w)", _telephone),
    (r"\b0x(?=[0-9A-Fa-f])", "0 x "),
    (r"(?<=\b[vV])(?=\d)", " "),
    (r"(?<=\d) (?=\d/\d+\b)", " and "),
    (r"(?<=[\w)])([⁺⁻][⁰¹²³⁴-⁹]+|[⁰¹⁴-⁹][⁰¹²³⁴-⁹]*|[²³][⁰¹²³⁴-⁹]+)", _raised),
    (r"(?<![\w.])(?:\+\d{1,3}[ -]?)?\(\d{2,5}\)[ -]?\d{3,4}[ -]\d{3,4}(?!\w)", _telephone),
    (r"(?<![\w.,/:-])\+?\d{1,5}(?:[ -]\d{2,5}){1,5}(?![\w/:]|[.,]\d|-\d| ?%)", _telephone),
    (r"(?<![\w.,:/$£€-])\+\d{7,15}(?!\w)", _telephone),
    (r"(?<![\w.-])\d{1,7}(?:-\d{1,7}){2,}(?![\w-])", _telephone),
    (r"(?<![\w.,-])\d{6,}-\d{2,}(?![\w-])", _telephone),
    (r"(?<![\w.])\d+(?:\.\d+){2,}(?!\w|\.\d)|(?<=\bv)\d+(?:\.\d+){2,}(?!\w)", _dotted),
    (r"(?<![\w.,:/$£€-])0\d+(?![\w:/]|[.,]\d|-\d)", _zeros),
    (r"(?<!\w)(\d)\s?['′’]\s?(\d{1,2})\s?(?:[\"″”]|'')", _height),
    (r"(?<=\d)\s?[″](?!\w)", " inches"),
    (r"(?<![\d:])(\d{1,3}):(\d)(?![\d:])", r"\1 to \2"),
    (r"(\d)[eE]([+-]?\d+)(?!\w)", r"\1 times 10^\2"),
    (r"(?<![\w.])\.(?=\d)", "point "),
    (r"(?<=\d) x (?=\d)", " times "),
    (r"(?<=\d)x(?=\d)", " by "),
    (rf"(?<=\d)\s?({'|'.join(_LENGTHS)})([²³])(?!\w)", _area),
    (rf"(?<=\d)\s?[µμ]({'|'.join(_MICRO)})(?!\w)", lambda m: f" micro{_MICRO[m.group(1)]}"),
    (r"(?<=[A-Za-z])/(mm|cm|km|m|ft|in|mi)([²³])(?!\w)", _per_area),
    (r"(?<=\d)\s?([kM]?)Ω", lambda m: f" {_OHMS[m.group(1)]}"),
    (r"(?<=\d)\s?h\b", " hours"),
    (r"°\s?(?=[NSEW]\b)", " degrees "),
    # Money
    (rf"({_SIGN})\s?[-−](?=\d)", r"minus \1"),
    (rf"({_SIGN})({_NUMBER})\s?[-–—]\s?{_SIGN}?({_NUMBER})(?!\w|\s?(?:m|b)illion)", _amounts),
    (rf"(?<![\w)])[-−–](?={_SIGN}\d)", "minus "),
    (rf"({_NUMBER})\s?([$€£¥₹])(?!\d)", lambda m: f"{m.group(1)} {_MONEY[m.group(2)]}"),
    (rf"({_SIGN}{_NUMBER})\s?/\s?([a-z]+)\b", _rate),
    # Ranges
    (r"(?<=%)\s?[-–]\s?(?=\d)", " to "),
    (r"(?<=[\dmM.])\s?[-–]\s?(?=\d{1,2}(?::\d\d|\s?[apAP]\.?[mM]))", " to "),
    (r"(?<=\d(?:st|nd|rd|th))\s?[-–]\s?(?=\d)", " to "),
    (
        rf"(?<![\w.,/:–-])({_NUMBER})(\s?–\s?|-)({_NUMBER})(?![\w–-]|/\d|\s*=)",
        _range,
    ),
    (r"\b([A-D])-(?=[\s,.;!?)]|$)", r"\1 minus"),
    (r"(?<=[=<>≈≤≥+×÷*] )([1-9])(?=\d{3}(?![\d.,:-]))", r"\1,"),  # no year
    # Signs between and before numbers
    (r"(?<=\d)\s*\*\*\s*(?=[\d(-])", " to the power of "),
    (rf"(?<={_OPERAND})\s*[×⋅·✕]\s*(?={_NEXT})", " times "),
    (r"(?<=[\d)])\s*\*\s*(?=[\w(-])|(?<=\b\w)\s*\*\s*(?=\w\b)", " times "),
    (rf"(?<={_OPERAND})\s*÷\s*(?={_NEXT})", " divided by "),
    (r"(?<=[\d)])\s+/\s+(?=[\d(])", " divided by "),
    (rf"(?<={_OPERAND})\s+[-−–]\s+(?=[\d(√−-]|\w\b)", " minus "),
    (rf"(?<={_OPERAND})\s*−\s*(?=[\d(√])", " minus "),
    (r"(?<![\w)])[-−–](?=\d|\.\d)", "minus "),
    (r"(?<=[(=<>*/+^≤≥≈ ])[-−]\s?(?=\d)|−", " minus "),
    (rf"(?<={_OPERAND})\s*(?:<=|≤|⩽)\s*(?={_NEXT})", " less than or equal to "),
    (rf"(?<={_OPERAND})\s*(?:>=|≥|⩾)\s*(?={_NEXT})", " greater than or equal to "),
    (rf"(?<={_OPERAND})\s*(?:!=|≠|<>)\s*(?={_NEXT})", " is not equal to "),
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
    (r"\b([CF])#(?!\w)", r"\1 sharp"),
    (r"(?<=\S )\*(?= \S)", "asterisk"),
    (rf"(?<={_OPERAND})\s*\+\s*(?=[\w(√])(?<!\+)", " plus "),
    (r"(?<=\d)\+(?=\s|[.,;:!?)]|$)", " plus"),
    (r"(?<![\w)])\+(?=\d)", "plus "),
    (r"\s*±\s*", " plus or minus "),
    (r"(\d)\^\(?(-?\w+)\)?", r"\1 to the power of \2"),
    (r"(?<=\d)!(?=\s*[=)])", " factorial"),
    (r"(?:→|⇒|⟶|=>|->)", " to "),
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
    {"。": ". ", "、": ", ", "，": ", ", "！": "! ", "？": "? ", "：": ": ", "；": "; "}
)
_SPACE_BEFORE = re.compile(r"\s+(?=[,.;:!?](?!\d))|(?<=[,.;:!?])(?:\s*,)+")


def multiplied(text: str) -> str:
    """Return ``text`` with its products in words, since markdown takes asterisks for emphasis."""
    text = re.sub(r"(?<=\d)\s*\*\*\s*(?=[\d(-])", " to the power of ", text)
    return re.sub(r"(?<=[\d)])\s*\*\s*(?=[\d(-])", " times ", text)


def spoken_form(text: str) -> str:
    """Return ``text`` with its numbers and signs as they are read."""
    text = text.translate(_EAST_ASIAN)
    for pattern, words in _RULES:
        text = pattern.sub(words, text)
    text = _SPACE_BEFORE.sub("", _DROPPED.sub(" ", text))
    return " ".join(text.split()).lstrip(",.;:!? ")
