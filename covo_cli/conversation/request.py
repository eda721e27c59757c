"""What a person, a key or a signal can ask of a conversation while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from model.engine import Command


@dataclass(frozen=True, slots=True)
class Quit:
    """The user wants to leave."""


Request = Command | Quit
