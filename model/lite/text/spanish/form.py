"""Write the numbers, signs and abbreviations of a Spanish text in words, as a person reads them."""

from __future__ import annotations

import re
import unicodedata
from math import gcd

from model.lite.text.names import roman
from model.lite.text.numerals import NAMED_PARTS
from model.lite.text.quantities import Rule
from model.lite.text.spanish.numbers import (
    NUMBER,
    CountForm,
    between,
    cardinal,
    form_between,
    form_for,
    fraction,
    number,
    ordinal,
    spelled,
)
from model.lite.text.spanish.quantities import ANY_UNIT, CURRENCY, QUANTITIES, counted

_MONTHS = (
    *("enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre"),
    *("octubre", "noviembre", "diciembre"),
)
_ABBREVIATIONS = {
    **{r"EE\.?\s?UU\.?": "Estados Unidos", r"JJ\.?\s?OO\.?": "Juegos Olímpicos"},
    **{r"RR\.?\s?HH\.?": "recursos humanos", r"[Pp]\.\s?ej\.": "por ejemplo"},
    **{r"[Aa]\.\s?[Cc]\.": "antes de Cristo", r"[Dd]\.\s?[Cc]\.": "después de Cristo"},
    **{r"Sr\.": "señor", r"Sra\.": "señora", r"Sres\.": "señores", r"Srta\.": "señorita"},
    **{r"Dr\.": "doctor", r"Dra\.": "doctora", r"Prof\.": "profesor", r"Profa\.": "profesora"},
    **{r"Lic\.": "licenciado", r"Ing\.": "ingeniero", r"[UV]d\.": "usted"},
    **{r"[UV]ds\.": "ustedes", r"№": "número", r"[Tt](?:el|fno)\.": "teléfono"},
    **{r"D\.ª": "doña", r"D\.(?= [A-ZÁÉÍÓÚÑ])": "don", r"[Aa]prox\.": "aproximadamente"},
    **{r"[Nn](?:\.\s?º|º|\.°|°|úm\.|ro\.)": "número"},
    **{r"[Aa]v(?:da)?\.": "avenida", r"[Cc]/(?=\s?[A-ZÁÉÍÓÚÑ])": "calle ", r"[Pp]za\.": "plaza"},
    **{r"[Pp](?:ág|g)?\.(?=\s?\d)": "página", r"[Pp]ágs\.": "páginas", r"[Cc]ap\.": "capítulo"},
    **{r"[Aa]rt\.": "artículo", r"[Vv]ol\.": "volumen", r"[Ff]ig\.": "figura"},
    **{r"[Vv]s\.?": "contra"},
    **{r"[Mm]áx\.": "máximo", r"[Mm]ín\.": "mínimo", r"s\.(?= [XVI])": "siglo", r"§": "sección"},
}
_NAMES_OF_LETTERS = """
b:be c:ce d:de f:efe g:ge h:hache j:jota k:ka l:ele m:eme n:ene ñ:eñe p:pe q:cu r:erre s:ese t:te
v:uve w:doble_uve x:equis y:i_griega z:zeta
α:alfa β:beta γ:gamma δ:delta ε:épsilon ζ:zeta η:eta θ:zeta ι:iota κ:kappa λ:lambda μ:mi ν:ni ξ:xi
ο:ómicron π:pi ρ:ro σ:sigma τ:tau υ:ípsilon φ:fi χ:ji ψ:psi ω:omega
"""
_LETTERS = dict(entry.split(":") for entry in _NAMES_OF_LETTERS.split())
_SIGNS = {
    **{"=": "es igual a", "≠": "es distinto de", "≤": "menor o igual que", "×": "por"},
    **{"≥": "mayor o igual que", "≈": "aproximadamente", "±": "más menos", "÷": "entre"},
    **{"√": "raíz cuadrada de", "→": "a", "⇒": "a", "∞": "infinito", "&": "y", "+": "más"},
    **{"−": "menos", "⋅": "por", "·": "por"},
}
_SYLLABLE = "(?:[bcdfgpt][lr]|ch|ll|qu|[bcdfghjklmnñprstvwxyz])?[aeiouáéíóú]{1,2}"
_WORDLIKE = re.compile(rf"(?:{_SYLLABLE}[nrslmxz]?)*{_SYLLABLE}[a-z]?", re.IGNORECASE)
"""Capitals that are read as a word, such as OTAN; others are spelt."""
_ROMAN = r"(?=[IVXLCDM]+\b)M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
_UP_TO_TEN = 10
"""Centuries and kings are numbered with ordinals up to here."""
_CALLED = re.compile(
    r"\b(?:tel[eé]fono|móvil|celular|whatsapp|fax|llam(?:a|e|ar|ando|en)|marc(?:a|ar|ando|que))\b"
    r"[^.!?\d]{0,20}$",
    re.IGNORECASE,
)
_CODED = re.compile(r"\b(?:códigos?|contraseña|pin|dni|clave)\b[^.!?\d]{0,20}$", re.IGNORECASE)
"""What comes before a telephone number, and before a code."""
_SHORTEST_TELEPHONE = 5
_DATED = re.compile(
    r"\b(?:[Ee]l|[Dd]el|[Aa]l|día|lunes|martes|miércoles|jueves|viernes|sábado|domingo),? $"
)
_QUARTERS = {15: "cuarto", 30: "media"}
_FEMININE_ENDINGS = ("ª", "a")


def _digits(match: re.Match[str]) -> str:
    """Read a telephone number or a code digit by digit, a group after the other."""
    text, before = match.group(), match.string[: match.start()]
    groups = re.findall(r"\d+", text)
    length = sum(map(len, groups))
    thousands = all(len(group) == 3 for group in groups[1:]) and groups[0][0] != "0"
    led = length > 6 and text[0] in "+("
    led |= groups[0][0] == "0" and len(groups[0]) > 1
    years = "-" in text and all(len(group) == 4 and group < "2100" for group in groups)
    grouped = length > 6 and len(groups) > 1 and not years and (not thousands or length == 9)
    alone = len(groups) == 1 and length > 8 and not text.endswith("000")
    called = length >= _SHORTEST_TELEPHONE and _CALLED.search(before)
    if not (led or grouped or alone or called or _CODED.search(before)):
        return text
    return ("más " if text[0] == "+" else "") + ", ".join(map(spelled, groups))


def _dotted(match: re.Match[str]) -> str:
    return " punto ".join(number(part) for part in match.group().split("."))


def _joined(match: re.Match[str]) -> str:
    return re.sub(r"\D", "", match.group())


def _date(day: str, month: str, year: str = "") -> str:
    """Return the date in words, empty if it is none."""
    if int(month) > 12:
        day, month = month, day
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return ""
    if len(year) == 2:
        year = ("19" if int(year) > 50 else "20") + year
    first = "primero" if int(day) == 1 else cardinal(day)
    said = f"{first} de {_MONTHS[int(month) - 1]}"
    return f"{said} de {cardinal(year)}" if year else said


def _short_date(match: re.Match[str]) -> str:
    dated = _DATED.search(match.string[: match.start()])
    return (dated and _date(match[1], match[2])) or match.group()


def _time(match: re.Match[str]) -> str:
    hour, minute, second, half = match.groups()
    hours, minutes = int(hour), int(minute or 0)
    if hours > 24 or minutes > 59:
        return match.group()
    if second:
        return (
            f"{counted(hour, 'hora')}, {counted(minute, 'minuto')} y {counted(second, 'segundo')}"
        )
    said = cardinal(hour, CountForm.FEMININE)
    if minutes:
        short = _QUARTERS.get(minutes) if 0 < hours <= 12 else None
        said += f" y {short or cardinal(minute)}"
    elif hours > 12:
        said += " horas"
    if not half:
        return said
    at_noon = hours == 12
    morning = "a" in half.lower()
    if morning:
        return f"{said} de la {'noche' if at_noon else 'mañana'}"
    return f"{said} de la {'noche' if hours >= 8 and not at_noon else 'tarde'}"


def _ordinal(match: re.Match[str]) -> str:
    ending = match[2].lower()
    noun = re.match(r"\s+([a-záéíóúñ]+)", match.string[match.end() :])
    before_noun = noun is not None and form_for(noun[1], "1") is CountForm.MASCULINE
    feminine = ending.endswith(_FEMININE_ENDINGS)
    return ordinal(int(match[1]), feminine=feminine, before_noun=before_noun or ending == "er")


def _ranked(numeral: str, *, feminine: bool = False) -> str:
    value = roman(numeral)
    return ordinal(value, feminine=feminine) if value <= _UP_TO_TEN else cardinal(str(value))


def _regnal(match: re.Match[str]) -> str:
    return f"{match[1]} {_ranked(match[2], feminine=match[1].endswith(('a', 'bel')))}"


def _fraction(match: re.Match[str]) -> str:
    whole, above, below = match.groups()
    if (above, below) == ("24", "7"):
        return f"{above} {below}"
    noun = re.match(r"\s+([a-záéíóúñ]+)", match.string[match.end() :])
    part = int(below)
    named = part <= 10 or int(above) == 1 or (part in NAMED_PARTS and gcd(int(above), part) == 1)
    a_part = named or whole or (noun and noun[1] in ("de", "del"))
    if not (1 <= int(above) < part <= 100 and a_part):
        return f"{whole or ''}{above} sobre {below}"
    form = form_for(noun[1], "1") if noun else CountForm.NOTHING
    counts = form is not CountForm.NOTHING
    said = fraction(above, below)
    if (above, below) == ("1", "2") and (whole or counts):
        said = "media" if form is CountForm.FEMININE else "medio"
    elif counts and not whole:
        said += " de"
    return f"{number(whole.strip(), form)} y {said}" if whole else said


def _vulgar(match: re.Match[str]) -> str:
    plain = unicodedata.normalize("NFKC", match[2]).replace("⁄", "/")
    return f"{match[1]} {plain}" if match[1] else plain


def _between(match: re.Match[str]) -> str:
    """Read a dash between two numbers: a subtraction, or a range or result. Of a unit, that of the
    last is said."""
    first, _, dash, last = match.groups()
    falls = float(first.replace(",", ".")) >= float(last.replace(",", "."))
    minus = "−" in dash or (dash == " - " and falls)
    return f"{first} {'menos' if minus else between(match.string[: match.start()])} "


def _power(match: re.Match[str]) -> str:
    exponent = unicodedata.normalize("NFKC", match[1]).lstrip("^").replace("−", "-")
    squared = {"2": " al cuadrado", "3": " al cubo"}.get(exponent)
    return squared or f" elevado a {exponent.replace('-', 'menos ')}"


def _inches(match: re.Match[str]) -> str:
    return match.group() if match.string.count('"', 0, match.start()) % 2 else " pulgadas"


def _count(match: re.Match[str]) -> str:
    before, after = match.string[: match.start()], match.string[match.end() :]
    return number(match.group(), form_between(before, match.group(), after))


def _capitals(match: re.Match[str]) -> str:
    word = match.group()
    return word if _WORDLIKE.fullmatch(word) else " ".join(map(_named, word))


def _named(letter: str) -> str:
    return _LETTERS.get(letter.lower(), letter.lower()).replace("_", " ")


_N = r"(?<![\w.,/:-])"
_ENDS = r"\s*$|\s+[A-ZÁÉÍÓÚÑ¿¡]"
"""What follows a point that ends a sentence."""
_HALF = rf"\s?([apAP])\.?\s?[mM](?!\w)(?:\.(?!{_ENDS}))?"
_MONTH = "|".join(_MONTHS)
_WRITTEN: tuple[Rule, ...] = (
    (r"[ªº˚](?=\s?[CF]\b)", "°"),
    (r"[\u2009\u202f\u2007](?=%|€|\D)", " "),
    (rf"\betc\.(?={_ENDS})", "etcétera."),
    (r"(?<=\b[vV])(?=\d)", " "),
    *((rf"(?<![\w.]){short}(?!\w)", words) for short, words in _ABBREVIATIONS.items()),
    (rf"\b([Ss]iglos?) ({_ROMAN})(?!\w)", lambda m: f"{m[1]} {_ranked(m[2])}"),
    (rf"\b([A-ZÁÉÍÓÚ][a-záéíóúñ]+) ((?=[IVX]{{2}}|[IV]){_ROMAN})(?![\w’'])", _regnal),
    (
        rf"\b([a-záéíóúñ]{{3,}}) ((?=[IVXLC]{{2}}|[IVX]){_ROMAN})(?![\w’'])",
        lambda m: f"{m[1]} {cardinal(str(roman(m[2])))}",
    ),
    (r"(?<![\w.,])(\d{1,3})\.?\s?(º|ª|er|era|[rdtmvn][oa])(?!\w)", _ordinal),
    (rf"(?<![\w.,])(\d)(°)(?= (?:{_MONTH}|de (?:{_MONTH})))", _ordinal),
    (rf"(?<![\w.,])1(?= de (?:{_MONTH}))", "primero"),
    (
        rf"{_N}(\d{{1,2}})([/.-])(\d{{1,2}})\2(\d{{4}}|\d\d)(?![\w/-]|\.\d)",
        lambda m: _date(m[1], m[3], m[4]) or m[0],
    ),
    (
        rf"{_N}(\d{{4}})([/.-])(\d{{1,2}})\2(\d{{1,2}})(?![\w/-]|\.\d)",
        lambda m: _date(m[4], m[3], m[1]) or m[0],
    ),
    (rf"{_N}(\d{{1,2}})/(\d{{1,2}})(?![\w/])", _short_date),
    (
        r"(?<![\w.,/:$£€¥-])\+?(?:\(\d{1,4}\)[ -]?)?\d+(?:[ -]\d+){0,6}"
        r"(?![\w/:°]|[.,]\d|[ -]\d|\s?[%€$])",
        _digits,
    ),
    # Separators of thousands
    (r"(?<![\w.,])[1-9]\d{0,2}(?:\.\d{3})+(?!\d|\.\d)", _joined),
    (r"(?<![\w.,])[1-9]\d{0,2}(?:[ \u00a0\u202f\u2009]\d{3})+(?!\d|[ .]\d)", _joined),
    (
        r"(?<![\w.,])[1-9]\d{0,2}(?:(?:,\d{3}){2,}|(?:,\d{3})+(?=\.\d)|(?<=[$£]\d),\d{3}|"
        r"(?<=[$£]\d\d),\d{3}|(?<=[$£]\d{3}),\d{3}|,\d00)(?!\d|,\d)",
        _joined,
    ),
    (r"\u00a0", " "),
    (r"(?<![\w.,])\d+(?:\.\d+){2,}(?!\w)", _dotted),
    (
        r"(?<=\d)\s?[-–—]\s?(?=\d{1,2}(?:[:h]\d\d|\s?[ap]\.?\s?m\b))",
        lambda m: f" {between(m.string[: m.start()])} ",
    ),
    (rf"(?<![\w.,:])(\d{{1,2}}):(\d\d)(?::(\d\d))?(?![\w:])(?:{_HALF})?(?:\s?h(?!\w))?", _time),
    (r"(?<![\w.,:])(\d{1,2})h([0-5]\d)()()(?!\w)", _time),
    (r"(?<![\w.,:])(\d{1,2})\.(\d\d)()()\s?h(?!\w)", _time),
    (r"(?<=[Ll]as )(\d{1,2})\.([0-5]\d)()()(?![\w,]|\.\d)", _time),
    (rf"(?<![\w.,:])(\d{{1,2}})()(){_HALF}", _time),
    (r"(?<=\b[Ll]a )1(?![\w.,]\d|\w)", "una"),
    (r"(?<=\d):(?=\d)", " a "),
    (r"(\d*)\s?([¼-¾⅐-⅞])", _vulgar),
    (r"(?<![\w/.,])(\d+ )?(\d{1,3})/(\d{1,3})(?![\w/]|[.,]\d)", _fraction),
    (
        rf"{_N}({NUMBER})(?:\s?({ANY_UNIT}|{CURRENCY}))?(\s?[-–—−]\s?)"
        rf"(?=(?:[-−]|{CURRENCY}\s?)?({NUMBER})(?(2)\s?\2(?!\w)))",
        _between,
    ),
    (r"(?<=[%°CFa-z])\s?–\s?(?=\d)", " a "),
    (r"(?<![\w)])[-−]\s?(?=(?:[$€£]\s?)?\d)", "menos "),
    (r"(?<=\d)\s?[x×*]\s?(?=\d)|(?<=\w) [x×] (?=\d)", " por "),
    (r"(?<=[Ll]os )['’]?(\d0)['’]?s\b", r"\1"),
    (r'(?<=\d)"', _inches),
    (r"\$(?=[A-Za-z])", ""),
    *QUANTITIES,
    (r"(?<=[\w)])([⁰¹²³⁴-⁹⁻]+|\^-?\d+)", _power),
    (r"(?<=\S)\s*<\s*(?=[\d(])", " menor que "),
    (r"(?<=\S)\s*>\s*(?=[\d(])", " mayor que "),
    (r"[<](?=\s?\d)", "menos de "),
    (r"[>](?=\s?\d)", "más de "),
    (r"~\s?(?=\d)", "aproximadamente "),
    (r"(?<=[\d)])\s/\s(?=[\d(])", " entre "),
    (r"#\s?(?=\d)", "número "),
    (r"(?<=\w)@(?=\w)", " arroba "),
    (r"(?<=[a-z\d])\.(?=[a-z]{2,})", " punto "),
    *((rf"\s*{re.escape(sign)}\s*", f" {words} ") for sign, words in _SIGNS.items()),
    (r"[Α-ω]", lambda m: f" {_named(m[0])} "),
    (r"[₀-₉]+", lambda m: f" {unicodedata.normalize('NFKC', m[0])} "),
    (r"(?<!\w)[A-ZÑ]{1,3}(?=\d)", lambda m: " ".join(map(_named, m[0]))),
    (r"(?<=[^\W\d_])[-_]?(?=\d)|(?<=\d)(?=[^\W\d_])", " "),
    (r"(?<=\w)[-_/](?=\w)", " "),
    (NUMBER, _count),
    (r"(?<![^\W\d_])[A-ZÑ]{2,5}(?![^\W\d_])", _capitals),
    (r"(?<![\w'’])[b-df-hj-np-tv-xzñB-DF-HJ-NP-TV-XZÑ](?![\w'’])", lambda m: _named(m[0])),
    (r"[«„]", "“"),
    (r"»", "”"),
)
_RULES = tuple((re.compile(pattern), words) for pattern, words in _WRITTEN)
_DROPPED = re.compile(r"\[(?:[ xX]|\^\w+)\]|-{3,}|[\\{}\[\]|^_~*<>#/`°\u2190-\u21ff]")
_SPACE_BEFORE = re.compile(r"\s+(?=[,.;:!?])|(?<=[,.;:!?])(?:\s*,)+")


def multiplied_in_spanish(text: str) -> str:
    """Return ``text`` with its products and stars in words, which markup would take away."""
    text = re.sub(r"(?<=\d)\s?[★⭐]", " estrellas", text)
    text = re.sub(r"(?<=[\d)])\s*\*\*\s*(?=[\d(-])", " elevado a ", text)
    return re.sub(r"(?<=[\d)])\s*\*\s*(?=[\d(-])", " por ", text)


def spanish_form(text: str) -> str:
    """Return ``text`` with its numbers, signs and abbreviations as they are read."""
    for pattern, words in _RULES:
        text = pattern.sub(words, text)
    text = _SPACE_BEFORE.sub("", _DROPPED.sub(" ", text))
    return " ".join(text.split()).lstrip(",.;:!? ")
