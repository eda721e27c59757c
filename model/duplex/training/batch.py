"""Pack samples into one sequence and run the network over them in one pass.

The computation is the loop's with everything known beforehand: the same encoder in one go, the same
rows in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from model.duplex.network.network import DuplexNetwork
from model.duplex.protocol.grammar import Place
from model.duplex.training.packed import run_packed
from model.duplex.training.sample import Sample, Teaching

PIECE_CHUNKS = 200
"""Chunks that the encoder takes at once: each window of keys that its layers look back at is laid
out, 33 times the keys."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples end to end, on the CPU.

    ``audio`` (samples with audio, audio length) is padded at its end, ``chunks`` are the chunks of
    each. ``ids``, ``places``, ``kinds`` and ``weights`` (n,) are as in
    :class:`~model.duplex.training.sample.Sample`, ``lengths`` those of the samples. ``teaching``:
    what each sample's teacher found likely, at places of the whole batch.
    """

    audio: Tensor = field(repr=False)
    chunks: tuple[int, ...]
    ids: NDArray[np.int64] = field(repr=False)
    places: NDArray[np.int8] = field(repr=False)
    kinds: NDArray[np.int8] = field(repr=False)
    weights: NDArray[np.float32] = field(repr=False)
    lengths: tuple[int, ...]
    teaching: tuple[Teaching, ...] = field(repr=False)


def collate(samples: Sequence[Sample]) -> Batch:
    """Pack ``samples``."""
    lengths = tuple(len(sample.ids) for sample in samples)
    starts = np.cumsum((0, *lengths[:-1])).tolist()
    heard = [sample.audio for sample in samples if len(sample.audio)]
    taught = [(s.teaching, start) for s, start in zip(samples, starts, strict=True)]
    return Batch(
        audio=pad_sequence([torch.from_numpy(a.reshape(-1)) for a in heard], batch_first=True)
        if heard
        else torch.zeros(0, 0),
        chunks=tuple(len(audio) for audio in heard),
        ids=np.concatenate([sample.ids for sample in samples]),
        places=np.concatenate([sample.places for sample in samples]),
        kinds=np.concatenate([sample.kinds for sample in samples]),
        weights=np.concatenate([sample.weights for sample in samples]),
        lengths=lengths,
        teaching=tuple(
            Teaching(one.at + start, one.ids, one.probabilities)
            for one, start in taught
            if one is not None
        ),
    )


def hidden_states(
    network: DuplexNetwork, batch: Batch, origin: int = 0, *, recompute: bool = False
) -> Tensor:
    """Return the language model's hidden states (n, width), after the final norm.

    ``origin``: see :meth:`~model.duplex.network.encoder.StreamingEncoder.start`. ``recompute``:
    keep no more of each layer for the backward pass than its input.
    """
    device = network.device
    rows = network.embed(torch.from_numpy(batch.ids.clip(min=0)).to(device))
    if batch.chunks:
        heard = _hear(network, batch, origin, recompute)
        user = torch.from_numpy((batch.places == Place.USER).nonzero()[0]).to(device)
        rows = rows.index_copy(0, user, heard.to(rows))
    return run_packed(network.covo.llm.model, rows, batch.lengths, recompute=recompute)


def _hear(network: DuplexNetwork, batch: Batch, origin: int, recompute: bool) -> Tensor:
    """Return the features (n, width) of the samples' audio end to end, without the padding's."""
    state = network.encoder.start(len(batch.audio), origin)
    pieces = []
    for audio in batch.audio.split(PIECE_CHUNKS * network.profile.chunk_samples, dim=1):
        piece, state = network.encoder(state, audio.to(network.device), recompute=recompute)
        pieces.append(piece)
    counts = [chunks * network.profile.features_per_chunk for chunks in batch.chunks]
    samples = zip(torch.cat(pieces, dim=1), counts, strict=True)
    return torch.cat([features[:count] for features, count in samples])
