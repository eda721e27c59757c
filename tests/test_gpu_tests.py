"""The GPU's tests where little else is installed."""

from __future__ import annotations

import subprocess
import sys

from tests import ROOT

COLLECT = """
import sys
sys.modules["soundfile"] = None
import pytest
sys.exit(pytest.main(["--collect-only", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""
FILES = ("tests/audio_io/test_audio_files.py", "tests/covo_cli/simulation/test_room.py")


def collect(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COLLECT, *options, *FILES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_package_the_modules_that_need_it_are_skipped_by_name():
    found = collect("-m", "gpu")
    assert "needs soundfile, which is not installed" in found.stdout
    assert "error" not in found.stdout
    assert collect().returncode == 2
