"""Compute the loss of a batch, over the choice that the network has at each place."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from model.duplex.network.network import DuplexNetwork, head_logits
from model.duplex.protocol.grammar import CHOSEN, Place
from model.duplex.training.batch import Batch, hidden_states
from model.duplex.training.sample import ANY_TOKEN, TokenKind

Weight = Annotated[float, Meta(ge=0)]
ROWS = 1024
"""Rows whose logits are held at once: 0.6 GB of them at full size."""


@dataclass(frozen=True, slots=True)
class LossWeights:
    """The weight of a token's loss, by its :class:`~model.duplex.training.sample.TokenKind`.

    Fillers and silence are most of a dialogue and easy to get right; unweighted they would drown
    the rest. ``shift`` above ``think`` makes the network answer at less certainty, so earlier: at
    a ratio of r once SHIFT's probability is above 1 / (1 + r).
    """

    think: Weight = 0.1
    hard_think: Weight = 1.0
    shift: Weight = 3.0
    stop: Weight = 3.0
    text: Weight = 1.0
    text_end: Weight = 1.0
    text_filler: Weight = 0.05
    speech: Weight = 0.25
    speech_filler: Weight = 0.3


@dataclass(frozen=True, slots=True)
class Loss:
    """``total``: the weighted mean. ``sums``: the cross-entropy by kind, unweighted, and last the
    divergence from the teacher, with the ``counts`` of tokens in each."""

    total: Tensor
    sums: Tensor
    counts: NDArray[np.int64]

    @property
    def parts(self) -> dict[str, float]:
        """Return the means by the kinds' names, and as "teacher" that of the divergence, for those
        that the batch has. Waits for the device."""
        names = [*(kind.name.lower() for kind in TokenKind if kind >= 0), "teacher"]
        totals = zip(names, self.sums.tolist(), self.counts.tolist(), strict=True)
        return {name: total / count for name, total, count in totals if count}


def loss(
    network: DuplexNetwork,
    batch: Batch,
    weights: LossWeights,
    origin: int = 0,
    *,
    teacher: float = 0.0,
    recompute: bool = False,
    rows: int = ROWS,
) -> Loss:
    """Return the loss of ``network`` on ``batch``.

    ``teacher``: where a teacher's opinion is known, the share that the divergence from it has of
    the token's loss. ``recompute``: as in :func:`~model.duplex.training.batch.hidden_states`.
    ``rows``: whose logits are held at once.
    """
    hidden = hidden_states(network, batch, origin, recompute=recompute)
    device = hidden.device
    by_kind = np.array([getattr(weights, field.name) for field in fields(weights)], np.float32)
    total, weight = hidden.new_zeros((), dtype=torch.float32), 0.0
    sums = torch.zeros(len(by_kind) + 1, device=device)
    counts = np.zeros(len(by_kind) + 1, np.int64)
    opinions = _Opinions(batch)
    for place in (*CHOSEN, ANY_TOKEN):
        where = (batch.places == place).nonzero()[0]
        if not len(where):
            continue
        at = torch.from_numpy(where)
        kinds = batch.kinds[where].astype(np.int64)
        factors = by_kind[kinds] * batch.weights[where]
        head, entries = _choice(network, place, batch.ids[where])
        chosen = torch.from_numpy(entries)
        told, likely, shares = opinions.at(where)
        cross, apart = _in_parts(
            hidden[(at - 1).to(device)],
            *head,
            *(each.to(device) for each in (chosen, likely, shares)),
            rows=rows,
        )
        told_here = torch.from_numpy(told).to(device)
        each = torch.where(told_here, (1 - teacher) * cross + teacher * apart, cross)
        total = total + torch.from_numpy(factors).to(device) @ each
        weight += float(factors.sum())
        sums.index_add_(0, torch.from_numpy(kinds).to(device), cross.detach())
        sums[-1] += torch.where(told_here, apart.detach(), 0).sum()
        counts += np.bincount(kinds, minlength=len(counts))
        counts[-1] += told.sum()
    return Loss(total / max(weight, 1e-9), sums, counts)


class _Opinions:
    """What teachers find likely at the places of a batch; no token where nothing is known."""

    def __init__(self, batch: Batch) -> None:
        width = max((one.ids.shape[1] for one in batch.teaching), default=1)
        self._rows = np.full(len(batch.ids), -1)
        self._ids = np.zeros((sum(len(one.at) for one in batch.teaching), width), np.int64)
        self._shares = np.zeros(self._ids.shape, np.float32)
        end = 0
        for one in batch.teaching:
            rows = slice(end, end + len(one.at))
            self._rows[one.at] = np.arange(rows.start, rows.stop)
            self._ids[rows, : one.ids.shape[1]] = one.ids
            self._shares[rows, : one.ids.shape[1]] = one.probabilities
            end = rows.stop

    def at(self, places: NDArray[np.intp]) -> tuple[NDArray[np.bool_], Tensor, Tensor]:
        """Return for ``places`` (n,) whether a teacher's opinion is known, and its ids and
        probabilities (n, m), all 0 where it is not."""
        row = self._rows[places]
        told = row >= 0
        ids = np.zeros((len(places), self._ids.shape[1]), np.int64)
        shares = np.zeros(ids.shape, np.float32)
        ids[told], shares[told] = self._ids[row[told]], self._shares[row[told]]
        return told, torch.from_numpy(ids), torch.from_numpy(shares)


def _in_parts(
    hidden: Tensor,
    span: Tensor,
    marks: Tensor,
    chosen: Tensor,
    likely: Tensor,
    shares: Tensor,
    *,
    rows: int,
) -> tuple[Tensor, Tensor]:
    """Compute :func:`_costs` for ``rows`` rows at a time; the backward pass computes their logits
    again instead of keeping all of them."""
    done = [
        checkpoint(
            _costs, part, span, marks, *wanted, use_reentrant=False, preserve_rng_state=False
        )
        for part, *wanted in zip(
            *(each.split(rows) for each in (hidden, chosen, likely, shares)), strict=True
        )
    ]
    crosses, aparts = zip(*done, strict=True)
    return torch.cat(crosses), torch.cat(aparts)


def _costs(
    hidden: Tensor, span: Tensor, marks: Tensor, chosen: Tensor, likely: Tensor, shares: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy (n,) of the entries ``chosen`` (n,), and the divergence (n,) of the
    network's choice from ``shares`` (n, m) of the entries ``likely``."""
    logits = head_logits(hidden, span, marks)
    whole = logits.logsumexp(dim=-1)
    cross = whole - logits.gather(1, chosen[:, None])[:, 0]
    logs = logits.gather(1, likely) - whole[:, None]
    apart = (torch.xlogy(shares, shares) - shares * logs).sum(dim=-1)
    return cross, apart


def _choice(
    network: DuplexNetwork, place: int, ids: NDArray[np.int64]
) -> tuple[tuple[Tensor, Tensor], NDArray[np.int64]]:
    """Return the head's rows for ``place`` in two parts, and where ``ids`` (n,) stand in them."""
    if place == ANY_TOKEN:
        weight: Tensor = network.covo.llm.lm_head.weight
        return (weight, weight[:0]), ids
    kind = Place(place)
    span, marks = network.grammar.spans[kind], network.grammar.marks[kind]
    entries = ids - span.start
    for number, mark in enumerate(marks):
        entries[ids == mark] = len(span) + number
    return network.head(kind), entries
