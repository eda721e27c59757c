"""Make the library of built-in voices: styles out of Kokoro's package, measured one by one."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tomlkit
from numpy.typing import NDArray

from covo_cli.errors import CliError
from covo_cli.evaluation.scenarios.mix import JUDGED
from covo_cli.process import whole_file
from covo_cli.voices.measuring import Measured
from voices.library import EMBEDDINGS, FORMAT, MIDDLE, TABLE, LibraryVoice
from voices.lite_data import STATISTICS

PACKAGE_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"
"""Of the npm package kokoro-js 1.2.1, as ``npm pack`` fetches it."""
SOURCE = "Kokoro-82M by hexgrad, file unchanged from the npm package kokoro-js 1.2.1"

LANGUAGES = {"a": "en-US", "b": "en-GB", "e": "es", "z": "zh-CN"}
"""By the first letter of a style's name: those whose phonemes can be had."""
_GENDERS = {"f": "female", "m": "male"}
_HEARD = ("en", "zh")
"""Languages that the speaker network has learnt: the mean voice is theirs."""
_BY_HIBARI = "heart"
"""The voice that the fast synthesiser has learnt."""

Measure = Callable[[str, Path, str], Measured]
"""Measures the synthesiser called so with the style in this file in this language."""


def make_library(
    package: Path, folder: Path, measure: Measure, progress: Callable[[str], None]
) -> None:
    """Write the library of the voices in ``package``, kokoro-js's archive, into ``folder``.

    The table is written last. Raises: CliError, SynthesizerError, WeightsError.
    """
    try:
        content = package.read_bytes()
    except OSError as error:
        raise CliError(f"cannot read {package}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != PACKAGE_SHA256:
        raise CliError(f"{package} is not kokoro-js 1.2.1: fetch it with npm pack kokoro-js@1.2.1")
    rows: list[dict[str, Any]] = []
    embeddings = []
    for style, data in _styles(content):
        path = folder / style
        path.write_bytes(data)
        language, gender = LANGUAGES[style[0]], _GENDERS[style[1]]
        name = style[3:].removesuffix(".bin")
        if name in {row["name"] for row in rows}:
            name = f"{name}-{language.partition('-')[0]}"
        synthesizer: Literal["hibari", "kokoro"] = "hibari" if name == _BY_HIBARI else "kokoro"
        progress(name)
        found = measure(synthesizer, path, language)
        digest = hashlib.sha256(data).hexdigest()
        figures = asdict(found.figures)
        row = LibraryVoice(
            name, style, digest, synthesizer, language, gender, level=found.level, **figures
        )
        rows.append(asdict(row))
        embeddings.append(found.embedding)
        if found.statistics is not None:
            np.save(path.with_suffix(STATISTICS), found.statistics)
    of_others = [
        one
        for row, one in zip(rows, embeddings, strict=True)
        if row["name"] not in JUDGED and row["language"].startswith(_HEARD)
    ]
    _save(folder / EMBEDDINGS, np.array(embeddings, np.float16))
    _save(folder / MIDDLE, np.array(np.mean(of_others, axis=0), np.float32))
    table = {"format": FORMAT, "source": SOURCE, "licence": "Apache-2.0", "voices": rows}
    whole_file.write_text(folder / TABLE, f"{_COMMENT}\n{tomlkit.dumps(table)}")


_COMMENT = """# Written by `covo voices measure`: do not edit.
# pitch: median in Hz; brightness: centroid of the spectrum in Hz; pace: phonemes per second of
# speech; level: dBFS of the network's sound while it speaks. Each is measured on two sentences.
"""


def _save(path: Path, numbers: NDArray[Any]) -> None:
    with whole_file.whole_file(path) as draft, draft.open("wb") as file:
        np.save(file, numbers)


def _styles(package: bytes) -> Iterator[tuple[str, bytes]]:
    """Return name and content of each style whose language can be spoken, sorted by name."""
    with tarfile.open(fileobj=BytesIO(package)) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            name = Path(member.name).name
            file = archive.extractfile(member) if name.endswith(".bin") else None
            if file is not None and name[0] in LANGUAGES:
                yield name, file.read()
