"""Read short LaTeX formulas in a line as words."""

from __future__ import annotations

import re

_INLINE = re.compile(
    r"\\\((.+?)\\\)|(?<![\w$\\])\$(?=\S)([^$\n]*?[\\^_={}][^$\n]*?)(?<=\S)\$(?![\w$])", re.DOTALL
)
_GROUP = r"\{([^{}]*)\}"
_RULES = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"\\(?:left|right|,|;|!|quad|displaystyle|big|Big)\b|\\[,;! ]", " "),
        (rf"\\(?:text|mathrm|mathbf|mathit|operatorname)\s*{_GROUP}", r"\1"),
        (rf"\\[dt]?frac\s*{_GROUP}\s*{_GROUP}", r" \1 over \2 "),
        (rf"\\sqrt\s*\[3\]\s*{_GROUP}", r" the cube root of \1 "),
        (rf"\\sqrt\s*{_GROUP}", r" the square root of \1 "),
        (r"\^\s*(?:2(?!\d)|\{2\})", " squared "),
        (r"\^\s*(?:3(?!\d)|\{3\})", " cubed "),
        (r"\^\s*(?:\\circ|\{\\circ\})", " degrees "),
        (rf"\^\s*{_GROUP}", r" to the power of \1 "),
        (r"\^\s*(-?\w)", r" to the power of \1 "),
        (rf"_\s*{_GROUP}", r" \1 "),
        (r"_\s*(\w)", r" \1 "),
        (r"\\(?:times|cdot|ast)\b|\*", " times "),
        (r"\\div\b", " divided by "),
        (r"\\pm\b", " plus or minus "),
        (r"\\(?:leq?|leqslant)\b", " is at most "),
        (r"\\(?:geq?|geqslant)\b", " is at least "),
        (r"\\neq?\b", " is not equal to "),
        (r"\\approx\b", " is about "),
        (r"\\(?:to|rightarrow|implies)\b", " to "),
        (r"\\infty\b", " infinity "),
        (r"\\sum\b", " the sum of "),
        (r"\\int\b", " the integral of "),
        (r"=", " equals "),
        (r"<", " is less than "),
        (r">", " is greater than "),
        (r"\+", " plus "),
        (r"(?<=[\w)}\s])-(?=\s*[\w(\\])", " minus "),
        (r"\\%", "%"),
        (r"\\([A-Za-z]+)", r" \1 "),
        (r"[{}\\]", " "),
    )
)


def spoken_formulas(text: str) -> str:
    """Return ``text`` with ``$x^2$`` and ``\\(x^2\\)`` written as words; amounts in $ stay."""
    return _INLINE.sub(lambda match: _read(match.group(1) or match.group(2)), text)


def _read(formula: str) -> str:
    for _ in range(3):  # groups inside groups, from the inside out
        for pattern, words in _RULES[:13]:
            formula = pattern.sub(words, formula)
    for pattern, words in _RULES[13:]:
        formula = pattern.sub(words, formula)
    return " ".join(formula.split())
