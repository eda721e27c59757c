"""Word error rate: how far what was understood is from what was meant."""

from __future__ import annotations

import re
from collections.abc import Sequence


def word_error_rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Errors over words meant (jiwer), for pairs of (meant, understood).

    Both are normalised as Whisper's authors do for English: case, punctuation, contractions,
    spellings and numbers (``seven`` is ``7``). Pairs of which nothing is left are passed over.
    """
    import jiwer
    from whisper_normalizer.english import EnglishTextNormalizer

    normalize = EnglishTextNormalizer()
    meant = [normalize(text) for text, _ in pairs]
    understood = [normalize(text) for _, text in pairs]
    kept = [(a, b) for a, b in zip(meant, understood, strict=True) if re.search(r"\w", a)]
    if not kept:
        return 0.0
    return float(jiwer.wer([a for a, _ in kept], [b for _, b in kept]))
