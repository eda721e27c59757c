"""What holds for every test: its programs log into a folder that goes away, on one thread.

The networks of the tests are so small that more threads only wait for each other.
"""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported


@pytest.fixture(autouse=True, scope="session")
def _log_elsewhere(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVO_LOG_DIR", str(tmp_path_factory.mktemp("logs")))
        yield
