"""The biases of SHIFT and BREAK: chosen from margins, and margins found in dialogues."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from model.duplex.network.network import load_duplex
from model.duplex.quiz.dialogues import quiz_dialogue
from model.duplex.quiz.world import write_blank
from model.duplex.training.hard_places import EventKind
from model.duplex.training.judging.calibration import (
    DecisionMargins,
    calibrate,
    decision_margins,
    smallest_bias,
)
from tests.model.duplex.quiz.small_quiz import rightly_answered


def test_the_smallest_bias_leaves_what_is_allowed():
    margins = [float(n) for n in range(-50, 50)]  # half of them go wrong
    assert smallest_bias(margins, 0.5) == 0.0
    bias = smallest_bias(margins, 0.02)
    assert sum(margin + bias > 0 for margin in margins) == 2
    assert sum(margin + bias + 0.01 > 0 for margin in margins) == 3
    assert smallest_bias([-3.0, -2.0], 0.0) == 0.0  # never a push
    assert smallest_bias([], 0.02) == 0.0


def test_what_the_biases_cost_is_told():
    margins = DecisionMargins((2.0, -1.0), (5.0, 1.0), (0.5,), (0.2, 0.7))
    found = calibrate(margins, takeovers=0.0, stops=0.0)
    assert found.shift_bias == pytest.approx(-2.0, abs=0.01)
    assert found.stop_bias == pytest.approx(-0.5, abs=0.01)
    assert (found.takeovers, found.stops, found.taken, found.stopped) == (0.0, 0.0, 0.5, 0.5)
    free = calibrate(margins, takeovers=0.5, stops=1.0)
    assert (free.shift_bias, free.stop_bias) == (0.0, 0.0)
    assert (free.takeovers, free.stops, free.taken, free.stopped) == (0.5, 1.0, 1.0, 1.0)


def test_each_event_of_a_dialogue_has_its_margin(tmp_path):
    write_blank(tmp_path)
    network = load_duplex(tmp_path, merge=False)
    happened = Counter()
    margins = DecisionMargins()
    for seed in range(12):
        asked = rightly_answered(8, seed)
        random = np.random.default_rng((9, seed))
        made, events = quiz_dialogue(network.grammar, asked, random)
        happened.update(event.kind for event in events)
        margins += decision_margins(network, made, events)
    # In one pause, after an interruption, the assistant was still speaking.
    assert len(margins.pauses) == happened[EventKind.PAUSE] - 1 > 6
    assert len(margins.ends) == happened[EventKind.TURN] == 36
    assert len(margins.backchannels) == happened[EventKind.BACKCHANNEL] > 6
    assert len(margins.interruptions) == happened[EventKind.INTERRUPTION] > 6
    # Where it always began, it never does once it is calibrated.
    with torch.no_grad():
        row = network.covo.llm.lm_head.weight[network.profile.tokens.shift.id]
        row.copy_(network.covo.llm.lm_head.weight[network.profile.tokens.think.id])
    made, events = quiz_dialogue(network.grammar, asked, np.random.default_rng((9, 11)))
    assert decision_margins(network, made, events).ends == (0.0, 0.0, 0.0)
