"""What holds for every test: logs in a temporary folder, one thread, models loaded once.

The networks of the tests are so small that more threads only wait for each other.
"""

from __future__ import annotations

import os
from pathlib import Path

import onnxruntime
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported

SHARED_MODELS = {"silero_vad.onnx", "smart-turn-v3.2-cpu.onnx", "kokoro-v1.0.int8.onnx"}


@pytest.fixture(autouse=True, scope="session")
def _log_elsewhere(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVO_LOG_DIR", str(tmp_path_factory.mktemp("logs")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _load_models_once():
    """Share the sessions of models that many tests load; they have no state of their own."""
    load, loaded = onnxruntime.InferenceSession, {}

    def shared(source, *args, **options):
        path = Path(source) if isinstance(source, str) else None
        if path is None or path.name not in SHARED_MODELS or not path.is_file():
            return load(source, *args, **options)
        key = (path, path.stat().st_mtime_ns)
        if key not in loaded:
            loaded[key] = load(source, *args, **options)
        return loaded[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "InferenceSession", shared)
        yield
