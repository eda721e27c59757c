"""Batch chunked dialogues, run the network over them in one pass, and compute the loss.

The computation is the loop's with everything known beforehand: the same encoder in one go, the same
rows in the same order, and the same vocabulary at each place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from model.duplex.network.network import DuplexNetwork
from model.duplex.protocol.grammar import CHOSEN, Grammar, Place
from model.duplex.protocol.sequence import ChunkedDialogue

NO_PLACE = -1
"""Marks the prompt and the padding of shorter dialogues: nothing is learnt there."""


@dataclass(frozen=True, slots=True)
class LossWeights:
    """The weight of a token's loss, by its kind.

    Fillers and silence are most of a dialogue and easy to get right; unweighted they would drown
    the rest. ``shift`` above ``think`` makes the network answer at less certainty, so earlier.
    """

    think: float = 1.0
    shift: float = 2.0
    stop: float = 2.0
    text: float = 1.0
    text_filler: float = 0.3
    speech: float = 1.0
    speech_filler: float = 0.3


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded dialogues: ``audio`` (batch, samples), the number of ``features`` (batch,) in each,
    ``ids`` and ``places`` (batch, n)."""

    audio: Tensor = field(repr=False)
    features: Tensor = field(repr=False)
    ids: Tensor = field(repr=False)
    places: Tensor = field(repr=False)


def collate(dialogues: Sequence[ChunkedDialogue], grammar: Grammar) -> Batch:
    """Batch ``dialogues``, each after the profile's prompt, on the CPU."""
    prompt = np.array(grammar.profile.prompt, np.int64)
    nowhere = np.full(len(prompt), NO_PLACE, np.int64)
    ids, places = (
        pad_sequence(
            [torch.from_numpy(np.concatenate((first, rest))) for rest in rows],
            batch_first=True,
            padding_value=filler,
        )
        for first, rows, filler in (
            (prompt, [d.ids for d in dialogues], 0),
            (nowhere, [d.places.astype(np.int64) for d in dialogues], NO_PLACE),
        )
    )
    per_chunk = grammar.profile.features_per_chunk
    return Batch(
        audio=pad_sequence(
            [torch.from_numpy(d.audio.reshape(-1)) for d in dialogues], batch_first=True
        ),
        features=torch.tensor([per_chunk * len(d.audio) for d in dialogues]),
        ids=ids,
        places=places,
    )


def hidden_states(network: DuplexNetwork, batch: Batch, origin: int = 0) -> Tensor:
    """Return the language model's hidden states (batch, n, width), after the final norm.

    ``origin``: see :meth:`~model.duplex.network.encoder.StreamingEncoder.start`.
    """
    device = network.device
    state = network.encoder.start(len(batch.audio), origin)
    features, _ = network.encoder(state, batch.audio.to(device))
    counted = torch.arange(features.shape[1], device=device) < batch.features.to(device)[:, None]
    places = batch.places.to(device)
    rows = network.embed(batch.ids.to(device).clamp(min=0))
    user = (places == Place.USER)[..., None].expand_as(rows)
    rows = rows.masked_scatter(user, features[counted].to(rows))
    hidden: Tensor = network.covo.llm.model(inputs_embeds=rows, use_cache=False).last_hidden_state
    return hidden


@dataclass(frozen=True, slots=True)
class Loss:
    """``total``: the weighted mean. ``parts``: unweighted means by the names of
    :class:`LossWeights`, for the kinds in the batch."""

    total: Tensor
    parts: dict[str, float]


def loss(network: DuplexNetwork, batch: Batch, weights: LossWeights, origin: int = 0) -> Loss:
    """Return the loss of ``network`` on ``batch``, over the places where it has a choice."""
    hidden = hidden_states(network, batch, origin)[:, :-1]
    places, ids = (x.to(network.device)[:, 1:] for x in (batch.places, batch.ids))
    total, weight = hidden.new_zeros((), dtype=torch.float32), 0.0
    parts: dict[str, list[Tensor]] = {}
    for place in CHOSEN:
        here = places == place
        wanted = ids[here]
        if not len(wanted):
            continue
        logits = network.logits(hidden[here], place)
        index = (wanted[:, None] == network.ids(place)).nonzero()[:, 1]
        each = functional.cross_entropy(logits, index, reduction="none")
        for name, mine in _named(network.grammar, place, wanted).items():
            if bool(mine.any()):
                chosen, counts = each[mine], getattr(weights, name)
                total = total + counts * chosen.sum()
                weight += counts * len(chosen)
                parts.setdefault(name, []).append(chosen.detach())
    means = {
        f.name: float(torch.cat(parts[f.name]).mean()) for f in fields(weights) if f.name in parts
    }
    return Loss(total / max(weight, 1e-9), means)


def _named(grammar: Grammar, place: Place, wanted: Tensor) -> dict[str, Tensor]:
    """Return a mask of ids (n,) for each name of :class:`LossWeights` that ``place`` has."""
    tokens = grammar.profile.tokens
    if place is Place.LISTEN:
        shift = wanted == tokens.shift.id
        return {"think": ~shift, "shift": shift}
    if place is Place.CODE:
        silence = wanted == tokens.speech_filler.id
        return {"speech": ~silence, "speech_filler": silence}
    stop, filler = wanted == tokens.stop.id, wanted == tokens.text_filler.id
    return {"stop": stop, "text": ~stop & ~filler, "text_filler": filler}
