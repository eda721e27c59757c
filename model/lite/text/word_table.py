"""Dictionaries of many words in little memory."""

from __future__ import annotations

import marshal
from array import array
from collections.abc import Mapping
from typing import Any
from zlib import crc32

_END = b"\0"


class WordTable:
    """What ``entries`` hold, in a sixth of a dict's memory, to be looked up word by word.

    Words hold no NUL; a value is text, or a dict of what :mod:`marshal` writes.
    """

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._mask = (1 << (2 * len(entries)).bit_length()) - 1
        places = array("I", bytes(4 * (self._mask + 1)))
        data = bytearray(_END)  # no word begins at 0, which marks a free place
        for word, value in entries.items():
            key = word.encode()
            place = crc32(key) & self._mask
            while places[place]:
                place = (place + 1) & self._mask
            places[place] = len(data)
            data += key + _END + marshal.dumps(value)
        self._places, self._data = places, memoryview(bytes(data))

    def get(self, word: str) -> Any:
        """Return the value of ``word``, None if there is none."""
        key = word.encode("utf-8", "surrogatepass") + _END
        place = crc32(key[:-1]) & self._mask
        while begin := self._places[place]:
            end = begin + len(key)
            if self._data[begin:end] == key:
                return marshal.loads(self._data[end:])  # reads one value of what follows
            place = (place + 1) & self._mask
        return None
