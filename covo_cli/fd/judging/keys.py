"""The wanted words of questions, from a file of keys: ``question<TAB>words|other words`` a line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from covo_cli.errors import CliError
from covo_cli.fd.plan import language_of


def read_keys(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the wanted words by question. Raises: CliError, naming the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"cannot read {path}: {error}") from error
    keys = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        question, _, wanted = line.partition("\t")
        words = tuple(one for one in wanted.split("|") if _plain(one))
        if not words:
            raise CliError(
                f"{path}, line {number}: no key; write the question, a tab, and the wanted words, "
                "several of which may be right with | between them"
            )
        keys[_plain(question)] = words
    return keys


def is_right(keys: Mapping[str, Sequence[str]], question: str, answer: str) -> bool | None:
    """Return whether ``answer`` has one of the wanted words of ``question``, whatever their case
    and punctuation; None for a question without a key."""
    wanted = keys.get(_plain(question))
    if wanted is None:
        return None
    said = _plain(answer)
    return any(
        _plain(one) in said if language_of(one) == "zh" else f" {_plain(one)} " in f" {said} "
        for one in wanted
    )


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
