"""Requests to a running conversation."""

from __future__ import annotations

from dataclasses import dataclass

from model.engine import Command


@dataclass(frozen=True, slots=True)
class Quit:
    """End the conversation; ``reason`` is recorded."""

    reason: str = "quit by the user"


@dataclass(frozen=True, slots=True)
class FailureReport:
    """Show ``text`` as an error and continue."""

    text: str


Request = Command | Quit | FailureReport
