"""The vocoder's activation as a Triton kernel: against torch's operations, and in the vocoder."""

from __future__ import annotations

from math import log10

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")
pytest.importorskip("triton", reason="needs triton (the dev extra)")

from torch import Tensor

from model.covo.config.precision import SPEECH_AUTO, SPEECH_BF16
from model.covo.config.sizes import FULL
from model.covo.loading.checkpoint import load_token2wav
from model.covo.speech import bigvgan
from model.covo.speech.antialias import AntiAliasedSnake, phase_filters
from model.covo.speech.bigvgan import BigVgan
from model.covo.speech.vocoder_stream import SlotPlan, StreamPass
from tests.model.covo.golden_covo import TOLERANCE, error, golden
from tests.model.interpreted import DEVICES, INTERPRETED
from tests.model.launches import launches

ROUNDED = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
"""Relative; the interpreter cuts bfloat16 off instead of rounding it."""
RATE, LAG, REACH = 3, 4, 6


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16().float()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("dtype", "received", "latents", "missing"),
    [
        (torch.float32, 0, 5, 0),  # the signal begins
        (torch.float32, 2, 4, 1),  # it begins in the past, and ends before the padding
        (torch.float32, 30, 200 if not INTERPRETED else 6, 4),
        (torch.bfloat16, 30, 6, 0),
    ],
    ids=str,
)
def test_the_activation(device, dtype, received, latents, missing):
    batch, channels = (1, 1) if INTERPRETED else (2, 5)
    plan = SlotPlan()
    plan.upsample(RATE)
    plan.lag = LAG
    activation = AntiAliasedSnake(channels, plan)
    after = plan.slot(channels, REACH, zeros=REACH)
    torch.nn.init.uniform_(activation.act.alpha, 0.5, 2.0)
    torch.nn.init.uniform_(activation.act.beta, 0.5, 2.0)
    tails = noise(batch, plan.size, seed=1)
    # With samples between others, as the upsampler's output has.
    steps = RATE * (received + latents) - activation.slot.exact(received)
    x = noise(batch, channels, steps + 3, seed=2)[..., 1:-2]

    def passed(fused: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        held = tails.to(device, dtype)
        padding = torch.tensor(missing, dtype=torch.int32, device=device)
        layer = activation.to(device, dtype)
        filters = phase_filters(held)
        run = StreamPass(
            filters, received, latents, padding, held, torch.zeros_like(held), fused, tf32=False
        )
        inputs = x.to(device, dtype)
        with torch.inference_mode():
            if fused:
                return layer.fused(inputs, run, after), run.kept
            return run.join(after, layer(inputs, run)), run.kept

    rounded = [p.to(dtype).float() for p in activation.parameters()]
    for parameter, value in zip(activation.parameters(), rounded, strict=True):
        parameter.data.copy_(value)
    theirs, their_past = passed(False, torch.float32)
    ours, our_past = passed(True, dtype)
    end = theirs.shape[-1] - RATE * missing
    assert ours.shape == theirs.shape
    assert ours.dtype == dtype
    close = {"rtol": ROUNDED[dtype], "atol": ROUNDED[dtype]}
    torch.testing.assert_close(ours[..., :end].float(), theirs[..., :end], **close)
    torch.testing.assert_close(our_past.float(), their_past, **close)


@pytest.mark.skipif(INTERPRETED, reason="the interpreter runs what is counted here")
def test_launches_of_a_chunk():
    with torch.device("meta"):
        vocoder = BigVgan(FULL.token2wav.vocoder).eval()
        latents = torch.zeros(1, FULL.token2wav.vocoder.latent, 20)
    _, state = vocoder.step(vocoder.start(), latents)
    # Not counted: 116 convolutions add their bias in another launch.
    assert 340 < launches(lambda: vocoder.step(state, latents, length=20)) <= 380
    last = launches(lambda: vocoder.step(state, latents[..., :7], last=True, length=20))
    assert 340 < last <= 380


on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def streamed(vocoder: BigVgan) -> tuple[Tensor, Tensor]:
    """The golden latents' wave in chunks, the last one padded, and at once; on the CPU."""
    latents = golden("token2wav/stages")["alpha1_vocoder_in"].cuda()
    state, waves = vocoder.start(), []
    for index, piece in enumerate(latents.split(20, dim=-1)):
        wave, state = vocoder.step(state, piece, last=index == 3, length=20)
        waves.append(wave)
    return torch.cat(waves, dim=-1)[0].cpu(), vocoder(latents)[0].cpu()


@pytest.mark.gpu
@on_a_gpu
def test_the_vocoder_in_fp32(speech_folder, monkeypatch):
    vocoder = load_token2wav(speech_folder, device="cuda").wavegan
    fused, fused_whole = streamed(vocoder)
    monkeypatch.setattr(bigvgan, "triton_works", lambda device: False)
    eager, eager_whole = streamed(vocoder)
    theirs = golden("token2wav/stages")["alpha1_wav"]
    for wave in (fused, fused_whole, eager, eager_whole):
        assert error(wave, theirs) < TOLERANCE


@pytest.mark.gpu
@on_a_gpu
@pytest.mark.parametrize(("precision", "least_db"), [(SPEECH_AUTO, 45), (SPEECH_BF16, 30)], ids=str)
def test_the_vocoder_in_less(speech_folder, precision, least_db):
    vocoder = load_token2wav(speech_folder, device="cuda", precision=precision).wavegan
    theirs = golden("token2wav/stages")["alpha1_wav"]
    for wave in streamed(vocoder):
        assert decibels(wave, theirs) > least_db
    # TF32 was meant: in fp32 alone, nothing would be heard.
    assert decibels(wave, theirs) < 90


def decibels(wave: Tensor, theirs: Tensor) -> float:
    return 10 * log10(float(theirs.square().sum() / (wave - theirs).square().sum()))
