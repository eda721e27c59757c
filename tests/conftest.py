"""What holds for every test: its programs log into a folder that goes away."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="session")
def _log_elsewhere(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVO_LOG_DIR", str(tmp_path_factory.mktemp("logs")))
        yield
