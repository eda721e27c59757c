"""Rules that read what is measured in a Spanish text: units, rates and money."""

from __future__ import annotations

import re
from collections.abc import Iterable

from model.lite.text.quantities import Rule
from model.lite.text.spanish.numbers import NUMBER, CountForm, between, form_for, number

_PREFIXES = {
    **{" ": "", "k": "kilo", "K": "kilo", "M": "mega", "G": "giga", "T": "tera", "h": "hecto"},
    **{"d": "deci", "c": "centi", "m": "mili", "µ": "micro", "μ": "micro", "n": "nano"},
}
_SI = {
    **{"g": ("gramo", " kmµμ"), "L": ("litro", " hdcm"), "l": ("litro", " hdcm")},
    **{"s": ("segundo", " mµμn"), "t": ("tonelada", " "), "W": ("vatio", " kMGTm")},
    **{"Wh": ("vatio hora", " kMGT"), "V": ("voltio", " km"), "A": ("amperio", " m")},
    **{"Ah": ("amperio hora", " m"), "J": ("julio", " kM"), "N": ("newton", " k")},
    **{"Pa": ("pascal", " khM"), "Hz": ("hercio", " kMG"), "cal": ("caloría", " k")},
    **{"B": ("bait", "kKMGT"), "b": ("bit", "kMG"), "bps": ("bit por segundo", " kMG")},
    **{"Ω": ("ohmio", " kM"), "dB": ("decibelio", " "), "ha": ("hectárea", " ")},
}
"""The name of each unit, as it is said, and its prefixes; a space stands for no prefix."""
_UNITS = {
    (prefix + letter).strip(): _PREFIXES[prefix] + name
    for letter, (name, prefixes) in _SI.items()
    for prefix in prefixes
} | {
    **{"m": "metro", "km": "kilómetro", "hm": "hectómetro", "dm": "decímetro", "cm": "centímetro"},
    **{"mm": "milímetro", "µm": "micrómetro", "μm": "micrómetro", "nm": "nanómetro"},
    **{"h": "hora", "hs": "hora", "hrs": "hora", "min": "minuto", "seg": "segundo"},
    **{"ft": "pie", "mi": "milla", "lb": "libra", "lbs": "libra", "oz": "onza", "in": "pulgada"},
    **{"mmHg": "milímetro de mercurio", "mph": "milla por hora", "rpm": "revolución por minuto"},
    **{"ppm": "parte por millón", "lpm": "latido por minuto", "px": "píxel", "bar": "bar"},
    **{"°C": "grado Celsius", "°F": "grado Fahrenheit", "°": "grado", "K": "kelvin"},
    **{"cda": "cucharada", "cdta": "cucharadita", "″": "pulgada", "%": "por ciento"},
    **{"‰": "por mil"},
}
_NEEDS_SPACE = {"A", "J", "K", "N", "V", "in"}
"""Units that are written apart: 4K and 3A are names."""
_MONEY = {
    **{"€": ("euro", "céntimo"), "$": ("dólar", "centavo"), "£": ("libra", "penique")},
    **{"US$": ("dólar", "centavo"), "¥": ("yen", ""), "₹": ("rupia", ""), "R$": ("real", "")},
    **{"EUR": ("euro", "céntimo"), "USD": ("dólar", "centavo"), "GBP": ("libra", "penique")},
    **{"MXN": ("peso mexicano", "centavo"), "ARS": ("peso argentino", "centavo")},
    **{"COP": ("peso colombiano", "centavo"), "CLP": ("peso chileno", ""), "JPY": ("yen", "")},
    **{"PEN": ("sol", "céntimo"), "CHF": ("franco suizo", "céntimo")},
}
_SCALES = {"M": "millones", "MM": "millones", "k": "mil", "mill.": "millones"}


def _either(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


ANY_UNIT = _either(_UNITS)
_UNIT = rf"(?:\s?({_either(_UNITS.keys() - _NEEDS_SPACE)})|\s({_either(_NEEDS_SPACE)}))"
CURRENCY = _either(_MONEY)
_SCALE = r"(?:\s?(millón|millones|billones|mil|mill\.|MM|[Mk](?=\s?[€$£])))?"
_POWERS = {"²": "cuadrado", "2": "cuadrado", "³": "cúbico", "3": "cúbico"}


def plural(name: str) -> str:
    """Return the plural of a unit's ``name``: "milla por hora" gives "millas por hora"."""
    head, *rest = re.split(r"(?= (?:por|de|hora|Celsius|Fahrenheit)\b)", name, maxsplit=1)
    return " ".join(map(_plural, head.split(" "))) + "".join(rest)


def _plural(word: str) -> str:
    if word.endswith(("it", "newton", "kelvin")) or word[-1] in "aeiou":
        return f"{word}s"
    return f"{word.replace('ón', 'on')}es"


def counted(digits: str, name: str) -> str:
    """Return ``digits`` in words with a unit's ``name``."""
    if name.startswith("por "):
        return f"{number(digits)} {name}"
    said = name if digits == "1" else plural(name)
    return f"{number(digits, form_for(said.split(' ')[0], digits))} {said}"


def _raised(unit: str, power: str | None) -> str:
    name = _UNITS.get(unit, unit)
    return f"{name} {_POWERS[power]}" if power else name


def _unit(match: re.Match[str]) -> str:
    digits, close, apart, power, per, per_power = match.groups()
    said = counted(digits, _raised(close or apart, power))
    return f"{said} por {_raised(per, per_power)}" if per else said


def _amount(digits: str, scale: str | None, sign: str) -> str:
    name, part = _MONEY[sign]
    if scale:
        word = _SCALES.get(scale, scale)
        many = plural(name) if word == "mil" else f"de {plural(name)}"
        gender = form_for(plural(name)) if word == "mil" else CountForm.MASCULINE
        return f"{number(digits, gender)} {word} {many}"
    whole, *rest = re.split("[.,]", digits)
    cents = rest[0].ljust(2, "0") if rest else ""
    if len(cents) != 2 or not part:
        return counted(digits, name)
    if not int(cents):
        return counted(whole, name)
    if not int(whole):
        return counted(str(int(cents)), part)
    return f"{counted(whole, name)} con {number(str(int(cents)), CountForm.MASCULINE)}"


def _range(match: re.Match[str]) -> str:
    sign, low, high, scale = match.groups()
    to = between(match.string[: match.start()])
    return f"{number(low)} {to} {_amount(high, scale, sign)}"


QUANTITIES: tuple[Rule, ...] = (
    (rf"(?:US)?\$\s?(?={NUMBER} ?(?:{CURRENCY}))", ""),
    (rf"({CURRENCY})\s?({NUMBER}) a (?:{CURRENCY})?({NUMBER}){_SCALE}(?!\w)", _range),
    (
        rf"(?<!\w)({CURRENCY})\s?({NUMBER}){_SCALE}(?!\w)",
        lambda m: _amount(m[2], m[3], m[1]),
    ),
    (
        rf"(?<![\w.,])({NUMBER}){_SCALE}\s?(?:de )?({CURRENCY})(?!\w)",
        lambda m: _amount(m[1], m[2], m[3]),
    ),
    (
        rf"(?<![\w.,])({NUMBER}){_UNIT}([²³]|[23](?!\w))?(?:\s?/\s?({ANY_UNIT}|[a-záéíóúñ]+)([²³])?)?"
        r"(?![\w²³])(?:\.(?= [a-z]))?",
        _unit,
    ),
    (r"(?<=\d)k(?!\w)", " mil"),
    (rf"({CURRENCY})(?!\w)", lambda m: f" {plural(_MONEY[m[1]][0])} "),
    (
        r"(?<![\w/])(km|m)/([hs])(?!\w)",
        lambda m: f"{plural(_UNITS[m[1]])} por {_UNITS[m[2]]}",
    ),
    (
        rf"(?<=[a-záéíóú])\s?/\s?({ANY_UNIT}|día|hora|mes|año|semana|noche|persona|kilo|litro)(²?)(?!\w)",
        lambda m: f" por {_raised(m[1], m[2])}",
    ),
    (r"(?<=\bde )(km|kg|cm|ha)(²?)(?!\w)", lambda m: plural(_raised(m[1], m[2]))),
)
"""Units, rates and money, to be tried where ranges and signs before a number are words already."""
