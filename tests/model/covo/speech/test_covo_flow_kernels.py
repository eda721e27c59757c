"""Flow matching's operations as Triton kernels against torch's own."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")
pytest.importorskip("triton", reason="needs triton (the dev extra)")

from torch import Tensor

from model.covo.language.rotary import rotation
from model.covo.speech import flow
from model.covo.speech.flow import VectorField
from model.covo.speech.flow_kernels import FUSED
from model.covo.speech.flow_ops import EAGER
from tests.model.interpreted import DEVICES, INTERPRETED

EPS = 1e-6
devices = pytest.mark.parametrize("device", DEVICES)
dtypes = pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 2e-6), (torch.bfloat16, 1e-2)], ids=["fp32", "bf16"]
)


def random(*shape: int, like: tuple[str, torch.dtype], seed: int = 0) -> Tensor:
    device, dtype = like
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values.to(device, dtype)


def distance(ours: Tensor, theirs: Tensor) -> float:
    """The relative difference; ``theirs`` is computed in float32."""
    assert ours.shape == theirs.shape
    return float((ours.float() - theirs).norm() / theirs.norm())


@devices
@dtypes
@pytest.mark.parametrize("width", [72] if INTERPRETED else [72, 1024])
def test_norms(device, dtype, bound, width):
    like = (device, dtype)
    x, change = (random(2, 5, width, like=like, seed=seed) for seed in (1, 2))
    gate, scale, shift = random(3, width, like=like, seed=3)
    exact = [t.float() for t in (x, gate, change, scale, shift)]
    total, normed = FUSED.add_and_norm(x, gate, change, scale, shift, EPS)
    for ours, theirs in zip((total, normed), EAGER.add_and_norm(*exact, EPS), strict=True):
        assert (ours.dtype, ours.device) == (dtype, x.device)
        assert distance(ours, theirs) < bound
    ours = FUSED.norm(x, scale, shift, EPS)
    assert distance(ours, EAGER.norm(exact[0], exact[3], exact[4], EPS)) < bound


@devices
@dtypes
@pytest.mark.parametrize(("heads", "width"), [(3, 12)] if INTERPRETED else [(3, 12), (16, 64)])
def test_rotation(device, dtype, bound, heads, width):
    like = (device, dtype)
    projected = random(2, 7, 3 * heads * width, like=like)
    angles = torch.arange(7.0)[:, None, None, None] * random(width // 2, like=("cpu", torch.float))
    positions = tuple(part.to(*like) for part in rotation(angles))
    exact = tuple(part.float() for part in positions)
    expected = EAGER.rotate(projected.float(), exact, heads)
    for ours, theirs in zip(FUSED.rotate(projected, positions, heads), expected, strict=True):
        assert (ours.shape, ours.dtype) == ((2, heads, 7, width), dtype)
        assert distance(ours, theirs) < bound


@devices
@pytest.mark.skipif(INTERPRETED, reason="needs cuBLAS")
@dtypes
def test_gelu_with_its_product(device, dtype, bound):
    like = (device, dtype)
    x, weight = random(2, 75, 64, like=like), random(256, 64, like=like, seed=1)
    bias = random(256, like=like, seed=2)
    ours = FUSED.widen(x, weight / 8, bias)
    assert (ours.shape, ours.dtype) == ((2, 75, 256), dtype)
    assert distance(ours, EAGER.widen(x.float(), (weight / 8).float(), bias.float())) < bound


@devices
@pytest.mark.parametrize(
    ("dtype", "bound"),
    [
        (torch.float32, 2e-6),
        # The interpreter multiplies no matrices in bfloat16.
        (torch.float16, 2e-3) if INTERPRETED else (torch.bfloat16, 1e-2),
    ],
    ids=["fp32", "16 bit"],
)
@pytest.mark.parametrize(
    ("groups", "width", "time"),
    [(2, 5, 9)] if INTERPRETED else [(2, 5, 9), (16, 64, 300), (16, 64, 256)],
)
def test_the_convolution_over_neighbours(device, dtype, bound, groups, width, time):
    like, hidden, kernel = (device, dtype), groups * width, 7 if INTERPRETED else 31
    x, bias = random(2, time, hidden, like=like), random(hidden, like=like, seed=1)
    weight = random(hidden, width, kernel, like=like, seed=2) / (width * kernel) ** 0.5
    ours = FUSED.embed(x, FUSED.lay_out(weight), bias)
    # On the CPU, because cuDNN would round float32 to TF32.
    expected = EAGER.embed(x.float().cpu(), weight.float().cpu(), bias.float().cpu())
    assert ours.dtype is dtype
    assert distance(ours.cpu(), expected) < bound


@devices
def test_an_evaluation(device, token2wav, voice, monkeypatch):
    """All kernels in their places, on the golden network."""
    field = token2wav.token2latent
    given = token2wav.condition(torch.arange(8), voice)
    noise = random(*given.latents.shape, like=("cpu", torch.float))
    with torch.inference_mode():
        (modulation,) = field.modulation(torch.full((1,), 0.3), voice.speaker)
        expected = field(modulation, noise, given, given.tokens)
        there = VectorField(field.config).to(device)
        there.load_state_dict(field.state_dict())
        weight = FUSED.lay_out(there.conv_embed.conv.weight)
        cosine, sine = given.positions
        moved = replace(
            given,
            latents=given.latents.to(device),
            positions=(cosine.to(device), sine.to(device)),
            neighbours=weight,
        )
        monkeypatch.setattr(flow, "_ops", lambda _: FUSED)
        ours = there(modulation.to(device), noise.to(device), moved, given.tokens.to(device))
    assert distance(ours.cpu(), expected) < 1e-4


@devices
@pytest.mark.skipif(INTERPRETED, reason="needs cuDNN")
def test_cudnn_s_attention(device):
    """For queries, keys and values as they are cut out of one product."""
    each = random(2, 300, 3, 16, 64, like=(device, torch.bfloat16))
    query, key, value = each.transpose(1, 3).unbind(2)
    expected, ours = (flow._attend(query, key, value, recurs=recurs) for recurs in (False, True))
    assert ours.shape == (2, 16, 300, 64)
    assert distance(ours, expected.float()) < 1e-2
