"""Plot the gauges of a soak by the minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from covo_cli.bench.figures import save_picture
from covo_cli.bench.soak.gauges import YARDSTICKS

_COLOURS = ("#3b6ea5", "#b5523b", "#e1a23b", "#7a7a7a")


def save_soak_plot(path: Path, figures: Mapping[str, Any]) -> None:
    """Plot memory, threads and files, queues and step times, with the settling time shaded.

    Raises: CliError.
    """
    from matplotlib.figure import Figure

    series, limits = figures["by_minute"], figures["queues"]
    figure = Figure(figsize=(9, 10), layout="constrained")
    memory, counts, queues, steps = figure.subplots(4, 1, sharex=True)
    _draw(memory, series, ["memory_mb"], "resident memory, MB")
    _draw(counts, series, ["threads", "open_files"], "number")
    shares = {"minutes": series["minutes"]}
    for name, limit in limits.items():
        shares[name] = [100 * length / limit for length in series[name]]
    _draw(queues, shares, list(limits), "% of the limit")
    _draw(steps, series, [*YARDSTICKS, "spare_reply_ms"], "ms of CPU a step")
    for axes in (memory, counts, queues, steps):
        axes.axvspan(0, min(figures["settle_minutes"], figures["minutes"]), color="#eeeeee")
        axes.set_ylim(bottom=0)
    steps.set_xlabel("minutes of conversation")
    figure.suptitle(
        f"Soak: {figures['engine']['name']}, {figures['pace']} pace, seed {figures['seed']}, "
        f"{figures['machine']['processor']}",
        fontsize=11,
    )
    save_picture(figure, path)


def _draw(axes: Any, series: Mapping[str, Any], names: Sequence[str], unit: str) -> None:
    for name, colour in zip(names, _COLOURS, strict=False):
        axes.plot(series["minutes"], series[name], ".-", color=colour, label=name.replace("_", " "))
    axes.set_ylabel(unit)
    axes.legend(frameon=False, loc="lower right")
