"""Launches at the published size: beside reading the weights, they are what a decode step costs."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from model.covo.config.sizes import FULL
from model.covo.language import decoder
from model.covo.language.decoder import WARM_UP_ROWS, Decoder
from model.covo.language.merging import merge_projections
from model.covo.language.network import CovoNetwork
from model.covo.language.sampling import GREEDY, PenaltySettings, TokenChooser
from model.covo.memory.workspace import PREFILL_ROWS
from model.covo.products.linear import FEW_ROWS
from tests.model.launches import compiled_kernels, counted_launches, launches

VOCABULARY = FULL.covo.backbone.vocabulary


def test_launches_are_operations_that_compute():
    def work() -> None:
        with torch.device("meta"):
            x = torch.empty(4, 6)  # an allocation
        x = x.view(2, 12).t()[1:].unsqueeze(0).to(x.dtype).reshape(11, 2)  # views
        torch.relu(x.reshape(22) + 1).mul_(2)  # a transposed one is copied

    with torch.inference_mode(), counted_launches() as counts:
        work()
    expected = {"aten.reshape.default": 1, "aten.add.Tensor": 1, "aten.relu.default": 1}
    assert counts == expected | {"aten.mul_.Tensor": 1}
    assert launches(work) == 4


def test_a_triton_kernel_is_one_launch():
    triton = pytest.importorskip("triton", reason="needs triton (the dev extra)")

    @triton.jit
    def nothing(x):
        return

    x = torch.empty(4, device="meta")
    with counted_launches() as counts:
        nothing[(3,)](x)
        nothing[(3,)](x)
    assert counts == {"triton.nothing": 2}


@pytest.fixture
def history(monkeypatch) -> Decoder:
    """40 tokens on the meta device, with FlashAttention as on a GPU."""
    monkeypatch.setattr(decoder, "flash_available", lambda *_: True)
    with torch.device("meta"):
        network = CovoNetwork(FULL.covo).bfloat16().eval()
        merge_projections(network.llm.model)
        network.build_constants()
        made = Decoder(network, 4096, step_rows=2)
        made.append(torch.zeros(40, FULL.covo.backbone.hidden))
    return made


def test_a_decode_step(history, monkeypatch):
    """In a graph, and what chooses its token, which is not."""
    pytest.importorskip("triton", reason="needs triton (the dev extra)")
    monkeypatch.setattr(torch, "Generator", lambda _: None)  # the meta device has none
    with torch.device("meta"):
        prompt, allowed = torch.zeros(5, dtype=torch.long), torch.ones(VOCABULARY).bool()
    chooser = TokenChooser(prompt, VOCABULARY, penalties=PenaltySettings(), sampling=GREEDY)
    assert launches(lambda: chooser.choose(history.logits, allowed)) <= 20
    assert 260 < launches(lambda: history.append(history.network.embed_token(prompt[:1]))) <= 272


def test_a_step_of_two_rows_and_a_prefill(history):
    pytest.importorskip("triton", reason="needs triton (the dev extra)")
    rows = torch.zeros(300, FULL.covo.backbone.hidden, device="meta")
    assert launches(lambda: history.append(rows[:2])) <= 272
    assert launches(lambda: history.append(rows)) <= 275


def test_the_kernels_compile_for_a_gpu(history, tmp_path):
    pytest.importorskip("triton", reason="needs triton (the dev extra)")
    rows = torch.zeros(300, FULL.covo.backbone.hidden, device="meta")
    with compiled_kernels(tmp_path) as names:
        history.append(rows[:1])
        history.append(rows)
    between = {"_add_norm_kernel", "_rotate_and_store_kernel", "_gate_kernel"}
    assert names == between | {"_attend_kernel", "_join_kernel", "_product_kernel"}


def test_every_kernel_for_integers_is_warmed_up():
    pytest.importorskip("triton", reason="needs triton (the dev extra)")
    from model.covo.products.tensor_cores import rows_per_program

    warmed = {rows_per_program(n) for n in WARM_UP_ROWS if n > FEW_ROWS}
    needed = {rows_per_program(n) for n in range(FEW_ROWS + 1, PREFILL_ROWS + 1)}
    assert warmed == needed == {16, 32, 64}
