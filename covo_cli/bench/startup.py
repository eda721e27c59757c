"""Time ``covo --help`` and the start of a conversation."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from audio_io.clock import USER_RATE
from audio_io.files import write_audio
from covo_cli.bench.figures import summary
from covo_cli.errors import CliError


def measure_startup(runs: int) -> dict[str, Any]:
    """Time ``runs`` whole processes of each kind, in seconds.

    ``ready`` is a whole conversation with 0.1 s of silence, including the load and check of every
    weight, so it exceeds the time until the user can speak.
    """
    with tempfile.TemporaryDirectory() as folder:
        silence = Path(folder) / "silence.wav"
        write_audio(silence, np.zeros(USER_RATE // 10, np.float32), USER_RATE)
        chat = ["chat", "--input", str(silence), "--pace", "fast", "--no-record"]
        return {
            "help": _times(["--help"], runs),
            "chat_help": _times(["chat", "--help"], runs),
            "ready": _times(chat, runs),
            "runs": runs,
        }


def _times(arguments: list[str], runs: int) -> dict[str, float]:
    times = [_run(arguments) for _ in range(runs + 1)][1:]  # [0] fills the disk cache
    return summary(times, median=50, max=100)


def _run(arguments: list[str]) -> float:
    began = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-m", "covo_cli", *arguments], capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise CliError(f"covo {' '.join(arguments)} failed: {result.stderr.strip()}")
    return time.perf_counter() - began
