"""Tests of Triton kernels: compiled on a GPU, and on the CPU in Triton's interpreter.

The interpreter is chosen when triton is imported, for the whole process. So a module of such tests
takes its devices from :data:`DEVICES` and runs itself again in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests import ROOT

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether kernels run in the interpreter, on the CPU."""

DEVICES = [
    "cpu"
    if INTERPRETED
    else pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
        ],
    )
]


def run_in_the_interpreter(module: Path | str) -> None:
    """Run the tests of the file ``module`` on the CPU."""
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "cpu", "-p", "no:cacheprovider", str(module)],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
