"""Products of few rows, and of integers, against torch's with the weights that they stand for."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("triton", reason="needs triton (the dev extra)")

from torch import Tensor, nn
from torch.nn.functional import linear, silu

from model.covo.config import device as devices_module
from model.covo.config.precision import Precision
from model.covo.products import linear as products
from model.covo.products.integers import IntegerLinear, quantised
from model.covo.products.linear import FEW_ROWS, multiply, multiply_gated
from tests.model.interpreted import DEVICES, INTERPRETED
from tests.model.launches import compiled_kernels

TOLERANCE = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 2e-2}
"""Relative to the largest output; the interpreter cuts bfloat16 off instead of rounding it."""
KINDS = ("plain", Precision.INT8, Precision.INT4)

devices = pytest.mark.parametrize("device", DEVICES)
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
kinds = pytest.mark.parametrize("kind", KINDS)
counts = pytest.mark.parametrize("count", [1, 2, 8, 44])


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch):
    if INTERPRETED:
        monkeypatch.setattr(devices_module, "TRITON_DEVICES", ("cpu",))
        monkeypatch.setattr(devices_module, "_triton_builds", lambda: True)
        # Its matrix product knows no bfloat16, and is exact in float32.
        monkeypatch.setattr(products, "TENSOR_CORE_DTYPES", (torch.float16, torch.float32))


def noise(*shape: int, seed: int, device: str = "cpu") -> Tensor:
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=device)


def layer_of(kind, inputs, outputs, dtype, device, *, bias) -> tuple[nn.Module, Tensor]:
    """A layer, and the weights in float32 that it stands for."""
    layer = nn.Linear(inputs, outputs, bias=bias, dtype=dtype, device=device)
    with torch.no_grad():
        layer.weight.copy_(noise(outputs, inputs, seed=0, device=device) / inputs**0.5)
        if bias:
            layer.bias.copy_(noise(outputs, seed=1))
    if kind == "plain":
        return layer, layer.weight.detach().float()
    layer = quantised(layer, kind)
    return layer, meant(layer)


def meant(layer: IntegerLinear) -> Tensor:
    """The weights that integers and scales stand for, by the format's definition."""
    scales = layer.scales.float()
    if not layer.group:
        return layer.weight.float() * scales[:, None]
    weights = torch.empty(layer.out_features, layer.in_features, device=scales.device)
    for column in range(layer.in_features):
        group, place = divmod(column, layer.group)
        high, byte = divmod(place, layer.group // 2)
        held = layer.weight[:, group * layer.group // 2 + byte].int()
        integers = (held >> 4 if high else held & 15) - 8
        weights[:, column] = integers * scales[:, group, 0] + scales[:, group, 1]
    return weights


def near(ours: Tensor, theirs: Tensor, dtype: torch.dtype) -> bool:
    assert (ours.shape, ours.dtype) == (theirs.shape, dtype)
    return bool((ours.float() - theirs).abs().max() < TOLERANCE[dtype] * theirs.abs().max())


def gate(both: Tensor) -> Tensor:
    first, second = both.chunk(2, dim=-1)
    return silu(first) * second


@devices
@dtypes
@kinds
@counts
@pytest.mark.parametrize(("inputs", "outputs", "bias"), [(96, 37, True), (2208, 5, False)])
@torch.inference_mode()
def test_a_product(device, dtype, kind, count, inputs, outputs, bias):
    layer, weights = layer_of(kind, inputs, outputs, dtype, device, bias=bias)
    rows = noise(count, inputs, seed=2).to(device, dtype)
    wide = torch.cat((rows, rows), dim=1)[:, :inputs]  # not contiguous
    expected = linear(rows.float(), weights, layer.bias.float() if bias else None)
    assert near(multiply(layer, wide), expected, dtype)
    assert near(layer(wide), expected, dtype)


@devices
@dtypes
@kinds
@counts
@torch.inference_mode()
def test_a_gated_product(device, dtype, kind, count):
    layer, weights = layer_of(kind, 160, 2 * 9, dtype, device, bias=False)
    rows = noise(count, 160, seed=2).to(device, dtype)
    noted = Mock(side_effect=gate)
    ours = multiply_gated(layer, rows, noted)
    assert near(ours, gate(linear(rows.float(), weights)), dtype)
    on_tensor_cores = kind != "plain" and dtype in products.TENSOR_CORE_DTYPES
    assert noted.called == (count > FEW_ROWS and not on_tensor_cores)


@devices
@pytest.mark.parametrize("kind", [Precision.INT8, Precision.INT4])
@pytest.mark.parametrize("count", [3, 129])
@torch.inference_mode()
def test_integers_on_tensor_cores(device, kind, count):
    """Several tiles of rows, outputs and columns, and int4 groups of 128."""
    dtype = torch.float32 if INTERPRETED else torch.bfloat16
    layer, weights = layer_of(kind, 384, 75, dtype, device, bias=True)
    rows = noise(count, 384, seed=2).to(device, dtype)
    assert near(multiply(layer, rows), linear(rows.float(), weights, layer.bias.float()), dtype)
    layer, weights = layer_of(kind, 384, 2 * 69, dtype, device, bias=False)
    noted = Mock(side_effect=gate)
    ours = multiply_gated(layer, rows, noted)
    assert near(ours, gate(linear(rows.float(), weights)), dtype)
    assert not noted.called


@pytest.mark.parametrize("outputs", [32, 37])
@pytest.mark.parametrize("device", DEVICES if INTERPRETED else ["cpu", *DEVICES])
@torch.inference_mode()
def test_outputs_that_are_not_aligned_are_a_product_of_their_own(outputs, device, monkeypatch):
    monkeypatch.setattr(products, "ALIGNED_DEVICES", (device,))
    layer, weights = layer_of("plain", 48, outputs, torch.float16, device, bias=False)
    rows = noise(FEW_ROWS + 1, 48, seed=2).to(device, torch.float16)
    made = Mock(wraps=torch.mm)
    monkeypatch.setattr(torch, "mm", made)
    ours = multiply(layer, rows)
    assert near(ours, linear(rows.float(), weights), torch.float16)
    assert made.call_count == (2 if outputs % 16 else 0)


@devices
@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_inputs_that_are_no_multiple_of_16(device, kind):
    inputs = 32 if kind is Precision.INT4 else 37
    layer, weights = layer_of(kind, inputs, 3, torch.bfloat16, device, bias=True)
    rows = noise(1, inputs, seed=2).to(device, torch.bfloat16)
    expected = linear(rows.float(), weights, layer.bias.float())
    assert near(multiply(layer, rows), expected, torch.bfloat16)


@pytest.mark.skipif(INTERPRETED, reason="has no kernel")
@pytest.mark.parametrize(("kind", "most"), [(Precision.INT8, 0.008), (Precision.INT4, 0.1)])
def test_what_rounding_costs(kind, most):
    _, weights = layer_of(kind, 384, 50, torch.bfloat16, "cpu", bias=False)
    original = (noise(50, 384, seed=0) / 384**0.5).bfloat16().float()
    assert (weights - original).norm() < most * original.norm()


@pytest.mark.skipif(INTERPRETED, reason="has no kernel")
@pytest.mark.parametrize("kind", [Precision.INT8, Precision.INT4])
def test_rows_of_one_value_are_kept(kind):
    layer = nn.Linear(64, 2, bias=False, dtype=torch.bfloat16)
    with torch.no_grad():
        layer.weight[0], layer.weight[1] = 0.0, -0.75
    kept = meant(quantised(layer, kind))
    assert torch.equal(kept[0], torch.zeros(64))
    assert torch.allclose(kept[1], torch.full((64,), -0.75), rtol=4e-3)


@pytest.mark.skipif(INTERPRETED, reason="has no kernel")
@pytest.mark.parametrize("kind", [Precision.INT8, Precision.INT4])
@torch.inference_mode()
def test_parts_are_the_whole(kind, monkeypatch):
    whole, _ = layer_of(kind, 64, 50, torch.bfloat16, "cpu", bias=True)
    rows = noise(5, 64, seed=2).bfloat16()
    expected = whole(rows)
    monkeypatch.setattr("model.covo.products.integers.ROUNDED", 7 * 64)
    monkeypatch.setattr("model.covo.products.integers.WRITTEN_OUT", 9 * 64)
    parts, _ = layer_of(kind, 64, 50, torch.bfloat16, "cpu", bias=True)
    assert torch.equal(parts.weight, whole.weight)
    assert torch.equal(parts.scales, whole.scales)
    assert torch.allclose(parts(rows).float(), expected.float(), rtol=1e-2, atol=1e-2)


@pytest.mark.skipif(INTERPRETED, reason="is compiled")
def test_the_kernels_compile_for_a_gpu(tmp_path):
    rows = torch.zeros(44, 3584, dtype=torch.bfloat16, device="meta")
    with compiled_kernels(tmp_path) as names, torch.inference_mode():
        for kind in (Precision.INT8, Precision.INT4):
            plain = nn.Linear(3584, 4608, bias=False, dtype=torch.bfloat16, device="meta")
            layer = quantised(plain, kind)
            assert multiply(layer, rows[:1]).shape == (1, 4608)
            assert multiply_gated(layer, rows[:2], silu).shape == (2, 2304)
            assert multiply(layer, rows[:3]).shape == (3, 4608)
            assert multiply_gated(layer, rows, silu).shape == (44, 2304)
    assert names == {"_product_kernel", "_int4_kernel", "_int8_dot_kernel", "_int4_dot_kernel"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@kinds
@torch.inference_mode()
def test_large_products_in_a_graph(kind):
    """At the published sizes, the largest with more than 2**29 weights, replayed on new rows."""
    for inputs, outputs in ((3584, 4608), (18_944, 3584), (3584, 168_055)):
        layer, weights = layer_of(kind, inputs, outputs, torch.bfloat16, "cuda", bias=True)
        for count in (1, 44):
            rows = torch.zeros(count, inputs, dtype=torch.bfloat16, device="cuda")
            multiply(layer, rows)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                product = multiply(layer, rows)
            rows.copy_(noise(count, inputs, seed=2))
            graph.replay()
            expected = linear(rows.float(), weights, layer.bias.float())
            assert near(product, expected, torch.bfloat16)
