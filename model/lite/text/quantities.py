"""Rules that read what is measured: units, rates and money."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

Words = str | Callable[[re.Match[str]], str]
Rule = tuple[str, Words]
"""A pattern, and what is read instead."""

NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
_SIGNED = {
    **{"$": "dollar", "£": "pound", "€": "euro", "¥": "yen", "฿": "baht"},
    **{
        chr(code): name.removesuffix(" SIGN").lower()
        for code in range(0x20A0, 0x20C1)
        if (name := unicodedata.name(chr(code), "")).endswith(" SIGN")
    },
}
_SIGNED |= {"€": "euro", "₹": "rupee"}
CURRENCY = f"[{''.join(_SIGNED)}]"
"""Signs of currencies."""

_PREFIXES = {
    **{" ": "", "k": "kilo", "K": "kilo", "M": "mega", "G": "giga", "T": "tera", "P": "peta"},
    **{"h": "hecto", "d": "deci", "c": "centi", "m": "milli", "µ": "micro", "μ": "micro"},
    **{"n": "nano", "p": "pico"},
}
_SI = {
    **{"g": ("gram", " kmµμn"), "m": ("meter", " kdcmµμn"), "s": ("second", " mµμn")},
    **{"l": ("liter", " hdcmµμ"), "L": ("liter", " hdcmµμ"), "t": ("tonne", " ")},
    **{"W": ("watt", " kMGTmµμ"), "Wh": ("watt hour", " kMGT"), "V": ("volt", " kMmµμ")},
    **{"A": ("amp", "kmµμn"), "Ah": ("amp hour", " m"), "J": ("joule", " kMG")},
    **{"N": ("newton", " kM"), "Pa": ("pascal", " khMG"), "Hz": ("hertz", " kMGT")},
    **{"F": ("farad", "mµμnp"), "B": ("byte", "kKMGTP")},
    **{"b": ("bit", "kMG"), "bps": ("bit per second", " kKMGT"), "eV": ("electron volt", " kMGT")},
    **{"cal": ("calorie", " k"), "mol": ("mole", " mµμ"), "lm": ("lumen", " ")},
    **{"lx": ("lux", " "), "dB": ("decibel", " "), "ha": ("hectare", " ")},
}
"""The name of each unit, and the prefixes it is used with; a space stands for no prefix."""
_UNITS = {
    (prefix + letter).strip(): _PREFIXES[prefix] + name
    for letter, (name, prefixes) in _SI.items()
    for prefix in prefixes
} | {
    **{"in": "inch", "ft": "foot", "yd": "yard", "mi": "mile", "lb": "pound", "lbs": "pound"},
    **{"oz": "ounce", "fl oz": "fluid ounce", "tbsp": "tablespoon", "tsp": "teaspoon"},
    **{"Tbsp": "tablespoon", "Tsp": "teaspoon"},
    **{"qt": "quart", "gal": "gallon", "h": "hour", "hr": "hour", "hrs": "hour", "min": "minute"},
    **{"mins": "minute", "sec": "second", "secs": "second", "wk": "week", "wks": "week"},
    **{"yr": "year", "yrs": "year", "mph": "mile per hour", "kph": "kilometer per hour"},
    **{"kmh": "kilometer per hour", "rpm": "revolution per minute", "bpm": "beat per minute"},
    **{"ppm": "part per million", "mmHg": "millimeter of mercury", "fps": "frame per second"},
    **{"mcg": "microgram", "cc": "cubic centimeter", "px": "pixel", "MP": "megapixel"},
    **{"mpg": "mile per gallon", "bar": "bar", "mbar": "millibar"},
    **{"Ω": "ohm", "kΩ": "kilo-ohm", "MΩ": "mega-ohm", "mΩ": "milliohm"},
}
_PERIODS = {"d": "day", "day": "day", "mo": "month", "person": "person", "K": "kelvin"}
"""Names that only stand beside other units."""
_NEEDS_SPACE = {"m", "s", "t", "J", "N"}
"""Units that are written apart: 5m may be millions, 90s a decade, 5J a seat."""
_NEEDS_NONE = {"in"}
"""Units that are words of their own after a space."""
_LENGTHS = [u for u, name in _UNITS.items() if name.endswith(("meter", "foot", "inch", "mile"))]
_PLURALS = {"foot": "feet", "inch": "inches", "krone": "kroner", "real": "reais"}
_UNCHANGED = ("hertz", "lux", "bar", "yen", "won", "baht", "dong")
"""Names that are their own plurals."""
_DOLLARS = {"C": "Canadian", "CA": "Canadian", "A": "Australian", "AU": "Australian"}
_DOLLARS |= {"NZ": "New Zealand", "HK": "Hong Kong", "S": "Singapore"}
_CODES = {"USD": "U.S. dollar", "CAD": "Canadian dollar", "AUD": "Australian dollar"}
_CODES |= {"EUR": "euro", "GBP": "pound", "CHF": "Swiss franc", "INR": "rupee", "JPY": "yen"}
_NAMED = _CODES | {f"{short}$": f"{name} dollar" for short, name in _DOLLARS.items()}
_NAMED["R$"] = "Brazilian real"
_NAMED |= {sign: name for sign, name in _SIGNED.items() if sign not in "$£€¥₹₩"}
"""What comes before an amount that the normaliser does not know."""
_LOCAL = _CODES | {"zł": "zloty", "Kč": "koruna", "kr": "krone", "Ft": "forint"}
"""What comes after an amount."""
_SCALE_WORDS = ("hundred", "thousand", "million", "billion", "trillion")
_SCALES = {
    **{"k": "thousand", "K": "thousand", "m": "million", "M": "million", "mn": "million"},
    **{"b": "billion", "B": "billion", "bn": "billion"},
    **{"tn": "trillion", "T": "trillion", "mln": "million", "Mio": "million", "mio": "million"},
    **{"mil": "million", "mld": "billion", "Mrd": "billion", "mrd": "billion"},
    **{word: word for word in _SCALE_WORDS},
    **{"lakh": "lakh", "lakhs": "lakh", "crore": "crore", "crores": "crore"},
}
_ATTRIBUTIVE = re.compile(r"\b(?:an?|this|another|my|your|his|our|their) $", re.IGNORECASE)
NOUN = re.compile(
    r" (?!(?:of|per|to|or|and|in|at|for|from|off|is|was|are|were|has|had|should|will|would|can|"
    r"could|if|when|because|every|each|last|next|on|by|with|as|than|but) )[A-Za-z]{2}"
)
_STREET = re.compile(
    r"\.? (?:\d+(?:st|nd|rd|th)|[A-Z][a-z]+ (?:St|Ave|Rd|Blvd|Dr|Ln|Pl|Ct|Way|Street|Avenue|Road|"
    r"Boulevard|Drive|Lane|Place|Court))\b"
)
_LONGITUDE, _LATITUDE = re.compile(r",? \d+(?:\.\d+)? ?[EW]\b"), re.compile(r"\d ?[NS],? $")
"""What comes after "350 W", after "40.7 N" and before "74.1 W" where they are no units."""


def _either(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_ANY = _either(_UNITS)
_SPACED = _either(set(_UNITS) - _NEEDS_NONE)
_CLOSE = _either(set(_UNITS) - _NEEDS_SPACE)
_PER = _either(_UNITS | _PERIODS)
_PER_WORD = rf"{_PER}|hour|minute|second|week|month|year|mile|night|serving"
_FACTOR = rf"({_PER})(⁻?[¹²³])?"
_PRODUCT = rf"(?:{_PER})(?:⁻?[¹²³])?(?:[·⋅](?:{_PER})(?:⁻?[¹²³])?)*"
_COMPOUND = rf"(?=[^\s,;]*[·⋅/⁻]){_PRODUCT}(?:/(?:\({_PRODUCT}\)|{_PRODUCT}))*"
_LENGTH = _either(_LENGTHS)
_PART = rf" (?:hal(?:f|ves)|thirds?|quarters?|[a-z]+ths?|{'|'.join(_SCALE_WORDS)})(?= )"
_AMOUNT = rf"(?<![\w$£€¥₹₩#])(?<![\w$£€¥₹₩][.,])({NUMBER}(?:{_PART})?|[½¼¾])"
_END = r"(?![\w²³'’-]|/(?!\d))(?:\.(?= [a-z=]))?"
_SCALE = rf"(?:\s?({_either(_SCALES)})(?!\w))?"
PLURAL = re.compile(
    r" (?:people|(?!(?:this|thus|plus|does|always|perhaps|hurdles|\w+wa[ry]d?s)\b)"
    r"[a-z]{3,}[a-rt-z]s)\b"
)
_SEVERAL = re.compile(r"(?:\d|\b(?:[Tt]he|two|three|four|five|six|several|both|these|some)) $")
"""What is counted in "5m users", and before "5m cables"."""
_FUNDS = re.compile(
    r"\b(?:rais|invest|earn|spen[dt]|worth|paid|pay|cost|fund|revenue|profit|budget|valu|sold|sales|"
    r"loss)[a-z]*\b[^.!?\d]{0,20}$"
)
_MEASURED = re.compile(r" (?:above|high|off|up|long|deep|tall|wide|away|from)\b")
"""What comes before "5m in funding", and after 5m where it is a length nevertheless."""
_PHONES = r"(?<!\b[2-6]g(?= (?:network|internet|phone|service|signal)))"


def plural(name: str) -> str:
    """Return the plural of a unit's ``name``: "mile per hour" gives "miles per hour"."""
    head, *rest = re.split(r"(?= per | of )", name, maxsplit=1)
    *front, last = head.split(" ")
    many = last if last.endswith(_UNCHANGED) else _PLURALS.get(last, f"{last}s")
    return " ".join([*front, many]) + "".join(rest)


def _is_before_noun(match: re.Match[str]) -> bool:
    """Return whether ``match`` is the measure in, say, "a 60 W bulb"."""
    before = match.string[: match.start()]
    return bool(_ATTRIBUTIVE.search(before) and NOUN.match(match.string, match.end()))


def _counted(match: re.Match[str], name: str) -> str:
    """Return the number that ``match`` begins with, and its unit."""
    number = match.group(1)
    a_part = number in "½¼¾" or (" " in number and not number.endswith(_SCALE_WORDS))
    a_part &= not match.string[: match.start()].endswith(" and ")
    singular = number in ("1", "1.0") or a_part or _is_before_noun(match)
    return f"{number} {name if singular else plural(name)}"


def _power(name: str, sign: str | None) -> str:
    if not sign or sign == "¹":
        return name
    if name == "second":
        return f"second {'squared' if sign in '²2' else 'cubed'}"
    return f"{'square' if sign in '²2' else 'cubic'} {name}"


def _unit(match: re.Match[str]) -> str:
    unit, text = match.group(2), match.string
    if unit in ("N", "W") and (
        _STREET.match(text, match.end())
        or _LONGITUDE.match(text, match.end())
        or _LATITUDE.search(text[: match.start()])
    ):
        return match.group()
    return _counted(match, _UNITS[unit])


def _area(match: re.Match[str]) -> str:
    return _counted(match, _power(_UNITS[match.group(2)], match.group(3)))


def _compound(match: re.Match[str]) -> str:
    """Read units that are multiplied (·) and divided (/, or a negative exponent)."""
    above, *below = (re.findall(_FACTOR, part) for part in match.group(2).split("/"))
    times = [_power(_named(unit), power) for unit, power in above if "⁻" not in power]
    per = [[(unit, power[1:])] for unit, power in above if "⁻" in power] + below
    divisors = [" ".join(_power(_named(unit), power) for unit, power in part) for part in per]
    return " per ".join([_counted(match, " ".join(times)), *divisors])


def _rate(match: re.Match[str]) -> str:
    return match[1] + "".join(f" per {_named(unit)}" for unit in match[2].split("/")[1:])


def _millions(match: re.Match[str]) -> str:
    before, after = match.string[: match.start()], match.string[match.end() :]
    counted = PLURAL.match(after) and not _SEVERAL.search(before)
    paid = _FUNDS.search(before) and not _MEASURED.match(after)
    return f"{match[1]} {_SCALES[match[2]]}" if counted or paid else match.group()


def _duration(match: re.Match[str]) -> str:
    large, small = ("hour", "minute") if match.group(2) == "h" else ("minute", "second")
    return f"{_counted(match, large)} {match.group(3)} {plural(small)}"


_NAMES = _either({*_UNITS.values(), *map(plural, _UNITS.values()), *_SCALE_WORDS})
DECIMAL_COMMAS: tuple[Rule, ...] = (
    (
        r"(?<![\d.,])(\d+),(\d{1,2})"
        rf"(?=\s?(?:{CURRENCY}|[°%])|[\s-]?(?:{_SPACED}|{_NAMES}|{_either(_LOCAL)})(?!\w))",
        r"\1.\2",
    ),
    (rf"(?<={CURRENCY})(\s?\d+),(\d\d)(?![\d,])", r"\1.\2"),
    (rf"(?<![\d.,])([1-9]\d{{0,2}})[. ](\d{{3}})(?=\s?(?:€|{_either(_LOCAL)})(?![\w/]))", r"\1,\2"),
    (r"(?<![\d.,])(\d{1,3}),(\d{5,})(?![\d,])", r"\1.\2"),
)
"""Numbers with a comma that no list or thousand explains, and prices with a point that one does."""

COMPOUNDS: tuple[Rule, ...] = ((rf"{_AMOUNT}\s?({_COMPOUND})(?![\w/])", _compound),)
"""To be tried before exponents are read."""

UNITS: tuple[Rule, ...] = (
    (r"(?<!\w)(\d+)\s?(h)\s?(\d{1,2})(?:\s?m(?:in)?)?(?!\w)", _duration),
    (r"(?<!\w)(\d+)\s?(m)(?:in)?\s?(\d{1,2})\s?s(?!\w)", _duration),
    (rf"(?<=\d)\s?(L|l|g|kcal|kWh)/(?=100\s?(?:{_ANY})\b)", lambda m: f" {m[1]} per "),
    (r"(?<=\d)\s?(m?g|mcg|[µμ]g|kcal|kJ)/(?=\d+(?:\.\d+)?\s?[dm]?[lL]\b)", r" \1 per "),
    (rf"{_AMOUNT} st (?=\d+ lbs?\b)", r"\1 stone "),
    (
        r"(?<![\w/])(km|mi|m)/([hs])(?![\w/])",
        lambda m: f"{plural(_UNITS[m[1]])} per {_UNITS[m[2]]}",
    ),
    (r"(?<![\w/])mph(?!\w)", "miles per hour"),
    (rf"{_AMOUNT}\s?({_LENGTH})([²³]|[23](?!\w))(?![/'’])", _area),
    (rf"{_AMOUNT}\s?sq\.? ?({_LENGTH})(?!\w)()", lambda m: _counted(m, f"square {_UNITS[m[2]]}")),
    (
        rf"{_AMOUNT} A(?= (?:fuse|circuit|breaker|current|charger)|\s*[.,;:)]|$)",
        lambda m: _counted(m, "amp"),
    ),
    (rf"{_AMOUNT} ({_SPACED}){_END}", _unit),
    (rf"{_AMOUNT}({_CLOSE}){_END}{_PHONES}", _unit),
    (rf"(?<![\w.])(?<![A-Z]-)(?<!\bthe )(\d+\.\d+|\d+[1-9])(s){_END}", _unit),
    (rf"{_AMOUNT}([mMB])(?! (?:race|sprint|dash)\b){_END}", _millions),
    (rf"{_AMOUNT}(m)(?= (?:wide|tall|long|deep|high|away|apart|thick)\b)", _unit),
    (rf"{_AMOUNT}(m){_END}(?!{NOUN.pattern})", _unit),
    (rf"{_AMOUNT} (in)\.?(?= (?:tall|wide|long|deep|high|thick|of rain|of snow)\b)", _unit),
    (r"(?:(?<=°[CF])|(?<=[°%])|(?<=[a-z]{3}s))\s?/\s?(?=\d)", ", "),
    (r"(?:(?<=ters)|(?<=feet)|(?<=ches)|(?<=ards)) [x×] (?=\d)", " by "),
    (rf"{_AMOUNT}m(?= (?:race|sprint|dash|hurdles)\b)", r"\1 meter"),
    (rf"{_AMOUNT}-({_ANY})(?= [a-z])", lambda m: f"{m[1]} {_UNITS[m[2]]}"),
    (rf"(?<=[a-z]s)/({_PER_WORD})(?!\w)", lambda m: f" per {_named(m[1])}"),
    (rf"(?<=\d)(\s?[A-Za-z]{{1,4}}|)((?:/(?:{_PER_WORD}))+)(?![\w/²³])", _rate),
)


def _named(unit: str) -> str:
    return (_UNITS | _PERIODS).get(unit, unit)


def _amounts(match: re.Match[str]) -> str:
    sign, first, scale, dash, last, last_scale = match.groups()
    falls = float(first.replace(",", "")) >= float(last.replace(",", "")) and not scale
    if falls and dash != dash.strip():
        return match.group()  # a subtraction
    low = f"{first} {_SCALES[scale]}" if scale else first
    high = f"{last} {_SCALES[last_scale]}" if last_scale else last
    name = _SIGNED[sign]
    return f"{low} to {high} {name if _is_before_noun(match) else plural(name)}"


def _scaled(match: re.Match[str]) -> str:
    name = _SIGNED[match[1]]
    return f"{match[2]} {_SCALES[match[3]]} {name if _is_before_noun(match) else plural(name)}"


def _bill(match: re.Match[str]) -> str:
    return f"{match[2]} {_SIGNED[match[1]]}" if _is_before_noun(match) else match.group()


def _after(match: re.Match[str]) -> str:
    number, scale, sign = match.groups()
    if sign in "$£€" and re.search(r"\.\d\d$", number) and not scale:
        return f"{sign}{number}"  # euros and cents
    name = (_SIGNED | _LOCAL)[sign]
    return f"{number} {_SCALES[scale]} {plural(name)}" if scale else _counted(match, name)


def _counted_money(number: str, scale: str | None, name: str) -> str:
    if scale:
        return f"{number} {_SCALES[scale]} {plural(name)}"
    return f"{number} {name if number in ('1', '1.00') else plural(name)}"


def _price(match: re.Match[str]) -> str:
    return f"{match[1]} per {_power(_named(match[2]), match[3])}"


MONEY: tuple[Rule, ...] = (
    (r"(?<=\d)(\s?(?:[Mm]io|[Mm]rd|mil|ml[dn]))\.", r"\1"),
    (r"\bUS\$\s?(?=\d)", "$"),
    (
        rf"(?<!\w)({_either(_NAMED)})\s?({NUMBER}){_SCALE}(?:\.[-–](?!\w))?(?!\w)",
        lambda m: _counted_money(m[2], m[3], _NAMED[m[1]]),
    ),
    (rf"({CURRENCY})\s?[-−](?=\d)", r"minus \1"),
    (
        rf"({CURRENCY})\s?({NUMBER}){_SCALE}(\s?[-–—]\s?){CURRENCY}?({NUMBER}){_SCALE}(?!\w)",
        _amounts,
    ),
    (rf"(?<![\w)])[-−–](?={CURRENCY}\d)", "minus "),
    (rf"({CURRENCY})\s?({NUMBER})\s?({_either(_SCALES)})(?!\w)", _scaled),
    (rf"({NUMBER}){_SCALE}\s?({CURRENCY})(?!\d)", _after),
    (rf"({NUMBER}){_SCALE}\s?({_either(_LOCAL)})(?!\w)", _after),
    (
        rf"({CURRENCY}{NUMBER}|\b(?:dollars|euros|pounds|rupees))\s?/\s?([A-Za-z]+)(²)?(?!\w)",
        _price,
    ),
    (r"([$£€])(\d+)(?![\d.,])", _bill),
    (r"(?<=\d)\s?(bn|tn|mn|ml[dn]|[Mm]io|[Mm]rd)(?!\w)", lambda m: f" {_SCALES[m[1]]}"),
)
