"""The network of the published size on the meta device: every shape and dtype goes through every
module, in 16-bit numbers as on a GPU, and what must not wait for the device does not."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from model.covo.config.sizes import FULL
from model.covo.config.token2wav_config import SamplingConfig
from model.covo.language import decoder
from model.covo.language.decoder import Decoder
from model.covo.language.features import TurnFeatures
from model.covo.language.network import CovoNetwork
from model.covo.loading.random_weights import random_voice
from model.covo.memory.plan import context_tokens
from model.covo.memory.workspace import PREFILL_ROWS
from model.covo.speech.speech_stream import SpeechSettings, SpeechStreamer
from model.covo.speech.token2wav import Token2Wav
from tests.fakes.nothing_waits import NothingWaits

HIDDEN = FULL.covo.backbone.hidden


@pytest.fixture(scope="module")
def network() -> CovoNetwork:
    with torch.device("meta"):
        return CovoNetwork(FULL.covo).bfloat16().eval()


@pytest.fixture(scope="module")
def token2wav() -> Token2Wav:
    with torch.device("meta"):
        statistics = torch.ones(FULL.token2wav.flow.latent)
        return Token2Wav(FULL.token2wav, statistics, statistics).bfloat16().eval()


def test_a_turn_of_more_than_30_s_is_heard(network):
    turn = TurnFeatures(torch.empty(2, 128, 3000, device="meta"), (188, 12))
    with NothingWaits():
        heard = network.hear(turn)
    assert (heard.shape, heard.dtype) == ((200, HIDDEN), torch.bfloat16)


@pytest.mark.parametrize("flash", [False, True])
def test_a_history_and_a_step_behind_it(network, monkeypatch, flash):
    monkeypatch.setattr(decoder, "flash_available", lambda *_: flash)
    made = Decoder(network, context_tokens(10))
    with torch.device("meta"):
        rows, token = torch.empty(PREFILL_ROWS + 1, HIDDEN), torch.zeros(1).long()
    with NothingWaits():
        made.append(rows)
        made.append(made.network.embed_token(token))
        assert made.logits.shape == (FULL.covo.backbone.vocabulary,)
    assert made.length == len(rows) + 1


def test_a_reply_is_spoken_to_the_last_sample(token2wav):
    voice = random_voice(FULL.token2wav.flow, FULL.voice_codes)
    streamer = SpeechStreamer(token2wav)
    stream = streamer.start(voice, SpeechSettings(sampling=SamplingConfig(points=2)))
    samples = 0
    for begin in range(0, 60, 15):
        wave, stream = streamer.step(stream, range(begin, begin + 15), last=begin == 45)
        assert wave.dtype == torch.float32
        samples += len(wave)
    assert samples == token2wav.samples(60, voice)


def test_from_noise_to_wave_nothing_waits(token2wav):
    voice = random_voice(FULL.token2wav.flow, FULL.voice_codes)
    given = token2wav.condition(torch.arange(8), voice)
    noise = torch.empty(given.latents.shape, device="meta")
    vocoder = token2wav.wavegan
    vocoder(noise.transpose(1, 2)[..., :20])  # makes what is kept for every other call
    flow, sampling = token2wav.token2latent, SamplingConfig(points=2)
    modulations = flow.modulations(voice.speaker, sampling)
    with torch.inference_mode(), NothingWaits():
        latents = flow.solve(noise, given, modulations, sampling)
        wave, _ = vocoder.step(vocoder.start(), token2wav.vocoder_input(latents, voice))
    assert wave.shape == (1, (8 * 4 - 3 - 4) * 240)
