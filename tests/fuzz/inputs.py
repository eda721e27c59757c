"""Sound inputs, and what random changes make of them."""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from covo_cli.errors import is_expected

INPUTS = int(os.environ.get("COVO_FUZZ_INPUTS", "0"))
"""Random inputs of each kind; 0: a few that are always the same."""

fuzz = settings(
    max_examples=INPUTS or 8,
    derandomize=not INPUTS,
    database=None,
    deadline=timedelta(seconds=10),
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=True,
)

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield an empty folder that is gone afterwards, with a file system's odd names."""
    with tempfile.TemporaryDirectory(prefix="covo-fuzz-") as folder:
        yield Path(folder)


@contextmanager
def only_expected(folder: Path) -> Iterator[None]:
    """Let pass the errors that covo raises on purpose; check that no file is left half written."""
    before = set(unfinished_files(folder))
    try:
        yield
    except Exception as error:
        if not is_expected(error) or not str(error).strip():
            raise
    left = set(unfinished_files(folder)) - before
    assert not left, f"left half written: {left}"


def unfinished_files(folder: Path) -> Iterator[Path]:
    """Yield what was to be renamed once it was whole."""
    for path in folder.rglob("*"):
        if path.name.startswith(".covo-draft-") or path.name.endswith(".part"):
            yield path


@st.composite
def damaged(draw: st.DrawFn, good: bytes, *, head: int = 0) -> bytes:
    """``good`` with some bytes changed, removed, doubled or cut off; ``head``: only in these."""
    data = bytearray(good)
    for _ in range(draw(st.integers(0, 4))):
        if not data:
            break
        at = draw(st.integers(0, min(len(data), head or len(data)) - 1))
        match draw(st.sampled_from(("byte", "number", "remove", "double", "cut", "insert"))):
            case "byte":
                data[at] = draw(st.integers(0, 255))
            case "number":
                order = draw(st.sampled_from("<>"))
                data[at : at + 4] = struct.pack(order + "I", draw(st.sampled_from(NUMBERS)))
            case "remove":
                del data[at : at + draw(st.integers(1, 64))]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 64))]
            case "cut":
                del data[at:]
            case "insert":
                data[at:at] = draw(st.binary(max_size=16))
    return bytes(data)


WORDS = (
    *("", " ", "\n", "\x1b[2J", "[old]", "\udcff", "\u202e", "x" * 300, "../..", "/", "nan", "-->"),
    *("2026-11-26", "0001-01-01T00:00:00", "9999-12-31T23:59:59-12:00", "1969-01-01T00:00:00"),
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@st.composite
def altered(draw: st.DrawFn, good: Any) -> Any:
    """``good`` (JSON) with some values replaced, removed or added."""
    value = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        holder, key = value, None
        while isinstance(holder, dict | list) and holder:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            key = draw(st.sampled_from(keys))
            if not isinstance(holder[key], dict | list) or draw(st.booleans()):
                break
            holder = holder[key]
        if key is None or not isinstance(holder, dict | list) or not holder:
            return draw(JSON)
        if draw(st.booleans()):
            holder[key] = draw(st.sampled_from(WORDS) | JSON)
        elif isinstance(holder, dict) and draw(st.booleans()):
            holder[draw(st.text(max_size=8))] = draw(JSON)
        else:
            del holder[key]
    return value


def as_json(value: Any) -> bytes:
    """``value`` as a file has it; lone surrogates become escapes."""
    return json.dumps(value).encode()


SOUNDS = {
    "WAV": "PCM_16",
    "WAVEX": "FLOAT",
    "RF64": "PCM_24",
    "AIFF": "PCM_16",
    "AU": "PCM_16",
    "W64": "PCM_16",
    "CAF": "PCM_16",
    "FLAC": "PCM_16",
    "OGG": "VORBIS",
    "MP3": "MPEG_LAYER_III",
}


def sound_file(kind: str) -> bytes:
    """A fifth of a second of two tones as a file of this kind."""
    time = np.arange(3200) / 16_000
    tones = np.stack([np.sin(2 * np.pi * f * time) for f in (300, 500)], axis=1) * 0.3
    buffer = io.BytesIO()
    soundfile.write(buffer, tones, 16_000, format=kind, subtype=SOUNDS[kind])
    return buffer.getvalue()


def gguf_file(*, blocks: int = 1) -> bytes:
    """The header of a small chat model with ``blocks`` layers, and one tensor of zeros."""

    def text(words: str) -> bytes:
        return struct.pack("<Q", len(words)) + words.encode()

    values = {
        "general.architecture": struct.pack("<I", 8) + text("llama"),
        "general.alignment": struct.pack("<II", 4, 32),
        "llama.context_length": struct.pack("<II", 4, 64),
        "llama.embedding_length": struct.pack("<II", 4, 32),
        "llama.block_count": struct.pack("<II", 4, blocks),
        "llama.attention.head_count": struct.pack("<II", 4, 1),
        "tokenizer.ggml.model": struct.pack("<I", 8) + text("llama"),
        "tokenizer.ggml.tokens": struct.pack("<IIQ", 9, 8, 2) + text("<s>") + text("a"),
    }
    data = b"GGUF" + struct.pack("<IQQ", 3, 1, len(values))
    data += b"".join(text(key) + value for key, value in values.items())
    data += text("token_embd.weight") + struct.pack("<IQQIQ", 2, 32, 2, 0, 0)
    return data + bytes(-len(data) % 32) + bytes(256)


def copied(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """Return a function that copies into a folder what ``make`` makes, once."""
    kept = tempfile.TemporaryDirectory(prefix="covo-fuzz-good-")
    good = make(Path(kept.name))

    def copy_to(folder: Path) -> Path:
        return Path(shutil.copytree(good, folder / good.name))

    copy_to.kept = kept  # type: ignore[attr-defined]
    return copy_to
