"""The tests of Triton kernels again, on the CPU in Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")
pytest.importorskip("triton", reason="needs triton (the dev extra)")

from tests import ROOT
from tests.model.interpreted import INTERPRETED

MODULES = [
    str(path)
    for path in sorted(Path(__file__).parent.rglob("test_*.py"))
    if "from tests.model.interpreted import DEVICES" in path.read_text()
]


@pytest.mark.skipif(INTERPRETED, reason="this is the interpreter's process")
def test_kernels_in_the_interpreter():
    """One process for all: it imports torch and triton once."""
    assert len(MODULES) > 3
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "cpu", "-p", "no:cacheprovider", *MODULES],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
