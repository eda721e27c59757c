"""Rules that read what letters, digits and signs name together: addresses, files, substances."""

from __future__ import annotations

import re
import unicodedata

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


def _charge(match: re.Match[str]) -> str:
    number, sign = filter(None, (match[1] or match[3] or " ", match[2] or match[4]))
    written = unicodedata.normalize("NFKC", number)
    return f" {written} {'plus' if sign in '+⁺' else 'minus'} "


def _page(match: re.Match[str]) -> str:
    return f"{match.group(1)} {roman(match.group(2))}"


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
    (r"(?<=[A-Za-z\d)])(?:\^\{?(\d*)([+−-])\}?|([¹²³⁴-⁹]*)([⁺⁻]))(?![\w⁰¹²³⁴-⁹(])", _charge),
    (r"(?<=[A-Za-z)])[₀-₉]+", lambda m: unicodedata.normalize("NFKC", m.group())),
    (rf"(?<![\w-])(?=\w*[a-z\d])(?:(?:{_ELEMENT})\d*){{2,}}(?![\w-])", _substance),
    (r"(?<![\w-])CO(?![\w-])", "C O"),
    (r"\b([Pp]ages?|[Cc]hapter|[Pp]art|[Aa]ct|[Ss]cene|[Ss]ection) ([ivxl]+)(?!\w)", _page),
    (r"\bCtrl\b", "control"),
    (r"\bCmd\b", "command"),
)
"""To be tried before any other rule for digits."""
