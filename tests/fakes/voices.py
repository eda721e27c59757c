"""Voice packs to try the store with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TOP = """format = 1
name = "{name}"
description = "made for a test"
language = "en-US"
licence = "CC0-1.0"
source = "random numbers"
"""
LITE = """
[lite]
synthesizer = "kokoro"
file = "style.bin"
"""
COVO = """
[covo]
speaker = "default_female"
"""


def make_pack(parent: Path, name: str = "anna", *, parts: str = LITE + COVO) -> Path:
    """A sound pack that serves both engines, or only ``parts``."""
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / "voice.toml").write_text(TOP.format(name=name) + parts, encoding="utf-8")
    random = np.random.default_rng(0)
    if "[lite]" in parts:
        random.standard_normal((510, 1, 256)).astype("<f4").tofile(folder / "style.bin")
    if "[covo]" in parts:
        save_prompt(folder)
    return folder


def save_prompt(
    folder: Path,
    token: object = None,
    latent: object = None,
    embedding: object = None,
) -> None:
    """The three arrays of a Covo voice with N = 5, or others in their place."""
    good = (
        np.arange(5, dtype=np.int64)[None],
        np.ones((1, 23, 64), np.float32),
        np.ones((1, 1024), np.float32),
    )
    names = ("prompt_token", "prompt_latent", "speaker_embed")
    for name, array, other in zip(names, good, (token, latent, embedding), strict=True):
        np.save(folder / f"{name}.npy", array if other is None else np.asarray(other))
