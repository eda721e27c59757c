"""Read short LaTeX formulas in a line as words."""

from __future__ import annotations

import re
from collections.abc import Mapping

_INLINE = re.compile(
    r"\\\((.+?)\\\)|(?<![\w$\\])\$(?=\S)([^$\n]*?[\\^_={}][^$\n]*?)(?<=\S)\$(?![\w$])", re.DOTALL
)
_GROUP = r"\{([^{}]*)\}"
_ENGLISH = (
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
_IN_SPANISH = {
    **{"over": "sobre", "the cube root of": "la raíz cúbica de", "squared": "al cuadrado"},
    **{"the square root of": "la raíz cuadrada de", "cubed": "al cubo", "degrees": "grados"},
    **{"to the power of": "elevado a", "times": "por", "divided by": "dividido entre"},
    **{"plus or minus": "más menos", "is at most": "es menor o igual que", "infinity": "infinito"},
    **{"is at least": "es mayor o igual que", "is not equal to": "es distinto de", "plus": "más"},
    **{"is about": "es aproximadamente", "to": "a", "the sum of": "la suma de", "minus": "menos"},
    **{"the integral of": "la integral de", "equals": "es igual a"},
    **{"is less than": "es menor que", "is greater than": "es mayor que"},
}
_IN_CHINESE = {
    **{r"\1 over \2": r"\2分之\1", r"to the power of \1": r"的\1次方"},
    **{"the cube root of": "三次根号", "the square root of": "根号", "squared": "的平方"},
    **{"cubed": "的立方", "degrees": "度", "times": "乘", "divided by": "除以", "plus": "加"},
    **{"plus or minus": "正负", "is at most": "小于等于", "is at least": "大于等于"},
    **{"is not equal to": "不等于", "is about": "约等于", "to": "到", "infinity": "无穷大"},
    **{"the sum of": "求和", "the integral of": "积分", "equals": "等于", "minus": "减"},
    **{"is less than": "小于", "is greater than": "大于"},
}
"""Where the order differs, of the whole phrase."""
_WORDS = re.compile(r"[a-z]+(?: [a-z]+)*")


Rules = tuple[tuple[re.Pattern[str], str], ...]
"""Patterns, and what is read instead."""


def _rules(words: Mapping[str, str]) -> Rules:
    def said(english: str) -> str:
        whole = words.get(english.strip())
        if whole is not None:
            return f" {whole} "
        return _WORDS.sub(lambda match: words.get(match[0], match[0]), english)

    return tuple((re.compile(pattern), said(english)) for pattern, english in _ENGLISH)


_RULES = {"en": _rules({}), "es": _rules(_IN_SPANISH), "zh": _rules(_IN_CHINESE)}


def spoken_formulas(text: str, language: str = "en") -> str:
    """Return ``text`` with ``$x^2$`` and ``\\(x^2\\)`` written as words of ``language`` if they
    are known, else English ones; amounts in $ stay."""
    rules = _RULES.get(language, _RULES["en"])
    return _INLINE.sub(lambda match: _read(match.group(1) or match.group(2), rules), text)


def _read(formula: str, rules: Rules) -> str:
    for _ in range(3):  # groups inside groups, from the inside out
        for pattern, words in rules[:13]:
            formula = pattern.sub(words, formula)
    for pattern, words in rules[13:]:
        formula = pattern.sub(words, formula)
    return " ".join(formula.split())
