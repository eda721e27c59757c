"""The user's turns as a server tells them, on the conversation's own clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from model.characters import WholeCharacters
from model.events import UserTranscript

_KEPT = 40
"""Turns that are remembered, and told to the server when a session has to begin anew."""


@dataclass(slots=True)
class RemoteTurn:
    """Turn ``number``; the server calls it ``item_id`` as soon as it has told so.

    Its speech is from ``start`` to ``end``, in user samples. ``text``: its words so far.
    ``heard``: what was heard of the replies to it. One with a negative number was taken up from
    another conversation.
    """

    number: int
    start: int
    end: int
    item_id: str = ""
    text: str = ""
    final: bool = False
    heard: str = ""
    _characters: WholeCharacters = field(default_factory=WholeCharacters)

    @property
    def texts(self) -> list[tuple[str, str]]:
        """What was said in it, as roles and texts."""
        said = (("user", self.text), ("assistant", self.heard))
        return [(role, text) for role, text in said if text]

    def add_words(self, delta: str) -> None:
        """Add to its words."""
        self.text += self._characters.feed(delta)

    def transcript(self, now: int) -> UserTranscript:
        """Return its words as an event."""
        return UserTranscript(now, self.number, self.text, self.final, self.start, self.end)


class RemoteTurns:
    """The turns so far, by number and by the server's name for them."""

    def __init__(self) -> None:
        self._turns: list[RemoteTurn] = []
        self._count = 0

    @property
    def newest(self) -> int:
        """The number of the newest turn, 0 before any."""
        return self._count

    def open(self, start: int, item_id: str = "", text: str = "") -> RemoteTurn:
        """Add a turn that begins at ``start``; ``text``: it was typed."""
        self._count += 1
        return self._add(RemoteTurn(self._count, start, start, item_id, text, bool(text)))

    def remember(self, number: int, user: str, assistant: str) -> RemoteTurn:
        """Add an exchange of another conversation; ``number`` is negative."""
        return self._add(RemoteTurn(number, 0, 0, "", user, True, assistant))

    def drop(self, turn: RemoteTurn) -> None:
        """Forget a turn that was none."""
        self._turns.remove(turn)

    def of(self, item_id: str) -> RemoteTurn | None:
        """Return the turn that the server calls so."""
        return next((turn for turn in self._turns if item_id and turn.item_id == item_id), None)

    def hear_reply(self, number: int, text: str) -> None:
        """Remember what was heard of a reply to turn ``number``."""
        for turn in self._turns:
            if turn.number == number:
                turn.heard = f"{turn.heard} {text.strip()}".strip()

    def talk(self) -> list[tuple[str, str]]:
        """Return the conversation so far, as roles and texts."""
        return [said for turn in self._turns for said in turn.texts]

    def begin_anew(self) -> None:
        """Forget the names that the server gave; a new session gives others."""
        for turn in self._turns:
            turn.item_id = ""

    def _add(self, turn: RemoteTurn) -> RemoteTurn:
        self._turns = [*self._turns, turn][-_KEPT:]
        return turn
