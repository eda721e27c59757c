"""Loads the network of a folder in a process of its own, and prints what that took, as JSON bytes.

python -m tests.fakes.load_in_process FOLDER PRECISION
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from model.covo.config.precision import Precision
from model.covo.loading.checkpoint import load_network


def resident(kind: str) -> int:
    """Resident bytes of this process, mapped files included: ``VmRSS`` now, ``VmHWM`` at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {kind}")


def main(folder: Path, precision: Precision) -> None:
    """Measure the loading of ``folder``."""
    torch.nn.Linear(2, 2)(torch.zeros(1, 2))
    before = resident("VmRSS")
    network = load_network(folder, precision=precision)
    held = sum(p.nbytes for p in network.parameters())
    shards = [path.stat().st_size for path in folder.glob("*.safetensors")]
    peak = resident("VmHWM") - before
    figures = {"peak": peak, "network": held, "shard": max(shards), "on_top": peak - held}
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Precision(sys.argv[2]))
