"""The choice of a voice by its name: arrows move, letters narrow the list."""

from __future__ import annotations

from dataclasses import dataclass, replace

_PAGE = 8


@dataclass(frozen=True, slots=True)
class VoicePicker:
    """The ``names`` to choose from, the ``letters`` typed, and ``at``, the place of the chosen one
    among those that match."""

    names: tuple[str, ...]
    letters: str = ""
    at: int = 0

    @property
    def matching(self) -> tuple[str, ...]:
        """The names with the letters in them, those that begin with them first."""
        found = [name for name in self.names if self.letters in name.lower()]
        return tuple(sorted(found, key=lambda name: not name.lower().startswith(self.letters)))

    @property
    def chosen(self) -> str:
        """The chosen name, empty where none matches."""
        return self.matching[self.at] if self.matching else ""

    def press(self, key: str) -> VoicePicker:
        """Return the picker after ``key``, which neither takes the chosen voice nor closes it."""
        last = len(self.matching) - 1
        moves = {
            "KEY_UP": self.at - 1,
            "KEY_DOWN": self.at + 1,
            "KEY_PGUP": self.at - _PAGE,
            "KEY_PGDOWN": self.at + _PAGE,
            "KEY_HOME": 0,
            "KEY_END": last,
        }
        if key in moves:
            return replace(self, at=max(0, min(moves[key], last)))
        if key == "KEY_BACKSPACE":
            return replace(self, letters=self.letters[:-1], at=0)
        if len(key) == 1 and key.isprintable() and not key.isspace():
            return replace(self, letters=self.letters + key.lower(), at=0)
        return self
