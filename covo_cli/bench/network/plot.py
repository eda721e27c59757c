"""Plot the time to the first sample and the cost of speech chunks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from covo_cli.bench.figures import save_picture

COLOURS = {
    "features": "#7a7a7a",
    "encoder": "#3b6ea5",
    "prefill": "#5fa8d3",
    "tokens": "#e1a23b",
    "speech": "#b5523b",
}


def save_plot(path: Path, figures: Mapping[str, Any]) -> None:
    """Plot the parts of the time to the first sample, streamed and with all tokens first, and each
    chunk's cost beside its length. Raises: CliError."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(1, 1.2))
    _breakdown(above, figures)
    _chunks(below, figures["chunks"])
    machine = figures["machine"]
    device = machine["device_name"] or machine["processor"]
    figure.suptitle(
        f"Covo network, {figures['size']}, {figures['precision']} "
        f"(token2wav {figures['token2wav_precision']}), random weights, {device}",
        fontsize=11,
    )
    save_picture(figure, path)


def _breakdown(axes: Any, figures: Mapping[str, Any]) -> None:
    reply, all_first = figures["reply"], figures["side_by_side"]["all_first"]
    rows = {"all tokens first": all_first, "streamed": reply}
    for row, run in enumerate(rows.values()):
        left = 0.0
        for name, seconds in run["breakdown_seconds"].items():
            label = name if row == 0 else None
            axes.barh(row, 1000 * seconds, left=left, color=COLOURS[name], label=label)
            left += 1000 * seconds
        axes.text(left, row, f" {left:.0f} ms", va="center")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel("ms from the end of speech to the first sample")
    axes.margins(x=0.12)
    axes.legend(ncols=len(COLOURS), loc="upper center", bbox_to_anchor=(0.5, 1.22), frameon=False)


def _chunks(axes: Any, chunks: list[Mapping[str, Any]]) -> None:
    places = range(len(chunks))
    flow = [chunk["flow_ms"] for chunk in chunks]
    vocoder = [chunk["vocoder_ms"] for chunk in chunks]
    lasts = [chunk["audio_ms"] for chunk in chunks]
    axes.bar(places, flow, 0.6, color="#8c3b2a", label="flow matching")
    axes.bar(places, vocoder, 0.6, bottom=flow, color="#d98f7a", label="vocoder")
    left, right = [place - 0.3 for place in places], [place + 0.3 for place in places]
    axes.hlines(lasts, left, right, colors="black", label="how long the chunk lasts")
    axes.set_xticks(places, [f"{chunk['codes']} of {chunk['seen_codes']}" for chunk in chunks])
    axes.set_xlabel("codes of the chunk, of those that flow matching sees")
    axes.set_ylabel("ms")
    axes.legend(frameon=False, loc="upper left")
