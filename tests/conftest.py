"""What holds for every test: logs in a temporary folder, one thread, models loaded once.

The networks of the tests are so small that more threads only wait for each other.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime
import pytest

if TYPE_CHECKING:
    from tests.voices.said import Said

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported

SHARED_MODELS = {
    "silero_vad.onnx",
    "smart-turn-v3.2-cpu.onnx",
    "kokoro-v1.0.int8.onnx",
    "hibari.onnx",
}


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


@pytest.fixture(scope="session")
def built_in_voice_said(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """What a built-in voice says: float32 24 kHz, the same for all workers of this run."""
    from covo_cli.settings.settings import load_settings, models_dir
    from model.lite import SynthesizerMaker
    from model.weights.packages import WeightStore
    from tests.voices.said import Said
    from voices.store import VoiceStore

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    weights = WeightStore(models_dir(load_settings()))
    return Said(folder / "said", SynthesizerMaker(weights, VoiceStore().get, threads=1))
