"""Turn a library's errors into ours, in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from model.characters import whole_text
from model.errors import ModelError
from model.secrets import without_secrets

_LONGEST = 200
"""Characters kept of a library's message."""

log = logging.getLogger(__name__)


@contextmanager
def raised_as(kind: type[ModelError], what: str) -> Iterator[None]:
    """Turn an error inside into ``kind`` with a message that begins with ``what``.

    Wrap single calls of a library in this, since onnxruntime's errors derive only from Exception.
    The traceback is logged; our own errors pass unchanged.
    """
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        log.exception("%s", what)
        raise kind(f"{what}: {in_a_line(str(error)) or type(error).__name__}") from error


def in_a_line(text: str) -> str:
    """Return ``text`` as one line of at most 200 characters, without keys."""
    return without_secrets(" ".join(whole_text(text).split()))[:_LONGEST]
