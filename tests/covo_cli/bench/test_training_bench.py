"""What a step of training costs: counted as it is, and timed."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")
pytest.importorskip("peft", reason="needs peft (the train extra)")

from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.bench.duplex.steps import bench_profile
from covo_cli.bench.duplex.training import TrainBench, bench_batch, count_step
from model.covo.config.sizes import network_size
from model.duplex.protocol.grammar import Grammar


def counted(positions: int, rank: int = 8, optimizer: str = "adamw"):
    config = network_size("tiny").covo
    bench = TrainBench("tiny", torch.device("cpu"), rank, positions, optimizer, 1, timed=False)
    batch = bench_batch(Grammar(bench_profile(config), config), positions)
    assert positions <= len(batch.ids) < positions + 10
    return count_step(config, bench.training, batch)


def test_memory_and_operations_grow_with_the_step():
    one, two = counted(300), counted(600)
    assert one["weights_bytes"] == two["weights_bytes"]
    assert 1.8 < two["operations"] / one["operations"] < 2.2
    assert two["peak_bytes"] > one["peak_bytes"]
    small = counted(300, optimizer="adamw8bit")
    assert small["moments_bytes"] < 0.26 * one["moments_bytes"]
    assert small["trained_parameters"] == one["trained_parameters"]


def test_the_command(tmp_path):
    path = tmp_path / "figures.json"
    command = ["bench", "train", "--size", "tiny", "--device", "cpu", "--rank", "4"]
    options = ["--positions", "200", "--steps", "1", "--json", str(path)]
    ran = CliRunner().invoke(app, [*command, *options])
    assert ran.exit_code == 0, ran.output
    figures = json.loads(path.read_text())
    timed = figures["timed"]
    assert timed["positions_per_second"] == pytest.approx(
        figures["positions"] / timed["step_seconds"], rel=0.01
    )
    assert all(goal["met"] is None for goal in figures["goals"])
