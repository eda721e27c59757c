"""Were the first words of a turn lost before they reached the recogniser?"""

from __future__ import annotations

FIRST = 3
"""How many words at the beginning of a turn are looked for."""


def first_words_lost(meant: str, understood: str) -> tuple[int, int]:
    """How many of the first words of ``meant`` are missing in ``understood``, and of how many.

    Both are normalised as Whisper's authors do for English (fillers fall away), and aligned word by
    word (jiwer). Only deletions count: a word that was understood as another one was heard.
    """
    import jiwer
    from whisper_normalizer.english import EnglishTextNormalizer

    normalize = EnglishTextNormalizer()
    words, heard = normalize(meant), normalize(understood)
    of = min(FIRST, len(words.split()))
    if not of or not heard:
        return of, of
    chunks = jiwer.process_words(words, heard).alignments[0]
    lost = sum(
        max(0, min(chunk.ref_end_idx, of) - chunk.ref_start_idx)
        for chunk in chunks
        if chunk.type == "delete"
    )
    return lost, of
