"""Check the machine: Python, packages, memory, GPU, disk."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from covo_cli.doctor.check import Check, Status
from voices.folders import in_the_way

log = logging.getLogger(__name__)

MEMORY_NEEDED = 1_200_000_000
"""Bytes of memory that the embedded engine can need."""
DISK_LITTLE, DISK_NONE = 1_000_000_000, 100_000_000
"""Free bytes below which recording is at risk, and below which it fails."""


def check_packages(
    requirements: Iterable[str] | None = None,
    version: Callable[[str], str] = importlib.metadata.version,
    load: Callable[[str], object] = importlib.import_module,
) -> Check:
    """Check that the packages covo requires are installed and the compiled ones load."""
    found, problems = [], []
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
            problems.append(f"{name[0]} is not installed")
        except (ImportError, OSError) as error:
            problems.append(f"{name[0]} does not load ({error})")
    if problems:
        fix = "reinstall it: pip install --force-reinstall PACKAGE"
        return Check("packages", Status.FAILED, "; ".join(problems), fix)
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
    """A graphics card and its memory in bytes."""

    name: str
    free: int
    total: int

    def __str__(self) -> str:
        return f"{self.name}, {self.free / 1e9:.1f} of {self.total / 1e9:.1f} GB free"


def check_gpu(gpus: Sequence[Gpu]) -> Check:
    """Report the GPUs. Having none is fine: the embedded engine needs none."""
    found = "; ".join(str(gpu) for gpu in gpus)
    return Check("GPU", Status.OK, found or "none (the embedded engine runs on the CPU)")


def find_gpus() -> tuple[Gpu, ...]:
    """Return the CUDA cards, from torch if it works here, else from nvidia-smi."""
    if importlib.util.find_spec("torch") is not None:
        try:
            cuda = importlib.import_module("torch").cuda
            indices = range(cuda.device_count() if cuda.is_available() else 0)
            return tuple(Gpu(cuda.get_device_name(i), *cuda.mem_get_info(i)) for i in indices)
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
    if available < MEMORY_NEEDED:
        fix = f"close other programs: the engine needs up to {MEMORY_NEEDED / 1e9:.1f} GB"
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


def why_unwritable(folder: Path) -> str:
    """Return why nothing can be written into ``folder``, or "". Tries it with a nameless file."""
    if problem := in_the_way(folder):
        return problem
    existing = _nearest(folder)
    if not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        return f"{existing} is not a writable folder"
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"x")
        with contextlib.suppress(FileNotFoundError):
            folder.stat()
    except OSError as error:
        return f"cannot write into {folder}: {error.strerror or error}"
    return ""


def _nearest(folder: Path) -> Path:
    """Return ``folder`` or the nearest of its parents that is there."""
    return next(path for path in (folder, *folder.parents) if os.path.isdir(path))  # noqa: PTH112


def check_disk(folder: Path, *, record: bool = True) -> Check:
    """Check that the sessions' folder is writable and has room for recordings."""
    if problem := why_unwritable(folder):
        fix = "mend it, or set session.dir (COVO_DATA_DIR moves all data)"
        return Check("disk", Status.FAILED if record else Status.WARNING, problem, fix)
    existing = _nearest(folder)
    space = shutil.disk_usage(existing).free
    detail = f"{space / 1e9:.1f} GB free in {folder}"
    if space < DISK_LITTLE:
        status = Status.FAILED if record and space < DISK_NONE else Status.WARNING
        fix = "free disk space, or do not record: covo chat --no-record"
        return Check("disk", status, detail, fix)
    return Check("disk", Status.OK, detail)
