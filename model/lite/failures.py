"""What a library raises comes out as an error of ours, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from model.errors import ModelError

_LONGEST = 200
"""Characters of a library's own words."""


@contextmanager
def raised_as(kind: type[ModelError], what: str) -> Iterator[None]:
    """Around one call of a library: what it raises comes out as ``kind``, ``what`` at its head.

    For libraries that raise what they like: onnxruntime's errors, for one, derive from nothing
    but Exception. Errors of ours pass as they are.
    """
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        raise kind(f"{what}: {in_a_line(str(error)) or type(error).__name__}") from error


def in_a_line(text: str) -> str:
    """``text`` in one line that is not too long."""
    return " ".join(text.split())[:_LONGEST]
