"""What holds for every test: logs in a temporary folder, one thread, models loaded once.

The networks of the tests are so small that more threads only wait for each other.

A machine with a GPU often has torch and little else, so with ``-m gpu`` a module that imports a
package which is not installed is skipped, and the skip names the package. Without it, that is an
error.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.voices.said import Said

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the core to others

SHARED_MODELS = {
    "silero_vad_16k.onnx",
    "smart-turn-v3.2-cpu.onnx",
    "kokoro-v1.0.int8.onnx",
    "hibari.onnx",
}
OURS = {"audio_io", "covo_cli", "model", "tests", "voices"}


class GpuModule(pytest.Module):
    """A module of tests in a run of the GPU's tests alone."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        try:
            return super().collect()
        except self.CollectError as error:
            cause = error.__cause__
            package = cause.name if isinstance(cause, ModuleNotFoundError) else None
            if package is None or package.partition(".")[0] in OURS:
                raise
            pytest.skip(f"needs {package}, which is not installed", allow_module_level=True)


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    if parent.config.option.markexpr != "gpu":
        return None
    return GpuModule.from_parent(parent, path=module_path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest modules, so that at the end no worker waits for the other's."""
    longest = ("long", "weights")
    items.sort(key=lambda item: not any(map(item.parent.get_closest_marker, longest)))


@pytest.fixture(autouse=True, scope="session")
def _log_elsewhere(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVO_LOG_DIR", str(tmp_path_factory.mktemp("logs")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _load_models_once():
    """Share the sessions of models that many tests load; they have no state of their own."""
    if find_spec("onnxruntime") is None:
        yield
        return
    import onnxruntime

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
