"""The user's turns as a server tells them, on the conversation's own clock."""

from __future__ import annotations

from dataclasses import dataclass

from model.events import UserTranscript

_KEPT = 40
"""Turns that are remembered, and told to the server when a session has to begin anew."""


@dataclass(slots=True)
class RemoteTurn:
    """Turn ``number``; the server calls it ``item_id`` as soon as it has told so.

    Its speech is from ``start`` to ``end``, in user samples. ``text``: its words so far.
    ``heard``: what was heard of the replies to it.
    """

    number: int
    start: int
    end: int
    item_id: str = ""
    text: str = ""
    final: bool = False
    heard: str = ""

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
        turn = RemoteTurn(self._count, start, start, item_id, text, bool(text))
        self._turns = [*self._turns, turn][-_KEPT:]
        return turn

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
        said = [(("user", turn.text), ("assistant", turn.heard)) for turn in self._turns]
        return [(role, text) for turn in said for role, text in turn if text]

    def begin_anew(self) -> None:
        """Forget the names that the server gave; a new session gives others."""
        for turn in self._turns:
            turn.item_id = ""
