"""Draw a conversation: both waveforms, what was said and what was decided."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audio_io.clock import USER_RATE, seconds
from audio_io.files import read_audio
from audio_io.signal import Audio
from covo_cli.evaluation.judging.finding import Finding
from covo_cli.evaluation.running.conversation import INPUT, OUTPUT, read_annotation
from covo_cli.sessions.event_log import RecordedBackchannel, read_events
from model.events import (
    Event,
    Interrupted,
    PlaybackControl,
    ReplyStarted,
    SpeculationDiscarded,
    StateChanged,
    TurnDiscarded,
    TurnState,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_COLOURS = {
    TurnState.LISTENING: "#d9d9d9",
    TurnState.USER_SPEAKING: "#9ecae1",
    TurnState.THINKING: "#fdd0a2",
    TurnState.SPEAKING: "#a1d99b",
    TurnState.INTERRUPTED: "#fc9272",
    TurnState.MUTED: "#969696",
}
_POINTS = USER_RATE // 200
"""Samples per point of a waveform, drawn from lowest to highest."""
_ROWS = 6
"""Rows of decisions above the states."""
_LETTERS_PER_INCH = 19


def draw(folder: Path, findings: Sequence[Finding], target: Path) -> None:
    """Draw the conversation in ``folder`` as the PNG ``target``, titled with its ``findings``.

    Raises: EvaluationError, AudioFileError, ImportError without matplotlib, OSError.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    annotation = read_annotation(folder)
    events = read_events(folder).events
    length = seconds(annotation.length)
    figure = Figure(figsize=(_width(length), 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    user, states, assistant = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"height_ratios": [4, 2.6, 4]}
    )
    wrong = "; ".join(f.problem for f in findings if f.ok is False) or "went right"
    note = f" ({annotation.scenario.note})" if annotation.scenario.note else ""
    figure.suptitle(f"{annotation.scenario.id}{note}: {wrong}", fontsize=10)
    _waveform(user, read_audio(folder / INPUT, USER_RATE), "user", "#08519c")
    _waveform(assistant, read_audio(folder / OUTPUT, USER_RATE), "assistant", "#006d2c")
    for number, line in enumerate(annotation.said):
        user.axvspan(seconds(line.start), seconds(line.end), color="#9ecae1", alpha=0.35, lw=0)
        user.text(
            seconds(line.start),
            0.98 - 0.08 * (number % 3),
            f"{line.role}: {line.text}",
            transform=user.get_xaxis_transform(),
            fontsize=7,
            va="top",
            wrap=True,
        )
    _states(states, events, length)
    _decisions(states, assistant, events, length)
    assistant.set_xlabel("seconds")
    assistant.set_xlim(0, length)
    figure.savefig(target, dpi=110)


def _waveform(axes: Axes, sound: Audio, label: str, colour: str) -> None:
    blocks = sound[: len(sound) // _POINTS * _POINTS].reshape(-1, _POINTS)
    time = (np.arange(len(blocks)) + 0.5) * _POINTS / USER_RATE
    axes.fill_between(time, blocks.min(axis=1), blocks.max(axis=1), color=colour, lw=0.2)
    peak = max(0.05, float(np.max(np.abs(sound), initial=0.0)))
    axes.set_ylim(-1.3 * peak, 1.3 * peak)
    axes.set_yticks([])
    axes.set_ylabel(label)
    axes.grid(axis="x", alpha=0.3)


def _states(axes: Axes, events: Sequence[Event], length: float) -> None:
    changes = [event for event in events if isinstance(event, StateChanged)]
    times = [seconds(change.at) for change in changes]
    states = [change.state for change in changes]
    if not times or times[0] > 0:
        times, states = [0.0, *times], [TurnState.LISTENING, *states]
    for (start, end), state in zip(pairwise([*times, length]), states, strict=True):
        axes.axvspan(start, end, ymin=0, ymax=0.3, color=_COLOURS[state], lw=0)
        if end - start > 0.4:
            axes.text((start + end) / 2, 0.15, state.value, ha="center", va="center", fontsize=7)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_ylabel("decided")


def _decisions(states: Axes, assistant: Axes, events: Sequence[Event], length: float) -> None:
    """Write each decision in the first free row."""
    wide = length / (_LETTERS_PER_INCH * _width(length))
    ends = [0.0] * _ROWS
    for event in events:
        text = _decision(event)
        if not text:
            continue
        at = seconds(event.at)
        row = next((n for n, end in enumerate(ends) if end <= at), ends.index(min(ends)))
        ends[row] = at + wide * len(text)
        states.plot([at, at], [0.0, 0.34], color="black", lw=0.6)
        place: dict[str, Any] = {"fontsize": 6, "va": "bottom", "ha": "left"}
        states.text(at, 0.34 + 0.64 / _ROWS * row, text, **place)
        if isinstance(event, PlaybackControl | Interrupted):
            assistant.axvline(at, color="#cb181d", lw=0.8, ls="--")


def _width(length: float) -> float:
    """Return the width in inches for a conversation of ``length`` seconds."""
    return min(24.0, max(8.0, 0.9 * length))


def _decision(event: Event) -> str:
    match event:
        case PlaybackControl(action=action, reason=reason):
            return f"{action}: {reason}"
        case StateChanged(state=TurnState.THINKING, reason=reason):
            return f"turn over: {reason}"
        case ReplyStarted(reply=reply):
            return f"reply {reply}"
        case RecordedBackchannel():
            return "hum"
        case SpeculationDiscarded(reason=reason) | TurnDiscarded(reason=reason):
            return f"dropped: {reason}"
        case _:
            return ""
