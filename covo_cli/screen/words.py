"""Signs, times and latencies, written alike on every screen."""

from __future__ import annotations

from dataclasses import dataclass

from audio_io.clock import seconds
from model.events import TurnLatency, TurnState

LEAST_PART_S = 0.005
"""Parts of a latency below this are left out: they would be written as 0.00."""


@dataclass(frozen=True, slots=True)
class StateLook:
    """How a state is shown; the sign alone identifies it, without colour."""

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
    """Signs for terminals that show Unicode; see :data:`ASCII` for the others."""

    full: str = "━"
    empty: str = "─"
    rule: str = "─"
    cut: str = "⟂"
    dot: str = "●"
    between: str = " · "
    ellipsis: str = "…"
    unicode: bool = True

    def sign(self, state: TurnState) -> str:
        """Return the sign of ``state``."""
        look = STATES[state]
        return look.sign if self.unicode else look.ascii_sign


ASCII = Glyphs("#", "-", "-", "|", "*", " | ", "...", unicode=False)


def glyphs_for(encoding: str) -> Glyphs:
    """Return the signs that ``encoding`` has."""
    return Glyphs() if encoding.lower().replace("_", "-").startswith("utf") else ASCII


def clock(samples: int) -> str:
    """Return a time in user samples as minutes, seconds and tenths: ``01:02.3``."""
    tenths = round(seconds(samples) * 10)
    return f"{tenths // 600:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def latency_line(latency: TurnLatency, width: int | None = None) -> str:
    """Return ``0.94 s = wait 0.20 + recognize 0.31 + ...``.

    To fit into ``width`` it is written more tightly, then the shortest parts become ``...``.
    """
    total = f"{latency.total:.2f} s"
    parts = [(name, part) for name, part in latency.parts.items() if part >= LEAST_PART_S]
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
