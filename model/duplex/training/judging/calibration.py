"""Find the biases of SHIFT and BREAK from how a network decides in a tuning set.

A loss that weighs SHIFT above THINK, and BREAK above going on, moves the decision to a lower
probability. That answers sooner and stops sooner, but also in pauses and under backchannels. A bias
on the logit of either moves it back. Each dialogue is run once, along its reference: in a pause the
network has kept still so far, and under a backchannel it has gone on. So one margin an event tells
for every bias whether the event would go wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, inf

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.duplex.network.network import DuplexNetwork
from model.duplex.protocol.grammar import Place
from model.duplex.protocol.sequence import TimedDialogue, encode
from model.duplex.training.batch import collate, hidden_states
from model.duplex.training.hard_places import REACTION_CHUNKS, EventKind, UserEvent
from model.duplex.training.sample import Sample, dialogue_sample

TAKEOVERS = 0.02
"""Most pauses in which the network may begin."""
STOPS = 0.03
"""Most backchannels for which it may stop."""

_EDGE = 1e-3
"""Logits below a margin at which its event certainly goes right."""
ROWS = 128
"""Rows of logits that are held at once."""


@dataclass(frozen=True, slots=True)
class DecisionMargins:
    """For each event, by how many logits its most likely chunk is for SHIFT (in ``pauses`` and at
    ``ends`` of turns) or BREAK (under ``backchannels`` and at ``interruptions``)."""

    pauses: tuple[float, ...] = ()
    ends: tuple[float, ...] = ()
    backchannels: tuple[float, ...] = ()
    interruptions: tuple[float, ...] = ()

    def __add__(self, other: DecisionMargins) -> DecisionMargins:
        return DecisionMargins(
            self.pauses + other.pauses,
            self.ends + other.ends,
            self.backchannels + other.backchannels,
            self.interruptions + other.interruptions,
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """The biases, and what they cost: the shares of pauses and backchannels in which the network
    still goes wrong, and of turns and interruptions for which it still begins and stops."""

    shift_bias: float
    stop_bias: float
    takeovers: float
    stops: float
    taken: float
    stopped: float


def calibrate(
    margins: DecisionMargins, *, takeovers: float = TAKEOVERS, stops: float = STOPS
) -> Calibration:
    """Return the smallest biases with at most ``takeovers`` in pauses and ``stops`` under
    backchannels; neither is above 0."""
    shift, stop = (
        smallest_bias(margins.pauses, takeovers),
        smallest_bias(margins.backchannels, stops),
    )
    return Calibration(
        shift,
        stop,
        share_above(margins.pauses, shift),
        share_above(margins.backchannels, stop),
        share_above(margins.ends, shift),
        share_above(margins.interruptions, stop),
    )


def smallest_bias(margins: Sequence[float], most: float) -> float:
    """Return the bias nearest to 0, and not above it, with which at most the share ``most`` of
    ``margins`` stays above 0."""
    allowed = floor(most * len(margins))
    if allowed >= len(margins):
        return 0.0
    worst = sorted(margins, reverse=True)[allowed]
    return min(0.0, -worst - _EDGE)


def share_above(margins: Sequence[float], bias: float) -> float:
    """Return the share of ``margins`` that stay above 0 with ``bias``; 0 if there are none."""
    return sum(margin + bias > 0 for margin in margins) / len(margins) if margins else 0.0


@torch.inference_mode()
def decision_margins(
    network: DuplexNetwork, dialogue: TimedDialogue, events: Iterable[UserEvent]
) -> DecisionMargins:
    """Return the margins of ``network`` at the ``events`` of ``dialogue``.

    Raises: DialogueError if the dialogue cannot be written in chunks.
    """
    return margins_at(network, *run_along(network, dialogue), events)


def run_along(network: DuplexNetwork, dialogue: TimedDialogue) -> tuple[Sample, Tensor]:
    """Return ``dialogue`` in tokens, and the hidden states (n, width) of ``network`` along them.

    Raises: DialogueError if the dialogue cannot be written in chunks.
    """
    sample = dialogue_sample(encode(dialogue, network.grammar), network.grammar)
    return sample, hidden_states(network, collate([sample]))


def margins_at(
    network: DuplexNetwork, sample: Sample, hidden: Tensor, events: Iterable[UserEvent]
) -> DecisionMargins:
    """Return the margins at the ``events`` of a dialogue, from what :func:`run_along` returned."""
    decisions = np.isin(sample.places, (Place.LISTEN, Place.SPEAK)).nonzero()[0]  # one a chunk
    listens = sample.places[decisions] == Place.LISTEN
    tokens = network.profile.tokens
    found = np.full(len(decisions), -inf)
    for place, token, here in (
        (Place.LISTEN, tokens.shift.id, listens),
        (Place.SPEAK, tokens.stop.id, ~listens),
    ):
        at = torch.from_numpy(decisions[here] - 1).to(hidden.device)
        chosen = network.ids(place) == token
        margins = []
        for rows in hidden[at].split(ROWS):
            logits = network.logits(rows, place)
            margins.append(logits[:, chosen][:, 0] - logits[:, ~chosen].amax(dim=1))
        if margins:
            found[here] = torch.cat(margins).cpu().numpy()
    return _at_events(found, listens, events, network.profile.chunk_ms)


def _at_events(
    found: NDArray[np.float64],
    listens: NDArray[np.bool_],
    events: Iterable[UserEvent],
    chunk_ms: int,
) -> DecisionMargins:
    """Return the largest of the margins ``found`` (chunks,) in each event."""
    margins: dict[EventKind, list[float]] = {kind: [] for kind in EventKind}
    for event in events:
        first, last = (int(time * 1000 // chunk_ms) for time in (event.start, event.end))
        here = listens
        match event.kind:
            case EventKind.PAUSE:
                chunks = range(first, last)
            case EventKind.TURN:
                chunks = range(last, last + REACTION_CHUNKS + 1)
            case EventKind.BACKCHANNEL | EventKind.INTERRUPTION:
                here = ~listens
                chunks = range(first, last + REACTION_CHUNKS + 1)
            case _:
                continue
        counted = [found[chunk] for chunk in chunks if chunk < len(found) and here[chunk]]
        if counted:
            margins[event.kind].append(float(max(counted)))
    return DecisionMargins(
        pauses=tuple(margins[EventKind.PAUSE]),
        ends=tuple(margins[EventKind.TURN]),
        backchannels=tuple(margins[EventKind.BACKCHANNEL]),
        interruptions=tuple(margins[EventKind.INTERRUPTION]),
    )
