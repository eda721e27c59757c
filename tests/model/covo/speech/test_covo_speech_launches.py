"""Launches of a chunk of speech of the published size, when none of it is a graph."""

from __future__ import annotations

from importlib import util

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from model.covo.config.sizes import FULL
from model.covo.config.token2wav_config import SamplingConfig
from model.covo.loading.random_weights import random_voice
from model.covo.speech.token2wav import Token2Wav
from tests.model.launches import counted_launches, launches

BOUND = 18 * (120 if util.find_spec("triton") else 168) + 30


@pytest.fixture(scope="module")
def token2wav() -> Token2Wav:
    with torch.device("meta"):
        statistics = torch.ones(FULL.token2wav.flow.latent)
        return Token2Wav(FULL.token2wav, statistics, statistics).bfloat16().eval()


def test_flow_matching(token2wav):
    flow, sampling = token2wav.token2latent, SamplingConfig()
    voice = random_voice(FULL.token2wav.flow, FULL.voice_codes)
    with torch.inference_mode():
        modulations = flow.modulations(voice.speaker, sampling)
        codes, latents = (part.to("meta") for part in (voice.codes, voice.latents))
        noise = torch.empty(1, 4 * len(codes), latents.shape[1], device="meta")
        with counted_launches() as counts:
            given = flow.condition(codes, latents[: 4 * len(codes)])
            flow.solve(noise, given, modulations, sampling)
        # Query, key and value are one product, and nothing of time and speaker is left.
        products = counts["aten.linear.default"] + counts["aten._addmm_activation.default"]
        assert products == 18 * (12 * 4 + 2) + 1
        # On the meta device attention's result is copied, which it is not on CUDA.
        assert counts.total() - counts["aten.flatten.using_ints"] <= BOUND
        assert launches(lambda: flow.modulations(voice.speaker, sampling)) <= 80
