"""How things are called and written on every kind of screen."""

from __future__ import annotations

from dataclasses import dataclass

from audio_io.clock import seconds
from model.events import TurnLatency, TurnState

LEAST_PART = 0.005
"""A part of a latency that is shorter (seconds) would be written as 0.00, and is left out."""


@dataclass(frozen=True, slots=True)
class StateLook:
    """How a state is shown: its sign and word say it without the colour."""

    sign: str
    ascii_sign: str
    style: str


STATES = {
    TurnState.LISTENING: StateLook("○", "o", "bold green"),
    TurnState.USER_SPEAKING: StateLook("▶", ">", "bold cyan"),
    TurnState.THINKING: StateLook("…", "~", "bold yellow"),
    TurnState.SPEAKING: StateLook("◀", "<", "bold magenta"),
    TurnState.INTERRUPTED: StateLook("■", "#", "bold red"),
    TurnState.MUTED: StateLook("×", "x", "bold reverse"),
}


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The signs that not every terminal can show."""

    full: str = "━"
    empty: str = "─"
    rule: str = "─"
    cut: str = "⟂"
    dot: str = "●"
    between: str = " · "
    ellipsis: str = "…"
    unicode: bool = True

    def sign(self, state: TurnState) -> str:
        """The sign of ``state``."""
        look = STATES[state]
        return look.sign if self.unicode else look.ascii_sign


ASCII = Glyphs("#", "-", "-", "|", "*", " | ", "...", unicode=False)


def glyphs_for(encoding: str) -> Glyphs:
    """The signs that a terminal with this ``encoding`` can show."""
    return Glyphs() if encoding.lower().replace("_", "-").startswith("utf") else ASCII


def clock(samples: int) -> str:
    """A time on the user's clock as minutes, seconds and tenths: ``01:02.3``."""
    tenths = round(seconds(samples) * 10)
    return f"{tenths // 600:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def latency_parts(latency: TurnLatency) -> list[tuple[str, float]]:
    """The parts that are long enough to matter, in order of time."""
    return [(name, part) for name, part in latency.parts.items() if part >= LEAST_PART]


def latency_line(latency: TurnLatency, width: int | None = None) -> str:
    """``0.94 s = wait 0.20 + recognize 0.31 + ...``, written more tightly to fit into ``width``.

    When that is not enough, the shortest parts are left out, and an ellipsis tells it.
    """
    total = f"{latency.total:.2f} s"
    parts = latency_parts(latency)
    if not parts:
        return total
    by_length = sorted(parts, key=lambda part: part[1])
    for dropped in range(len(parts)):
        kept = [f"{name} {part:.2f}" for name, part in parts if (name, part) in by_length[dropped:]]
        more = ["..."] if dropped else []
        for equals, plus in ((" = ", " + "), (": ", ", ")):
            line = total + equals + plus.join([*kept, *more])
            if width is None or len(line) <= width:
                return line
    return total
