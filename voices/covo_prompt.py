"""The voice prompt of Covo-Audio: three arrays that condition flow matching.

The tools that make them from a recording were not released, so only existing arrays work. The
network that uses the voice checks their widths; the published one's are 64 (latent) and 1024
(embedding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voices.errors import VoiceError
from voices.folders import check_readable

TOKEN_FILE = "prompt_token.npy"
LATENT_FILE = "prompt_latent.npy"
EMBEDDING_FILE = "speaker_embed.npy"
PROMPT_FILES = (TOKEN_FILE, LATENT_FILE, EMBEDDING_FILE)

TOKENS_PER_SECOND = 25
_LATENTS = 4
"""Latents for each token."""


@dataclass(frozen=True, slots=True, eq=False)
class CovoPrompt:
    """``token`` int64 (1, N) at 25 Hz, ``latent`` float32 (1, 4 N + 3, width) at 100 Hz,
    ``embedding`` float32 (1, width)."""

    token: NDArray[np.int64] = field(repr=False)
    latent: NDArray[np.float32] = field(repr=False)
    embedding: NDArray[np.float32] = field(repr=False)

    @property
    def seconds(self) -> float:
        """The length of the recording that the prompt was made of."""
        return float(self.token.shape[1] / TOKENS_PER_SECOND)

    def crop(self, seconds: float) -> CovoPrompt:
        """Return the voice with the last ``seconds`` of its prompt, which the reply follows.

        Raises: VoiceError unless something is left, and something goes.
        """
        least = 1 / TOKENS_PER_SECOND
        if not least <= seconds < self.seconds:
            raise VoiceError(
                f"a prompt of {self.seconds:g} s cannot be cropped to {seconds:g} s: give at least "
                f"{least:g} s, and less than it has"
            )
        dropped = self.token.shape[1] - round(seconds * TOKENS_PER_SECOND)
        latent = self.latent[:, _LATENTS * dropped :]
        return replace(self, token=self.token[:, dropped:], latent=latent)

    def save(self, folder: Path) -> None:
        """Write the three arrays into ``folder``. Raises: OSError."""
        np.save(folder / TOKEN_FILE, self.token)
        np.save(folder / LATENT_FILE, self.latent)
        np.save(folder / EMBEDDING_FILE, self.embedding)


def blend_embeddings(shares: Sequence[tuple[CovoPrompt, float]]) -> NDArray[np.float32]:
    """Return the weighted mean of the speaker embeddings, as long as they are in the mean.

    Raises: VoiceError if they are of different networks.
    """
    if len({prompt.embedding.shape for prompt, _ in shares}) > 1:
        raise VoiceError("the voices are for networks of different sizes: they cannot be blended")
    weights = np.array([weight for _, weight in shares]) / sum(weight for _, weight in shares)
    rows = np.concatenate([prompt.embedding for prompt, _ in shares]).astype(np.float64)
    mean = weights @ rows
    length = weights @ np.linalg.norm(rows, axis=1)
    return np.asarray(mean[None] * (length / max(np.linalg.norm(mean), 1e-12)), np.float32)


def read_prompt(folder: Path) -> CovoPrompt:
    """Read and check the arrays in ``folder``. Raises: VoiceError."""
    token = load_array(folder / TOKEN_FILE, np.dtype(np.int64), (1, None))
    length = token.shape[1]
    if length == 0 or token.min() < 0:
        raise VoiceError(f"{folder / TOKEN_FILE}: must hold at least one token, none negative")
    rows = _LATENTS * length + 3
    latent = load_array(folder / LATENT_FILE, np.dtype(np.float32), (1, rows, None))
    embedding = load_array(folder / EMBEDDING_FILE, np.dtype(np.float32), (1, None))
    return CovoPrompt(token, latent, embedding)


def load_array(path: Path, dtype: np.dtype[Any], shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Return the finite array of ``dtype`` and ``shape`` (None: any length) in the file ``path``.

    Raises: VoiceError.
    """
    try:
        check_readable(path)
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise VoiceError(
            f"{path} is missing: a Covo voice consists of {', '.join(PROMPT_FILES)}"
        ) from error
    except OSError as error:
        raise VoiceError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # numpy parses the header as Python, and fails as a parser may
        raise VoiceError(f"{path} is not a numpy array file: {error}") from error
    if not isinstance(array, np.ndarray):  # e.g. a renamed .npz
        raise VoiceError(f"{path} is not a numpy array file")
    fits = array.ndim == len(shape) and all(
        wanted is None or size == wanted for size, wanted in zip(array.shape, shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        wanted_shape = str(tuple("N" if n is None else n for n in shape)).replace("'", "")
        raise VoiceError(
            f"{path} is {array.dtype} {array.shape}; it must be {dtype} {wanted_shape}"
        )
    if not np.isfinite(array).all():
        raise VoiceError(f"{path} is damaged: it holds values that are not finite")
    return array
