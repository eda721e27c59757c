"""Tests of Triton kernels: compiled on a GPU, and on the CPU in Triton's interpreter.

The interpreter is chosen when triton is imported, for the whole process. A module of such tests
takes its devices from :data:`DEVICES`, and test_interpreted.py runs all of them again in a process
of their own.
"""

from __future__ import annotations

import os

import pytest
import torch

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
