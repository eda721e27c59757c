"""Launches of a decode step of the published size: what is launched costs more than what is read,
once the weights are."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from model.covo.config.sizes import FULL
from model.covo.language import decoder
from model.covo.language.decoder import Decoder
from model.covo.language.network import CovoNetwork
from tests.model.launches import counted_launches, launches


def test_launches_are_operations_that_compute():
    def work() -> None:
        with torch.device("meta"):
            x = torch.empty(4, 6)  # an allocation
        x = x.view(2, 12).t()[1:].unsqueeze(0)  # views
        torch.relu(x + 1).mul_(2)

    with torch.inference_mode(), counted_launches() as counts:
        work()
    assert counts == {"aten.add.Tensor": 1, "aten.relu.default": 1, "aten.mul_.Tensor": 1}
    assert launches(work) == 3


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
        made = Decoder(CovoNetwork(FULL.covo).bfloat16().eval(), 4096)
        made.append(torch.zeros(40, FULL.covo.backbone.hidden))
    return made


def test_a_decode_step(history):
    token = torch.zeros(1, dtype=torch.long, device="meta")
    assert launches(lambda: history.append_token(token)) <= 580
