"""Rules that read what letters, digits and signs name together: addresses, files, substances."""

from __future__ import annotations

import re
import unicodedata

from model.lite.text.numerals import ordinal
from model.lite.text.quantities import Rule

_ELEMENT = (
    "He|Li|Be|Ne|Na|Mg|Al|Si|Cl|Ar|Ca|Sc|Ti|Cr|Mn|Fe|Co|Ni|Cu|Zn|Ga|Ge|As|Se|Br|Kr|Rb|Sr|"
    "Zr|Nb|Mo|Ru|Rh|Pd|Ag|Cd|In|Sn|Sb|Te|Xe|Cs|Ba|Pt|Au|Hg|Pb|Bi|"
    "[HBCNOFPSKVYIU]"
)
"""The symbols of the common elements."""
_PLURAL = re.compile(r"[A-Z]{2,}s")
"""An acronym in the plural, such as PCs."""
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_NUMERAL = "X{0,3}(?:IX|IV|V?I{1,3}|V)"
"""Up to 39, but for 10, 20 and 30: X alone is mostly a letter."""
SENTENCE = "A|An|And|At|But|He|I|If|In|It|On|She|That|The|Then|There|They|This|Turn|We|You"
"""Words that begin a sentence, and so are no names for their capital."""
_NO_INITIAL = rf"(?!\w|\. (?!(?:{SENTENCE})\b)[A-Z])"
"""What follows a numeral; "V. Lindsay" follows an initial."""
_KINGS = (
    "Alexander|Benedict|Catherine|Charles|Christian|Edward|Elizabeth|Ferdinand|Francis|Frederick|"
    "George|Gustav|Henry|Ivan|James|John|Leo|Louis|Mary|Napoleon|Nicholas|Paul|Peter|Philip|Pius|"
    "Ramses|Richard|Umberto|Victor Emmanuel|William"
)
_TITLES = "King|Queen|Pope|Emperor|Empress|Kaiser|Pharaoh|Sultan|Tsar"
"""Names, and what stands before others, after which a numeral is an ordinal."""
_SHORTEST_WORD = 5
"""Letters of a word in a constant such as MAX_RETRIES; fewer may be an acronym."""
_PIECES = {"K": "king", "Q": "queen", "R": "rook", "B": "bishop", "N": "knight"}
"""Of chess."""
_SUBSCRIPTS = "".join(
    c for c in map(chr, range(0x1D62, 0x2C7E)) if unicodedata.decomposition(c)[:5] == "<sub>"
)


def roman(numeral: str) -> int:
    """Return the value of a Roman ``numeral`` up to 399."""
    values = [_ROMAN[letter] for letter in numeral.upper()]
    following = [*values[1:], 0]
    return sum(
        -value if value < after else value for value, after in zip(values, following, strict=True)
    )


def _moment(match: re.Match[str]) -> str:
    day, time, zone = match.groups()
    if zone and zone != "Z":
        sign = "plus" if zone[0] == "+" else "minus"
        hours, minutes = int(zone[1:3]), zone[-2:]
        zone = f"Z {sign} {hours}" + (f":{minutes}" if minutes != "00" else "")
    return f"{day}, {time}" + (zone or "").replace("Z", " UTC")


def _path(match: re.Match[str]) -> str:
    path = match.group().replace("~", " tilde ").replace("/", " slash ")
    return re.sub(r"\.(?=\w)", " dot ", path)


def _substance(match: re.Match[str]) -> str:
    if _PLURAL.fullmatch(match.group()):
        return match.group()
    return " ".join(re.findall(r"[A-Z]\d*", match.group().upper()))


def _element(match: re.Match[str]) -> str:
    return " ".join(match.group(1).upper())


def _isotope(match: re.Match[str]) -> str:
    return f"{unicodedata.normalize('NFKC', match.group())} "


def _charge(match: re.Match[str]) -> str:
    number, sign = filter(None, (match[1] or match[3] or " ", match[2] or match[4]))
    written = unicodedata.normalize("NFKC", number)
    return f" {written} {'plus' if sign in '+⁺' else 'minus'} "


def _subscript(match: re.Match[str]) -> str:
    plain = unicodedata.normalize("NFKC", match.group()).replace("−", "-")
    return plain if plain.isdigit() else f" {plain}"


def _position(match: re.Match[str]) -> str:
    place = re.sub(r"(\d+)°\s?", r"\1 degrees ", match.group())
    place = re.sub(r"(\d+)['′’]\s?", r"\1 minutes ", place)
    return re.sub(r"([\d.]+)(?:[\"″”]|'')\s?", r"\1 seconds ", place)


def _move(match: re.Match[str]) -> str:
    piece, start, takes, square, sign = match.groups("")
    end = {"+": " check", "#": " mate"}.get(sign, "")
    return f"{_PIECES[piece]} {start} {'takes ' if takes else ''}{square}{end}"


def _regnal(match: re.Match[str]) -> str:
    return f"{match.group(1)} the {ordinal(roman(match.group(2)))}"


def _constant(match: re.Match[str]) -> str:
    words = match.group().split("_")
    return " ".join(word if len(word) < _SHORTEST_WORD else word.lower() for word in words)


def _numbered(match: re.Match[str]) -> str:
    return f"{match.group(1)} {roman(match.group(2))}"


POSITION: Rule = (
    r"\d{1,3}°\s?\d{1,2}['′’]\s?(?:\d{1,2}(?:\.\d+)?(?:[\"″”]|'')\s?)?(?=[NSEW]\b)",
    _position,
)

NAMES: tuple[Rule, ...] = (
    (
        r"(?<![\w-])(\d{4}-\d\d-\d\d)T(\d\d:\d\d(?::\d\d)?)(?:[.,]\d+)?"
        r"(Z|[+-]\d\d:?\d\d)?(?![\w:])",
        _moment,
    ),
    # Addresses without a scheme, and paths of files
    (r"(?<![\w/@.])(?:[A-Za-z][\w-]*\.)+[a-z]{2,}(?:/[\w~%-]+(?:\.\w+)*)+/?", _path),
    (r"(?<![\w/.)])(?:~|/[\w.-]*[A-Za-z_][\w.-]*)(?:/[\w-]*(?:\.\w+)*\w)+/?", _path),
    (r"(?<![\w/.-])(?:[A-Za-z_][\w-]*/)+[\w-]+\.[a-z]\w{0,4}(?![\w/.])", _path),
    (r"(?<![\w.])(\d+(?:\.\d+){3})/(?=\d{1,2}(?!\w|\.\d))", r"\1 slash "),
    (r"(?<![\w.])(\d+(?:\.\d+){3}):(?=\d{2,5}(?!\w|\.\d))", r"\1 port "),
    (r"(?<![\w.-])(?=[\w-]*[A-Za-z_])([\w-]*\d)\.(?=(?:[a-z]{2,4}|[A-Z]{2,4})(?!\w))", r"\1 dot "),
    # Substances; what is read as a word needs a small letter or a number to be one
    (rf"(?<![\w-])({_ELEMENT})(?=\d*[¹²³⁴-⁹]*[⁺⁻]|\s?[→⟶⇌])", _element),
    (rf"(?<!\w)[⁰¹²³⁴-⁹]+(?=(?:{_ELEMENT})(?!\w))", _isotope),
    (rf"(?<=[→⟶⇌] )({_ELEMENT})(?![\w-])", _element),
    (
        rf"(?<=[A-Za-z\d){_SUBSCRIPTS}])"
        r"(?:\^\{?(\d*)([+−-])\}?|([¹²³⁴-⁹]*)([⁺⁻]))(?![\w⁰¹²³⁴-⁹(])",
        _charge,
    ),
    (rf"(?<=[A-Za-z)])[{_SUBSCRIPTS}]+", _subscript),
    (rf"(?<![\w.-])(\d{{1,2}})(?=(?:(?:{_ELEMENT})\d*){{2,}}(?![\w-]))", r"\1 "),
    (rf"(?<![\w-])(?=\w*[a-z\d])(?:(?:{_ELEMENT})\d*){{2,}}(?![\w-])", _substance),
    (r"(?<![\w-])CO(?![\w-])", "C O"),
    (r"\b([Pp]ages?|[Cc]hapter|[Pp]art|[Aa]ct|[Ss]cene|[Ss]ection) ([ivxl]+)(?!\w)", _numbered),
    (
        rf"\b((?:{_TITLES})(?: [A-Z]\w+){{1,2}}|{_KINGS}) ({_NUMERAL}|X{{1,3}}){_NO_INITIAL}",
        _regnal,
    ),
    (
        rf"\b(?!(?:{SENTENCE})\b)([A-Z][\w’']*\w) (?=[IVX]{{2}}|V)({_NUMERAL}){_NO_INITIAL}"
        r"(?![’'])",
        _numbered,
    ),
    (r"\b([KQRBN])([a-h]?[1-8]?)(x?)([a-h][1-8])([+#]?)(?![\w/])", _move),
    (r"\b([a-h])x([a-h][1-8])\b", r"\1 takes \2"),
    (r"\b[A-Z]{2,}(?:_[A-Z\d]+)+\b", _constant),
    (r"\bCtrl\b", "control"),
    (r"\bCmd\b", "command"),
)
"""To be tried before any other rule for digits."""
