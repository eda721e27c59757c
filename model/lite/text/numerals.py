"""Rules that tell apart what digits are: amounts, telephone numbers, addresses, dates, ranges."""

from __future__ import annotations

import re
import unicodedata
from math import gcd

from model.lite.text.quantities import CURRENCY, DECIMAL_COMMAS, NUMBER, PLURAL, Rule

_DIGITS = ("oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_FIRST_YEAR, _LAST_YEAR = 1000, 2100
_CALLED = re.compile(
    r"\b(?:call(?:ing)?|dial(?:ing)?|(?:tele)?phone|tel|fax|text|ring|reach)\b[^.!?\d]{0,30}$",
    re.IGNORECASE,
)
_EMERGENCY = re.compile(r"\b(?:call|dial|text)(?:ing|ed)?\b[^.!?]*$", re.IGNORECASE)
_IDENTIFIED = (
    r"(?:(?:code|ID|PIN|[Zz]ip|ZIP|OTP|pass(?:code|word))(?: code| number)?(?: is)?|"
    r"[Tt]ext \W?\w+\W? to)"
)
"""What comes before three digits of an emergency line, and before digits that are a code."""
_LISTED = re.compile(r"\b(?:pages?|pp\.|years?|from|between|about|around|roughly) $", re.IGNORECASE)
"""What comes before a telephone number, and before a range."""
_PLAYED = re.compile(
    r"\b(?:beat|won|wins?|lost|loses?|leads?|led|defeat(?:s|ed)?|scored?|scores)\b[^.!?]{0,60}$"
)
_ODDS = re.compile(r"\bodds\b[^.!?\d]{0,20}$")
"""What comes before a result in sports, and before odds."""
_RATED = re.compile(r"\b(?:scor|rat(?:e|ing)|grad|mark)[a-z]*\b[^.!?\d]{0,30}$", re.IGNORECASE)
"""What comes before a number out of another."""
_SHORTEST_TELEPHONE = 7
_ORDINALS = (
    *("zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"),
    *("ninth", "tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth"),
    *("sixteenth", "seventeenth", "eighteenth", "nineteenth"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_PARTS = {2: "half", 4: "quarter"}
NAMED_PARTS = (*range(2, 11), 12, 16, 32, 64)
"""Denominators whose parts have names that people say; 23/38 is "23 over 38"."""
_PAIRS = {("24", "7"), ("20", "20"), ("9", "11")}
"""Numbers with a slash that are read one after the other."""
_MEASURED = re.compile(r"[- ]?(?:inch|in\b|of an?\b|of the\b|cup|t(?:ea|able)?sp|mile|ounce|oz\b)")
_MIXED = re.compile(r"\d and $")
"""What comes after a fraction that measures, and before one behind a whole number."""
_VERSIONED = "[Vv]ersion|Python|Java|Node|PHP|Ruby|Rust|Swift|Ubuntu|Android|iOS|macOS"
"""What 3.10 is "three point ten" after."""
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
_DAY = "|".join(f"{day}|{day[:3]}" for day in _DAYS)
_ON_A_DAY = re.compile(rf"\b(?:(?:on|due|date)\W+|(?:{_DAY})\.?,? )$", re.IGNORECASE)
_DATED = re.compile(
    rf"{_ON_A_DAY.pattern}|\b(?:by|until|till|since|before|after|through)\W+$", re.IGNORECASE
)
_TIMED = re.compile(rf",? (?:at|from) \d|,? \(?(?:{_DAY})\b")
"""What comes before and after a date; halves, say, come after "by", too."""
_MONTH = "|".join(f"{month}|{month[:3]}" for month in MONTHS)
_SUFFIX = r"[A-Za-z]{1,4}|°[CF]"
_DAY_OF = r"\d{1,2}(?:st|nd|rd|th)?"
_NAMES = {name[:3]: name for name in (*_DAYS, *MONTHS)}


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


def _emergency(match: re.Match[str]) -> str:
    called = _EMERGENCY.search(match.string[: match.start()])
    return _spelled(match.group()) if called else match.group()


def _telephone(match: re.Match[str]) -> str:
    text = match.group()
    groups = re.findall(r"\d+", text)
    if not _is_telephone(text, groups, match.string[: match.start()]):
        return text
    return ("plus " if text.startswith("+") else "") + ", ".join(map(_spelled, groups))


def _is_telephone(text: str, groups: list[str], before: str) -> bool:
    """Return whether ``text`` is read digit by digit, unlike a range, list or date."""
    led = groups[0].startswith("0") and len(groups[0]) > 1
    is_date = [len(group) for group in groups] == [4, 2, 2] and "-" in text
    if is_date or (len("".join(groups)) < _SHORTEST_TELEPHONE and not led):
        return False
    if led or text.startswith(("+", "(")) or groups[-1].startswith("0"):
        return True
    if len(groups) > 2:
        return max(map(len, groups)) > 2
    first, last = map(int, groups)
    if "-" not in text:
        return not all(len(g) == 4 and _is_year(int(g)) for g in groups)
    if first >= last or _CALLED.search(before):
        return True
    a_range = (first % 5 == last % 5 == 0 and first != 555) or _LISTED.search(before)
    return [len(group) for group in groups] == [3, 4] and not a_range


def _is_year(number: int) -> bool:
    return _FIRST_YEAR <= number <= _LAST_YEAR


def _grouped(match: re.Match[str]) -> str:
    text = match.group()
    first, *others = re.split(r"\D", text)
    if text.count(".") == 3 and all(
        group == str(int(group)) and int(group) < 256 for group in (first, *others)
    ):
        return text  # an address
    narrow = not re.search(r"[ .]", text)
    plain = len(first) < 3 or set("".join(others)) == {"0"}
    return "".join([first, *others]) if narrow or plain else text


def _zeros(match: re.Match[str]) -> str:
    return _spelled(match.group())


def _dotted(match: re.Match[str]) -> str:
    """Read a version and what is appended to it, or an address and the end of its range."""
    is_address = match[1].count(".") == 3
    main = match[1].replace(".", " dot " if is_address else " point ")
    signs = {"+": " plus ", ".": " point ", "-": " to " if is_address else " dash "}
    added = re.sub(r"-(?=[A-Za-z])", " ", re.sub(r"\.(?=[A-Za-z])", " dot ", match[2]))
    return main + re.sub(r"[-+.]", lambda sign: signs[sign.group()], added)


def _european(match: re.Match[str]) -> str:
    return f"{match.group(1).replace('.', ',')}.{match.group(2)}"


def _code(match: re.Match[str]) -> str:
    groups = re.split(r"[ -]", match.group())
    return ", ".join(" ".join(_DIGITS[int(c)] if c.isdigit() else c for c in g) for g in groups)


def _date(match: re.Match[str]) -> str:
    first, second, year = match.groups()
    if "." in match.group() and int(second) <= 12:
        first, second = second, first  # the day comes first
    low, high = sorted((int(first), int(second)))
    return f"{first}/{second}/{year}" if 1 <= low <= 12 and high <= 31 else match.group()


def _proportions(match: re.Match[str]) -> str:
    parts = match.group().split(":")
    is_time = all(len(part) == 2 for part in parts[1:])
    return match.group() if is_time else " to ".join(parts)


def _vulgar(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match.group()).replace("⁄", "/")


def ordinal(number: int) -> str:
    """Return "sixteenth" for 16, up to 100."""
    if number < len(_ORDINALS):
        return _ORDINALS[number]
    if number == 100:
        return "hundredth"
    tens, ones = divmod(number, 10)
    word = _TENS[tens - 2]
    return f"{word}-{_ORDINALS[ones]}" if ones else f"{word[:-1]}ieth"


def _fraction(match: re.Match[str]) -> str:
    above, below = match.groups()
    part, whole = float(above), int(below)
    before, after = match.string[: match.start()], match.string[match.end() :]
    if whole <= 12 < part <= 31 and _DATED.search(before):
        part, whole = whole, int(part)  # the day comes first
    measured = _MEASURED.match(after) or _MIXED.search(before)
    in_turn = len(above) == 4 or (part <= 12 and len(below) == 4)  # a season, a month
    a_pair = (above, below) in _PAIRS or part + whole == 100
    stars = whole in (10, 100) or (whole == 5 and ("." in above or after.startswith(" star")))
    stars |= bool(_RATED.search(before))
    joint = ""
    if _ODDS.search(before):
        joint = " to "
    elif (a_pair and not measured) or (in_turn and _is_year(max(int(part), whole))):
        joint = " "
    elif stars and 1 < part <= whole and not measured:
        joint = " out of "
    if joint:
        return f"{above}{joint}{below}"
    if "." in above:
        return match.group()
    dated = (_ON_A_DAY if whole <= 10 else _DATED).search(before) or _TIMED.match(after)
    if part <= 12 and whole <= 31 and dated and not measured:
        return f"{MONTHS[int(part) - 1]} {ordinal(whole)}"
    named = whole <= 10 or part == 1 or (whole in NAMED_PARTS and gcd(int(part), whole) == 1)
    if part < whole <= 100 and (named or measured):
        name = _PARTS.get(whole) or ordinal(whole)
        return f"{above} {name if part == 1 else f'{name}s'}"
    return f"{above} {'out of' if part < whole and PLURAL.match(after) else 'over'} {below}"


def _range(match: re.Match[str]) -> str:
    first, dash, last = match.groups()
    low, high = float(first.replace(",", "")), float(last.replace(",", ""))
    longest, before = max(len(first), len(last)), match.string[: match.start()]
    a_score = longest < 3 or (longest == 3 and _PLAYED.search(before))
    years = len(first) == 4 and len(last) == 2 and high > low % 100
    joined = low < high or (a_score and low != high) or years or dash != "-"
    joined |= before.endswith("etween ")
    return f"{first} to {last}" if joined else f"{first} {last}"


def _like_range(match: re.Match[str]) -> str:
    """Read "10 kg - 12 kg" as a range, and leave a subtraction alone."""
    first, unit, _, dash, last, equals = match.groups()
    falls = float(first.replace(",", "")) > float(last.replace(",", ""))
    return match.group() if equals or (falls and dash != dash.strip()) else f"{first}{unit} to "


def _names(match: re.Match[str]) -> str:
    return f"{_NAMES[match.group(1)[:3]]} to {_NAMES[match.group(2)[:3]]}"


def _days(match: re.Match[str]) -> str:
    month, first, last = match.groups()
    day = int(last.rstrip("stndrh"))
    return f"{month} {first} to {ordinal(day)}" if day <= 31 else match.group()


NUMERALS: tuple[Rule, ...] = (
    (
        rf"(?<![\d.,$£€])({NUMBER})(\s?({_SUFFIX}))(\s?[-–—]\s?)(?=[$£€]?({NUMBER})\s?\3(?!\w)(\s*=)?)",
        _like_range,
    ),
    (r"(?<![\d.,])(\d{1,3}(?:\.\d{3})+),(\d{1,2})(?![\d.,]\d|\d)", _european),
    *DECIMAL_COMMAS,
    (
        r"(?<![\d/])((?:19|20)\d\d)/(\d{1,2})/(\d{1,2})(?![\d/])",
        lambda m: f"{m[1]}-{m[2]:0>2}-{m[3]:0>2}",
    ),
    (r"\b((?:[Aa]t|[Ff]rom|[Uu]ntil|[Tt]ill|[Bb]y) \d{1,2})h(?!\w)", r"\1:00"),
    (r"\b((?:[Aa]t|[Ff]rom|[Uu]ntil|[Tt]ill|[Bb]y) \d{1,2})h([0-5]\d)(?!\w)", r"\1:\2"),
    (r"\b(0\d{3}) ?hrs\b", r"\1 hours"),
    (r"(?<=\d0s)['’](?=\s)", ""),
    (r"(?<=, [A-Z]{2} )\d{5}(?:-\d{4})?(?![\w-])", _code),
    (r"\b[A-Z]{2}\d\d(?: [A-Z\d]{4}){2,7}(?: [A-Z\d]{1,3})?\b", _code),
    (r"(?<=\d) \(0\)(?=\d)", " "),  # not dialled from abroad
    (r"(?<![\d:])\d{1,2}(?::\d{1,2}){2,}(?![\d:])", _proportions),
    # Minutes and seconds, or a chapter and its verses, not the hour
    (r"(?<![\d:.])(2[5-9]|[3-9]\d|1\d\d):0([1-9])(?![\d:])", r"\1 oh \2"),
    (r"(?<![\d:.])(2[5-9]|[3-9]\d|1\d\d):00(?![\d:])", r"\1 minutes"),
    (r"(?<![\d:])(\d{1,3}):(\d)(?=[-–]\d{1,3}(?![\d:]))", r"\1 \2"),
    (r"(?<![\d:.])(\d{1,2})\.([0-5]\d)(?=\s?(?:[ap]\.?m\b|Uhr\b))", r"\1:\2"),
    (r"(?<![\d.,])\d{1,2}(?:,\d{2})+,\d{3}(?!\d|,\d)", lambda m: m.group().replace(",", "")),
    (r"(?<![\d.,])[1-9]\d{0,2}(?:[ \u00a0\u202f\u2009.]\d{3}){2,}(?!\d|[ .,]\d)", _grouped),
    (r"(?<![\d.,])[1-9]\d{0,2}[\u00a0\u202f\u2009]\d{3}(?!\d|[ .,]\d)", _grouped),
    (r"(?<![\w.,'’])[1-9]\d{0,2}(?:['’]\d{3})+(?![\w'’])", lambda m: re.sub("['’]", ",", m[0])),
    (r"(?<![\d.,])[1-9]\d{0,2}[ ]000(?!\d|[ .,]\d)", _grouped),
    (r"[\u00a0\u202f\u2009\u2007]", " "),
    (r"(?<=\d),(?=\d{1,2}(?!\d)|\d{4})", ", "),
    (r"(?<=[$£€])\.(?=\d)", "0."),
    (r"(?<=\d)\s?(?=[¼-¾⅐-⅞])", " and "),
    (r"[⅐-⅞]|(?<=\d)⁄(?=\d)", _vulgar),
    (r"(?<![\w.])\d{3}\.\d{3}\.\d{4}(?![\w.]\d|\w)", _telephone),
    (r"\b0x(?=[0-9A-Fa-f])", "0 x "),
    (r"(?<=\b[vV])(?=\d)", " "),
    (r"(?<=\d)[ -](?=[1-9]\d?/(?:2|3|4|8|16|32|64)\b)|(?<=\d) (?=\d/\d+\b)", " and "),
    (r"(?<![\w.-])(\d{1,2})[.-](\d{1,2})[.-]((?:19|20)\d\d)(?![\w-]|\.\d)", _date),
    (r"(?<![\w.,$£€-])(?:[1-9]11|112|110|119|999|988)(?![\w-]|[.,]\d| \d)", _emergency),
    (
        rf"\b({_IDENTIFIED}\W{{1,2}})(\d{{5,}})(?![\w-]|[.,]\d| \w+s\b)",
        lambda m: m[1] + " ".join(_DIGITS[int(digit)] for digit in m[2]),
    ),
    (r"\b1-(8(?:00|33|44|55|66|77|88))(?=-[A-Z]| numbers?\b)", lambda m: f"one {_spelled(m[1])}"),
    (r"(?<![\w.])(?:\+\d{1,3}[ -]?)?\(\d{2,5}\)[ -]?\d{3,4}[ -]\d{3,4}(?!\w)", _telephone),
    (
        r"(?<![\w.,:/$£€-])\+\d{7,15}(?!\w)|(?<!\w)\+\d{1,3}(?:[ -]\d{1,8}){1,5}(?![\w/])",
        _telephone,
    ),
    (r"(?<![\w.,/:-])0\d{2,5}[ /-]\d{5,8}(?![\w/:]|[.,]\d|-\d)", _telephone),
    (
        r"(?<![\w.,/:$£€¥₹₩-])\+?\d{1,5}(?:[ -]\d{2,5}){1,5}(?![\w/:]|[.,]\d|-\d| ?%)",
        _telephone,
    ),
    (r"(?<![\w.-])\d{1,7}(?:-\d{1,7}){2,}(?![\w-])", _telephone),
    (r"(?<![\w.,$£€¥₹₩-])\d{6,}-\d{2,}(?![\w-])", _telephone),
    (
        r"(?:(?<![\w.])|(?<=\bv))(\d+(?:\.\d+){2,})(?!\w|\.\d)"
        r"((?:-\d{1,3}(?!\w|[.-]\d)|\+\d+(?!\w)|[.+-]\d*[A-Za-z][\w.]*\b)*)",
        _dotted,
    ),
    (rf"((?:{_VERSIONED}|\b[vV]) ?\d+)\.(?=\d\d(?!\d))", r"\1 point "),
    (r"(?<![\w.,$£€])(\d+)\.0(?!\w|\.\d)", r"\1 point 0"),
    (r"(?<![\w.,:/$£€-])0\d+(?![\w:/]|[.,]\d|-\d)", _zeros),
    (r"(?<![\w./,:$£€-])([1-9]\d{0,3}(?:\.\d)?)/([1-9]\d{0,3})(?![\w/]|[.,]\d)", _fraction),
)
"""Rules to be tried before any sign between digits is read."""

RANGES: tuple[Rule, ...] = (
    (rf"\b({_DAY})\.?\s?[-–—]\s?({_DAY})\b", _names),
    (
        rf"\b({_DAY})(?=:? \d{{1,2}}(?::\d\d|\s?[ap]\.?m\b|\s?[-–]\s?\d))",
        lambda m: _NAMES[m[1][:3]],
    ),
    (rf"\b({_MONTH})\.?\s?[-–—]\s?({_MONTH})\b", _names),
    (rf"\b({_MONTH})\.? ({_DAY_OF})\s?[-–—]\s?({_DAY_OF})(?![\w:])", _days),
    (rf"(?<=\d)\s?[-–—]\s?(?=(?:{_MONTH})\b)", " to "),
    (r"\bA\s?[-–]\s?Z\b", "A to Z"),
    (r"(?<=[%°])\s?[-–]\s?(?=\d)|(?<=°[CF])\s?[-–]\s?(?=\d)", " to "),
    (r"(?<=[\dmM.])\s?[-–]\s?(?=\d{1,2}(?::\d\d|\s?[apAP]\.?[mM]))", " to "),
    (r"(?<=\d(?:st|nd|rd|th))\s?[-–]\s?(?=\d)|(?<=\d)[-–—](?=[-−]\d)", " to "),
    (
        rf"(?<![\w.,/:–-])({NUMBER})(\s?–\s?|-)({NUMBER})"
        r"(?=[A-Za-z%°]{0,3}(?![\w–-]|/\d|\s*=))",
        _range,
    ),
    (
        rf"\b([Bb]etween (?:[A-Za-z]+ )?{CURRENCY}?\d\S*(?: [a-z]+){{0,2}}?) to (?={CURRENCY}?\d)",
        r"\1 and ",
    ),
)
