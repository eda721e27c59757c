"""Whole characters of text that a server cut in halves.

JSON may escape a character outside of the first 65,536 as two halves, its surrogates. Python keeps
half of one in a string that nothing can encode: no request, no terminal, no file.
"""

from __future__ import annotations

import codecs
import json
from typing import Any

_UTF_16 = "utf-16-le"


class WholeCharacters:
    """Joins the halves of characters across the pieces of one text."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder(_UTF_16)("replace")

    def feed(self, piece: str) -> str:
        """Return ``piece`` in whole characters; a half that stays alone becomes U+FFFD.

        The first half of a character at the end of ``piece`` waits for the next piece.
        """
        return self._decoder.decode(piece.encode(_UTF_16, "surrogatepass"))


def whole_text(text: str) -> str:
    """Return ``text`` in whole characters; a half that stands alone becomes U+FFFD."""
    return text.encode(_UTF_16, "surrogatepass").decode(_UTF_16, "replace")


def read_json(text: str) -> Any:
    """Return what ``text`` holds as JSON, all of its texts in whole characters.

    Raises: ValueError.
    """
    try:
        found = json.loads(text)
        if "\\u" in text:
            found = json.loads(whole_text(json.dumps(found, ensure_ascii=False)))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    return found
