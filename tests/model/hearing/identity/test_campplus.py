"""The speaker network and its features, against Kaldi, PyTorch and the published network.

The golden numbers of the features are those of kaldi-native-fbank 1.22, those of the embedding are
of 3D-Speaker's own network with the same weights, both for :func:`sweep`.
"""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import USER_RATE, samples
from audio_io.signal import Audio
from covo_cli.settings.settings import load_settings, models_dir
from model.errors import WeightsError
from model.hearing.identity.campplus import (
    DIMENSIONS,
    CamPlusPlus,
    _Convolution,
    _Convolution2d,
    _Scale,
)
from model.hearing.identity.fbank import BANDS, features
from model.hearing.identity.profile import CamPlusPlusEmbedder
from model.weights.packages import WeightStore

GOLDEN_FEATURES = {
    0.4: (38, [-0.12453, -1.59719, 3.92277, 0, 0], [0.04097, 3.22367, -2.69684, 0, 0]),
    3.1: (
        308,
        [2.00411, -2.73555, 3.67858, -3.17267, -2.34202],
        [-2.31523, 2.96169, -2.94103, -3.17267, -2.07455],
    ),
}
"""Number of frames, and bands 0, 16, 32 ... of frame 7 and of the last, by seconds."""

GOLDEN_EMBEDDINGS = {
    0.4: [-0.119603, -0.064229, -0.06889, 0.042069, 0.090316, -0.039741, -0.022349, -0.048796],
    3.1: [-0.042841, 0.071592, -0.029197, 0.031615, 0.076948, 0.049425, -0.076424, -0.066948],
}
"""Numbers 0, 24, 48 ... by seconds; the longer sound has two segments of context."""


def sweep(seconds: float) -> Audio:
    t = np.arange(samples(seconds)) / USER_RATE
    rising = 0.1 * np.sin(2 * np.pi * (120 * t + 40 * t * t))
    wavering = 0.05 * np.sin(2 * np.pi * (700 + 300 * np.sin(9 * t)) * t)
    return (rising + wavering).astype(np.float32)


@pytest.mark.parametrize("seconds", GOLDEN_FEATURES)
def test_features_are_those_of_kaldi(seconds: float) -> None:
    frames, seventh, last = GOLDEN_FEATURES[seconds]
    made = features(sweep(seconds))
    assert made.shape == (BANDS, frames)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made[::16, 7], seventh, atol=2e-4)
    np.testing.assert_allclose(made[::16, -1], last, atol=2e-4)


def random_weights(out: int, *shape: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    weights = {
        "conv.weight": rng.standard_normal((out, *shape)),
        "conv.bias": rng.standard_normal(out),
        "norm.weight": rng.standard_normal(out),
        "norm.bias": rng.standard_normal(out),
        "norm.running_mean": rng.standard_normal(out),
        "norm.running_var": rng.uniform(0.1, 2.0, out),
    }
    return {name: weight.astype(np.float32) for name, weight in weights.items()}


@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (3, 1), (3, 2)])
def test_a_convolution_over_time_is_that_of_torch(taps: int, dilation: int) -> None:
    torch = pytest.importorskip("torch")
    weights = random_weights(5, 4, taps)
    x = np.random.default_rng(1).standard_normal((4, 23)).astype(np.float32)
    ours = _Convolution.read(weights, "conv", dilation)(x)
    named = {name: torch.from_numpy(weight) for name, weight in weights.items()}
    theirs = torch.nn.functional.conv1d(
        torch.from_numpy(x),
        named["conv.weight"],
        named["conv.bias"],
        padding=taps // 2 * dilation,
        dilation=dilation,
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(("shape", "stride"), [((4, 5), 2), ((4, 3, 3), 2), ((4, 3, 3), 1)])
def test_a_convolution_with_its_normalisation_is_that_of_torch(
    shape: tuple[int, ...], stride: int
) -> None:
    torch = pytest.importorskip("torch")
    weights = random_weights(5, *shape)
    named = {name: torch.from_numpy(weight) for name, weight in weights.items()}
    pad = shape[-1] // 2
    if len(shape) == 2:
        x = np.random.default_rng(1).standard_normal((4, 23)).astype(np.float32)
        ours = _Convolution.folded(weights, "conv", "norm", stride)(x)
        convolved = torch.nn.functional.conv1d(
            torch.from_numpy(x)[None], named["conv.weight"], stride=stride, padding=pad
        )
    else:
        x = np.random.default_rng(1).standard_normal((4, 10, 23)).astype(np.float32)
        by_band = _Convolution2d.folded(weights, "conv", "norm", stride)(x.swapaxes(0, 1))
        ours = by_band.swapaxes(0, 1)
        convolved = torch.nn.functional.conv2d(
            torch.from_numpy(x)[None], named["conv.weight"], stride=(stride, 1), padding=pad
        )
    theirs = torch.nn.functional.batch_norm(
        convolved,
        named["norm.running_mean"],
        named["norm.running_var"],
        named["norm.weight"],
        named["norm.bias"],
    )[0]
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_a_normalisation_without_gain_only_centres_and_scales() -> None:
    weights = random_weights(3, 1)
    del weights["norm.weight"], weights["norm.bias"]
    x = np.ones((3, 2), np.float32)
    wanted = (1 - weights["norm.running_mean"]) / np.sqrt(weights["norm.running_var"] + 1e-5)
    np.testing.assert_allclose(_Scale.read(weights, "norm")(x)[:, 0], wanted, rtol=1e-5)


def test_other_weights_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"not the weights of CAM\+\+.*head\.conv1\.weight"):
        CamPlusPlus({})


@pytest.mark.weights
@pytest.mark.parametrize("seconds", GOLDEN_EMBEDDINGS)
def test_embeddings_are_those_of_the_published_network(seconds: float) -> None:
    store = WeightStore(models_dir(load_settings()))
    try:
        path = store.path("campplus", "campplus_cn_en_common.pt")
    except WeightsError as error:
        pytest.skip(str(error))
    embedding = CamPlusPlusEmbedder(path).embed(sweep(seconds))
    assert embedding.shape == (DIMENSIONS,)
    assert np.linalg.norm(embedding) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(embedding[::24], GOLDEN_EMBEDDINGS[seconds], atol=1e-4)
