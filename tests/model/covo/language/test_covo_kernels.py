"""The language model's Triton kernels against torch's operations."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("triton", reason="needs triton (the dev extra)")

from torch import Tensor

from model.covo.language.kernels import FUSED, attend_step
from model.covo.language.layer_ops import EAGER
from model.covo.language.rotary import rotation
from tests.model.interpreted import DEVICES, INTERPRETED

TOLERANCE = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
"""Relative; the interpreter cuts bfloat16 off instead of rounding it."""

devices = pytest.mark.parametrize("device", DEVICES)
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
counts = pytest.mark.parametrize("rows", [1, 5] if INTERPRETED else [1, 2, 8, 300])


def noise(*shape: int, device: str, dtype: torch.dtype, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(device, dtype)


def near(ours: Tensor, theirs: Tensor) -> bool:
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    tolerance = TOLERANCE[theirs.dtype]
    return torch.allclose(ours.float(), theirs.float(), rtol=tolerance, atol=tolerance)


@devices
@dtypes
@counts
@pytest.mark.parametrize("width", [72] if INTERPRETED else [72, 3584])
def test_add_and_norm(device, dtype, rows, width):
    wide = noise(rows, width + 8, device=device, dtype=dtype)
    some, more = wide[:, :width], noise(rows, width, device=device, dtype=dtype, seed=1)
    weight = noise(width, device=device, dtype=dtype, seed=2)
    for added in (more, None):
        ours, theirs = (ops.add_norm(some, added, weight, 1e-6) for ops in (FUSED, EAGER))
        assert near(ours[0], theirs[0])
        assert near(ours[1], theirs[1])
    assert FUSED.add_norm(some, None, weight, 1e-6)[0] is some


@devices
@dtypes
@counts
@pytest.mark.parametrize(
    ("heads", "shared", "width"), [(3, 1, 24)] if INTERPRETED else [(3, 1, 24), (28, 4, 128)]
)
def test_rotate_and_store(device, dtype, rows, heads, shared, width):
    projected = noise(rows, (heads + 2 * shared) * width, device=device, dtype=dtype)
    positions = (torch.arange(rows) + 11).to(device)
    frequencies = torch.rand(width // 2, generator=torch.Generator().manual_seed(1)).to(device)
    turned = rotation(positions[:, None, None] * frequencies)
    turned = turned[0].to(dtype), turned[1].to(dtype)
    results = []
    for ops in (FUSED, EAGER):
        cache = noise(2, 400, shared, width, device=device, dtype=dtype, seed=3)
        query = ops.rotate_and_store(projected, turned, positions, cache[0], cache[1])
        results.append((query.contiguous(), cache))
    (query, cache), (expected_query, expected_cache) = results
    assert near(query, expected_query)
    assert near(cache, expected_cache)
    untouched = noise(2, 400, shared, width, device=device, dtype=dtype, seed=3)
    assert torch.equal(cache[:, :11], untouched[:, :11])
    assert torch.equal(cache[:, 11 + rows :], untouched[:, 11 + rows :])
    assert torch.equal(cache[1], expected_cache[1])  # values are only copied


@devices
@dtypes
@counts
@pytest.mark.parametrize("width", [96, 700] if INTERPRETED else [96, 18_944])
def test_gate(device, dtype, rows, width):
    gate_up = 4 * noise(rows, 2 * width, device=device, dtype=dtype)
    assert near(FUSED.gate(gate_up), EAGER.gate(gate_up))


@devices
@pytest.mark.parametrize(
    "dtype",
    # The interpreter multiplies matrices of bfloat16 as if they were integers.
    [torch.float16] if INTERPRETED else [torch.float16, torch.bfloat16],
    ids=str,
)
@pytest.mark.parametrize(
    ("rows", "capacity", "position"),
    [(1, 100, 0), (2, 100, 63), (2, 2100, 1500)]
    if INTERPRETED
    else [(1, 100, 0), (2, 600, 63), (8, 4096, 2500), (1, 12_000, 11_000), (2, 12_000, 100)],
)
def test_attention(device, dtype, rows, capacity, position):
    heads, shared, width = (6, 2, 24) if INTERPRETED else (28, 4, 128)
    every = noise(rows, (heads + 2) * width, device=device, dtype=dtype)
    query = every[:, : heads * width].view(rows, heads, width)
    keys, values = noise(2, capacity, shared, width, device=device, dtype=dtype, seed=1)
    keys[position + rows :] = torch.nan  # behind the history may be anything
    at = torch.arange(rows, device=device) + position
    ours = attend_step(query, keys, values, at, capacity)
    for row in range(rows):
        seen = slice(0, position + row + 1)
        key, value = (
            part[seen].float().repeat_interleave(heads // shared, 1) for part in (keys, values)
        )
        scores = torch.einsum("hd,khd->hk", query[row].float(), key) / width**0.5
        theirs = torch.einsum("hk,khd->hd", scores.softmax(-1), value)
        assert near(ours[row], theirs.to(dtype))
