"""How a voice is changed: its speed, its pitch and its loudness."""

from __future__ import annotations

from dataclasses import dataclass, fields

SPEEDS = (0.5, 2.0)
PITCHES = (-6.0, 6.0)
LOUDNESSES = (-30.0, 12.0)

_LIMITS = {"speed": SPEEDS, "pitch": PITCHES, "loudness": LOUDNESSES}


@dataclass(frozen=True, slots=True)
class VoiceTuning:
    """``speed``: factor of the pace. ``pitch``: in semitones. ``loudness``: in dB.

    Raises: ValueError for a value out of range.
    """

    speed: float = 1.0
    pitch: float = 0.0
    loudness: float = 0.0

    def __post_init__(self) -> None:
        for name, (least, most) in _LIMITS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name} must be from {least:g} to {most:g}, not {value:g}")

    @property
    def pitch_factor(self) -> float:
        """The factor of the fundamental frequency."""
        return float(2.0 ** (self.pitch / 12))

    def then(self, other: VoiceTuning) -> VoiceTuning:
        """Return this tuning followed by ``other``, as far as the ranges go."""
        changed = {
            "speed": self.speed * other.speed,
            "pitch": self.pitch + other.pitch,
            "loudness": self.loudness + other.loudness,
        }
        within = {name: min(max(changed[name], low), high) for name, (low, high) in _LIMITS.items()}
        return VoiceTuning(**within)

    def __str__(self) -> str:
        written = {"speed": "{:g}", "pitch": "{:+g} semitones", "loudness": "{:+g} dB"}
        changed = (f for f in fields(self) if getattr(self, f.name) != f.default)
        return ", ".join(
            f"{f.name} {written[f.name]}".format(getattr(self, f.name)) for f in changed
        )


AS_IT_IS = VoiceTuning()
"""Changes nothing."""
