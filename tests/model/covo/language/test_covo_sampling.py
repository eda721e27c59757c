"""Sampling against transformers' own processors, and against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from torch import Tensor
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from model.covo.language.sampling import (
    GREEDY,
    PenaltySettings,
    SamplingSettings,
    TokenChooser,
    candidates,
    draw,
)
from model.errors import NetworkInputError

NO_PENALTY = PenaltySettings(1.0, 1.0)
SETTINGS = [
    SamplingSettings(temperature=1.0),
    SamplingSettings(temperature=0.5),
    SamplingSettings(temperature=0.8, top_k=5),
    SamplingSettings(temperature=1.5, top_p=0.7),
    SamplingSettings(temperature=0.5, top_p=0.9, top_k=50),
    SamplingSettings(temperature=1.0, top_p=1e-6),
    SamplingSettings(temperature=1.0, top_k=10_000),
]


def some_logits(size: int = 300, seed: int = 0) -> Tensor:
    return 3 * torch.randn(size, generator=torch.Generator().manual_seed(seed))


def probabilities(logits: Tensor, settings: SamplingSettings) -> Tensor:
    kept, ids = candidates(logits, settings)
    if ids is None:
        return kept
    return torch.zeros_like(logits).index_put((ids,), kept)


@pytest.mark.parametrize("settings", SETTINGS)
def test_probabilities_are_transformers_own(settings):
    logits = some_logits()
    scores = TemperatureLogitsWarper(settings.temperature)(None, logits[None])
    if settings.top_k:
        scores = TopKLogitsWarper(settings.top_k)(None, scores)
    if settings.top_p < 1:
        scores = TopPLogitsWarper(settings.top_p)(None, scores)
    theirs = scores.softmax(dim=-1)[0]
    ours = probabilities(logits, settings)
    assert torch.equal(ours > 0, theirs > 0)
    assert float((ours - theirs).abs().max()) < 1e-6


@pytest.mark.parametrize("settings", SETTINGS[:5])
def test_draws_have_the_distribution_that_numpy_computes(settings):
    logits = some_logits(12)
    expected = np.exp(logits.numpy().astype(np.float64) / settings.temperature)
    order = np.argsort(-expected)
    if settings.top_k:
        expected[order[settings.top_k :]] = 0
    expected /= expected.sum()
    kept = 1 + int((np.cumsum(expected[order]) < settings.top_p).sum())
    expected[order[kept:]] = 0
    expected /= expected.sum()

    generator = torch.Generator().manual_seed(5)
    draws = 4000
    drawn = [int(draw(logits, settings, generator)) for _ in range(draws)]
    counted = np.bincount(drawn, minlength=12) / draws
    assert not counted[expected == 0].any()
    assert np.abs(counted - expected).max() < 4 * np.sqrt(0.25 / draws)


def test_greedy_takes_the_best_after_penalties_and_mask():
    logits = torch.tensor([4.0, 3.9, 3.0, 2.0])
    chooser = TokenChooser(
        torch.tensor([0]), 4, penalties=PenaltySettings(1.1, 1.0), sampling=GREEDY
    )
    chosen = [int(chooser.choose(logits)) for _ in range(2)]
    assert chosen == [1, 0]  # 3.9 > 4 / 1.1, then 4 / 1.1 > 3.9 / 1.1
    assert int(chooser.choose(logits, torch.tensor([False, False, True, True]))) == 2


def test_the_penalties_come_before_the_draw():
    sampling = SamplingSettings(temperature=1.0, top_k=1)
    chooser = TokenChooser(
        torch.tensor([0]), 3, penalties=PenaltySettings(2.0, 1.0), sampling=sampling
    )
    assert int(chooser.choose(torch.tensor([3.0, 2.0, 1.0]))) == 1


def test_the_mask_comes_before_top_k():
    sampling = SamplingSettings(temperature=1.0, top_k=2, top_p=0.999)
    chooser = TokenChooser(torch.tensor([0]), 4, penalties=NO_PENALTY, sampling=sampling)
    allowed = torch.tensor([False, False, True, True])
    chosen = {int(chooser.choose(torch.tensor([9.0, 8.0, 1.0, 1.0]), allowed)) for _ in range(50)}
    assert chosen == {2, 3}


def test_one_seed_gives_one_sequence():
    def sequence(seed: int) -> list[int]:
        sampling = SamplingSettings(temperature=1.0, seed=seed)
        chooser = TokenChooser(torch.tensor([0]), 300, penalties=NO_PENALTY, sampling=sampling)
        return [int(chooser.choose(some_logits())) for _ in range(20)]

    assert sequence(7) == sequence(7)
    assert sequence(7) != sequence(8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, "temperature -0.1"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"top_p": 0.0}, "top_p 0.0"),
        ({"top_p": 1.1}, "top_p 1.1"),
        ({"top_k": -1}, "top_k -1"),
    ],
)
def test_settings_out_of_range(options, message):
    with pytest.raises(NetworkInputError, match=message):
        SamplingSettings(**options)


def test_penalties_out_of_range():
    with pytest.raises(NetworkInputError, match="must be above 0"):
        PenaltySettings(repetition=0.0)
    with pytest.raises(NetworkInputError, match="at least 1"):
        PenaltySettings(window=0)
