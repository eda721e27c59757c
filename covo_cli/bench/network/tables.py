"""Format a run's figures as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from covo_cli.bench.goals import goals_table


def network_tables(figures: Mapping[str, Any]) -> Iterator[Table]:
    """Yield one table per topic."""
    yield _first_sample(figures)
    yield _decoding(figures)
    if figures["sessions"] is not None:
        yield _sessions(figures["sessions"])
    yield _speech(figures)
    yield _memory(figures)
    yield goals_table(figures)


def _first_sample(figures: Mapping[str, Any]) -> Table:
    reply, all_first = figures["reply"], figures["side_by_side"]["all_first"]
    table = Table(title="End of speech to first sample, ms")
    for name in ("", *reply["breakdown_seconds"], "together"):
        table.add_column(name, justify="right" if name else "left")
    for label, run in (("streamed", reply), ("all tokens first, then speech", all_first)):
        parts = [_ms(part) for part in run["breakdown_seconds"].values()]
        table.add_row(label, *parts, _ms(run["first_sample_seconds"]))
    table.caption = (
        f"reply of {reply['audio_seconds']:.1f} s in {reply['whole_seconds']:.2f} s "
        f"({reply['whole_share_of_duration']:.2f} of its duration), "
        f"{reply['tokens_per_second_while_speaking']:.0f} tokens/s beside the speech"
    )
    return table


def _decoding(figures: Mapping[str, Any]) -> Table:
    limit = figures["limits"]["read_gb_per_second"]
    table = Table(title=f"Decode step (memory bandwidth {limit:.0f} GB/s)")
    for name in ("tokens in the cache", "median", "95 %", "floor", "multiple", "tokens/s", "need"):
        table.add_column(name, justify="right")
    for entry in figures["decode"]:
        table.add_row(
            str(entry["context_tokens"]),
            f"{entry['median_ms']:.2f} ms",
            f"{entry['p95_ms']:.2f} ms",
            f"{entry['floor_ms']:.2f} ms",
            f"{entry['multiple_of_floor']:.2f}",
            f"{entry['tokens_per_second']:.0f}",
            f"{entry['tokens_per_second_needed']:.0f}",
        )
    hearing = figures["hearing"]
    streams = figures["streams"]
    if streams is not None:
        table.add_section()
        table.add_row(
            f"{streams['prompt_tokens']}, {streams['streams']} at once",
            f"{streams['step_ms']:.2f} ms",
            *("", "", ""),
            f"{streams['tokens_per_second']:.0f}",
            f"{streams['speed_up']:.1f} times one",
        )
    table.caption = (
        f"turn of {hearing['turn_seconds']:g} s: "
        f"features {hearing['features']['median_ms']:.1f} ms, "
        f"encoder {hearing['encoder']['median_ms']:.1f} ms, prefill of "
        f"{hearing['prefill']['tokens']} tokens {hearing['prefill']['median_ms']:.1f} ms"
    )
    return table


def _sessions(sessions: Mapping[str, Any]) -> Table:
    table = Table(title="Conversations that share their steps")
    for name in ("", "at once", "median", "95 %", "of the time", "tokens/s of all"):
        table.add_column(name, justify="right" if name else "left")
    captions = []
    for name in ("chat", "duplex"):
        engine = sessions[name]
        if engine is None:
            continue
        label = f"{name}, a {engine['step']} in {engine['left_ms']:g} ms"
        for entry in engine["counts"]:
            table.add_row(
                label,
                str(entry["sessions"]),
                f"{entry['median_ms']:.2f} ms",
                f"{entry['p95_ms']:.2f} ms",
                f"{entry['share_of_time']:.0%}",
                f"{entry['tokens_per_second']:.0f}",
            )
            label = ""
        table.add_section()
        captions.append(
            f"{name}: {engine['keeping_pace']} keep pace; one beside empty places takes "
            f"{engine['alone']['cost_of_sharing']:+.1%}"
        )
    table.caption = "\n".join(captions)
    return table


def _speech(figures: Mapping[str, Any]) -> Table:
    limit = figures["limits"]["matmul_tflop_per_second"]
    table = Table(
        title=f"Speech per chunk (matrix products reach {limit:.3g} TFLOP/s in "
        f"{figures['token2wav_precision']})"
    )
    for name in (
        "codes",
        "seen",
        "sound",
        "flow",
        "of peak",
        "vocoder",
        "of peak",
        "both",
        "first",
    ):
        table.add_column(name, justify="right")
    for chunk in figures["chunks"]:
        table.add_row(
            str(chunk["codes"]),
            str(chunk["seen_codes"]),
            f"{chunk['audio_ms']:.0f} ms",
            f"{chunk['flow_ms']:.1f} ms",
            f"{chunk['flow_share_of_peak']:.0%}",
            f"{chunk['vocoder_ms']:.1f} ms",
            f"{chunk['vocoder_share_of_peak']:.0%}",
            f"{chunk['flow_ms'] + chunk['vocoder_ms']:.1f} ms",
            f"{chunk['first_ms']:.0f} ms",
        )
    return table


def _memory(figures: Mapping[str, Any]) -> Table:
    memory = figures["memory"]
    table = Table(title="Memory, GB")
    for name in ("", "planned", "measured"):
        table.add_column(name, justify="right" if name else "left")
    plan = memory["plan"]
    table.add_row("weights", _gb(plan["weights"]), _gb(memory["weights"]))
    table.add_row(
        "weights, cache and workspace", _gb(plan["allocated"]), _gb(memory["peak_allocated"])
    )
    table.add_row("with context and margin", _gb(plan["total"]), "")
    return table


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


def _gb(size: int | None) -> str:
    return "not measured" if size is None else f"{size / 1e9:.3f}"
