"""The numbers that the public code produced on CPU, and the two tiny networks they belong to.

``tests/golden`` holds what the tests compare: tensors by name (xz-packed safetensors), made with
small random weights in float32. Long ones are strided over time (``..._every10frames``).
"""

from __future__ import annotations

import functools
import json
import lzma
import shutil
from pathlib import Path

import pytest

from tests import ROOT

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from safetensors.torch import load
from torch import Tensor

from model.covo.config.token2wav_config import FlowConfig
from model.covo.speech.token2wav import VoicePrompt
from voices.covo_prompt import read_prompt

FOLDER = ROOT / "tests/golden"
TOLERANCE = 1e-4


@functools.cache
def golden(name: str) -> dict[str, Tensor]:
    """The tensors of ``covo/NAME`` or ``token2wav/NAME``."""
    return load(lzma.decompress((FOLDER / f"{name}.safetensors.xz").read_bytes()))


@functools.cache
def tokens(case: str) -> list[int]:
    """What was generated greedily in ``case``."""
    return json.loads((FOLDER / "covo/tokens.json").read_text())[case]


def pcm(case: str) -> Tensor:
    """The turn of ``case`` at 24 kHz."""
    return golden(f"covo/pcm_{case}")["pcm_int16_24k"].float() / 32768


def network_folder(target: Path) -> Path:
    """The language-model side in the published layout, in ``target``."""
    target.mkdir(exist_ok=True)
    shutil.copy(FOLDER / "covo/config.json", target)
    _unpack("covo", target)
    return target


def token2wav_folder(target: Path) -> Path:
    """token2wav in the published layout, and the voice's arrays in ``prompt``, in ``target``."""
    target.mkdir(exist_ok=True)
    for name in ("config.json", "global_mean_var.npy"):
        shutil.copy(FOLDER / "token2wav" / name, target)
    shutil.copytree(FOLDER / "token2wav/prompt", target / "prompt")
    _unpack("token2wav", target)
    return target


def voice_prompt(folder: Path, config: FlowConfig) -> VoicePrompt:
    """The voice in the ``prompt`` of a :func:`token2wav_folder`."""
    return VoicePrompt.of(read_prompt(folder / "prompt"), config)


def error(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference; the shapes must be the same."""
    assert ours.shape == theirs.shape
    return float((ours.float() - theirs.float()).abs().max())


def _unpack(side: str, target: Path) -> None:
    (target / "model.safetensors").write_bytes(_weights(side))


@functools.cache
def _weights(side: str) -> bytes:
    return lzma.decompress((FOLDER / side / "model.safetensors.xz").read_bytes())
