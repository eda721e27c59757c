"""Check the machine: Python, packages, memory, GPU, disk."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from covo_cli.doctor.check import Check, Status
from covo_cli.engines.model_choice import LITE_MEMORY
from model.covo.config.gpu import Capability, is_modern, limits
from voices.folders import nearest, why_unwritable
from voices.installation import install_again

log = logging.getLogger(__name__)

DISK_LITTLE, DISK_NONE = 1_000_000_000, 100_000_000
"""Free bytes below which recording is at risk, and below which it fails."""


def check_packages(
    requirements: Iterable[str] | None = None,
    version: Callable[[str], str] = importlib.metadata.version,
    load: Callable[[str], object] = importlib.import_module,
) -> Check:
    """Check that the packages covo requires are installed and the compiled ones load."""
    found: list[str] = []
    problems: dict[str, str] = {}
    if requirements is None:
        try:
            requirements = importlib.metadata.requires("covo") or ()
        except importlib.metadata.PackageNotFoundError:
            return Check("packages", Status.FAILED, "covo is not installed", "pip install -e .")
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        if name is None or "extra ==" in requirement:
            continue
        try:
            found.append(f"{name[0]} {version(name[0])}")
            if name[0] in _COMPILED:
                load(_COMPILED[name[0]])
        except importlib.metadata.PackageNotFoundError:
            problems[name[0]] = "is not installed"
        except (ImportError, OSError) as error:
            problems[name[0]] = f"does not load ({error})"
    if problems:
        told = "; ".join(f"{name} {problem}" for name, problem in problems.items())
        return Check("packages", Status.FAILED, told, " && ".join(map(install_again, problems)))
    return Check("packages", Status.OK, ", ".join(found))


_COMPILED = {
    "numpy": "numpy",
    "soundfile": "soundfile",
    "soxr": "soxr",
    "webrtcvad-wheels": "webrtcvad",
    "pywebrtc-audio": "pywebrtc_audio",
    "onnxruntime": "onnxruntime",
    "ctranslate2": "ctranslate2",
    "tokenizers": "tokenizers",
    "xllamacpp": "xllamacpp",
}
"""Module of each package with compiled code, except sounddevice, which has its own check."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics card, its memory in bytes, and its compute capability if torch says it."""

    name: str
    free: int
    total: int
    capability: Capability | None = None

    def __str__(self) -> str:
        return f"{self.name}, {self.free / 1e9:.1f} of {self.total / 1e9:.1f} GB free"


def check_gpu(gpus: Sequence[Gpu]) -> Check:
    """Report the GPUs, and what older ones lack. Having none is fine: the embedded engine needs
    none."""
    found = "; ".join(str(gpu) for gpu in gpus)
    old = [f"{gpu.name}: {limits(gpu.capability)}" for gpu in gpus if not is_modern(gpu.capability)]
    if old:
        fix = "for Covo-Audio use half precision: covo config set covo.precision fp16"
        return Check("GPU", Status.WARNING, "; ".join((found, *old)), fix)
    return Check("GPU", Status.OK, found or "none (the embedded engine runs on the CPU)")


def find_gpus() -> tuple[Gpu, ...]:
    """Return the CUDA cards, from torch if it works here, else from nvidia-smi."""
    if importlib.util.find_spec("torch") is not None:
        try:
            cuda = importlib.import_module("torch").cuda
            indices = range(cuda.device_count() if cuda.is_available() else 0)
            memory = (cuda.mem_get_info(index) for index in indices)
            return tuple(
                Gpu(cuda.get_device_name(i), free, total, cuda.get_device_capability(i))
                for i, (free, total) in enumerate(memory)
            )
        except (ImportError, OSError, RuntimeError):
            log.warning("torch does not work here", exc_info=True)
    query = "nvidia-smi --query-gpu=name,memory.free,memory.total --format=csv,noheader,nounits"
    try:
        answer = subprocess.run(
            query.split(), capture_output=True, text=True, timeout=10, check=True
        )
        lines = [line.rsplit(",", 2) for line in answer.stdout.splitlines()]
        return tuple(
            Gpu(name.strip(), int(free) * 2**20, int(total) * 2**20) for name, free, total in lines
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()


def check_memory(available: int, total: int, cores: int | None) -> Check:
    """Check that there is memory for the embedded engine; sizes in bytes."""
    detail = f"{available / 1e9:.1f} of {total / 1e9:.1f} GB free, {cores or '?'} CPU cores"
    if available < LITE_MEMORY:
        fix = f"close other programs: the engine needs up to {LITE_MEMORY / 1e9:.1f} GB"
        return Check("memory", Status.WARNING, detail, fix)
    return Check("memory", Status.OK, detail)


def check_folders(folders: Mapping[str, Path]) -> Iterator[Check]:
    """Check that each folder, by what it holds, is writable or can be made; yield what is not."""
    problems: dict[str, list[str]] = {}
    for content, folder in folders.items():
        if problem := why_unwritable(folder):
            problems.setdefault(problem, []).append(content)
    for problem, contents in problems.items():
        fix = f"mend it: covo keeps {', '.join(contents)} there"
        yield Check("folders", Status.WARNING, problem, fix)


def check_disk(folder: Path, *, record: bool = True) -> Check:
    """Check that the sessions' folder is writable and has room for recordings."""
    if problem := why_unwritable(folder):
        fix = "mend it, or set session.dir (COVO_DATA_DIR moves all data)"
        return Check("disk", Status.FAILED if record else Status.WARNING, problem, fix)
    space = shutil.disk_usage(nearest(folder)).free
    detail = f"{space / 1e9:.1f} GB free in {folder}"
    if space < DISK_LITTLE:
        status = Status.FAILED if record and space < DISK_NONE else Status.WARNING
        fix = "free disk space, or do not record: covo chat --no-record"
        return Check("disk", status, detail, fix)
    return Check("disk", Status.OK, detail)
