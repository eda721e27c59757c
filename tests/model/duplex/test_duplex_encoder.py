"""The streaming encoder: any chunking is one shot, the future is not heard, the past is bounded."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from hypothesis import given, settings
from hypothesis import strategies as st

from model.covo.config.sizes import network_size
from model.covo.language.features import log_mel
from model.covo.language.network import CovoNetwork
from model.covo.speech.chunk_graphs import ChunkGraphs
from model.duplex.network.encoder import TAIL, StreamingEncoder, StreamingLogMel
from model.duplex.protocol.profile import StreamingEncoderProfile, default_profile
from model.errors import NetworkInputError
from tests.fakes.nothing_waits import NothingWaits
from tests.model.covo.recorded_graphs import use_recorded_graphs
from tests.model.duplex.duplex_profiles import PROFILES, S, T, U, config, profile
from tests.model.launches import launches

TOLERANCE = 1e-4


def make(name: str = "default", **changes) -> StreamingEncoder:
    one, stages = PROFILES[name]
    torch.manual_seed(1)
    covo = CovoNetwork(config(stages)).eval()
    with torch.no_grad():
        for name_, weight in covo.named_parameters():
            if weight.ndim > 1 and "embed" not in name_:
                weight.mul_(4)  # or hardly anything would come through
    chosen = profile(**changes) if changes else one
    return StreamingEncoder(covo.encoder, covo.audio_adapter, chosen)


def error(ours, theirs) -> float:
    """The largest difference, by the size of the numbers."""
    return float((ours - theirs).abs().max() / theirs.std())


def noise(chunks: int, encoder: StreamingEncoder, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(1, chunks * encoder.profile.chunk_samples, generator=generator)


@torch.inference_mode()
def run(encoder: StreamingEncoder, audio, sizes):
    state, out = encoder.start(), []
    for piece in audio.split([n * encoder.profile.chunk_samples for n in sizes], dim=1):
        features, state = encoder(state, piece)
        out.append(features)
    return torch.cat(out, dim=1), state


@pytest.mark.parametrize("name", PROFILES)
def test_chunk_by_chunk_is_one_shot(name):
    encoder = make(name)
    audio = noise(20, encoder)
    pieces, _ = run(encoder, audio, [1] * 20)
    whole, _ = run(encoder, audio, [20])
    assert whole.shape == (1, 20 * encoder.profile.features_per_chunk, 32)
    assert error(pieces, whole) < TOLERANCE
    assert float(whole.std()) > 0.01


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_any_chunking_is_one_shot(sizes):
    encoder = make()
    audio = noise(sum(sizes), encoder)
    pieces, _ = run(encoder, audio, sizes)
    whole, _ = run(encoder, audio, [sum(sizes)])
    assert error(pieces, whole) < TOLERANCE


def test_the_future_is_not_heard():
    encoder = make()
    audio = noise(10, encoder)
    other = audio.clone()
    other[:, 6 * 2560 :] = noise(4, encoder, seed=1)
    one, two = (run(encoder, wave, [10])[0] for wave in (audio, other))
    assert torch.equal(one[:, :6], two[:, :6])
    # And the chunk itself is heard at once, to its last sample.
    other = audio.clone()
    other[:, 6 * 2560 - 160 : 6 * 2560] *= -2
    two, _ = run(encoder, other, [10])
    assert torch.equal(one[:, :5], two[:, :5])
    assert error(one[:, 5], two[:, 5]) > 0.001


def test_the_past_is_bounded():
    encoder = make()  # two layers that look back three chunks, and what the convolutions carry
    audio = noise(16, encoder)
    other = audio.clone()
    other[:, :2560] = noise(1, encoder, seed=1)
    one, two = (run(encoder, wave, [16])[0] for wave in (audio, other))
    difference = (one - two).abs().amax(dim=(0, 2)) / one.std()
    assert float(difference[:7].min()) > 1e-5
    assert float(difference[9:].max()) == 0.0


def test_an_hour_costs_and_holds_the_same():
    encoder = make()
    _, early = run(encoder, noise(4, encoder), [4])
    state = early
    for _ in range(3):
        _, state = run_on(encoder, state, noise(100, encoder))
    assert state.frames == 304 * 8
    for name in ("wave", "mel", "conv", "keys", "values"):
        assert getattr(state, name).shape == getattr(early, name).shape
    assert encoder._valid(state.frames, 1, state.wave.device) is None


def test_a_chunk_alone_is_in_the_shape_that_fused_kernels_know(monkeypatch):
    """They know four dimensions; with five everything is computed in many small steps."""
    encoder, shapes = make(), []
    attention = torch.nn.functional.scaled_dot_product_attention

    def watched(query, key, value, attn_mask=None):
        shapes.append((query.ndim, key.ndim, None if attn_mask is None else attn_mask.ndim))
        return attention(query, key, value, attn_mask=attn_mask)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    run(encoder, noise(4, encoder), [1] * 4)  # three chunks fill what it looks back on
    assert shapes == [(4, 4, 4)] * 2 * 3 + [(4, 4, None)] * 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@torch.inference_mode()
def test_at_full_size_nothing_of_a_chunk_waits_for_the_device(precision):
    """As the loop does it: a chunk until the encoder has all it looks back on, and one after."""
    full = network_size("full").covo
    full = replace(full, backbone=replace(full.backbone, layers=1))  # the encoder is what counts
    with torch.device("meta"):
        covo = CovoNetwork(full).to(getattr(torch, precision))
        encoder = StreamingEncoder(covo.encoder, covo.audio_adapter, default_profile(full))
        audio = torch.zeros(1, 2560)
    state = encoder.start()
    for before in (0, 256):
        with NothingWaits():
            features, after = encoder(replace(state, frames=before), audio)
        assert features.shape == (1, 1, 3584)
        assert features.dtype == after.keys.dtype == getattr(torch, precision)
        assert after.keys.shape == (32, 1, 20, 256, 64)


@torch.inference_mode()
def test_in_graphs_it_hears_the_same(monkeypatch):
    made = use_recorded_graphs(monkeypatch)
    encoder, graphs = make(), ChunkGraphs(torch.device("cpu"))
    state, expected = encoder.start(origin=70), encoder.start(origin=70)
    for audio in noise(9, encoder).split(encoder.profile.chunk_samples, dim=1):
        # Three chunks fill what it looks back on, and the positions begin again.
        ours, state = encoder(state, audio, graphs)
        theirs, expected = encoder(expected, audio)
        assert torch.equal(ours, theirs)
    assert [graph.replays for graph in made] == [2, 5]


@torch.inference_mode()
def test_launches_of_a_chunk_outside_its_graph():
    """Copies into the graph's buffers and out of its results, instead of 600 launches."""
    full = network_size("full").covo
    full = replace(full, backbone=replace(full.backbone, layers=1))
    with torch.device("meta"):
        covo = CovoNetwork(full).bfloat16()
        encoder = StreamingEncoder(covo.encoder, covo.audio_adapter, default_profile(full))
        audio = torch.zeros(1, 2560)

    def graph(_: str, work, *inputs):
        results = []
        inside.append(launches(lambda: results.extend(work(*inputs))))
        copies.append(len(inputs) + len(results))
        return tuple(results)

    state, inside, copies = encoder.start(), [], []
    for before in (0, 256):
        now = replace(state, frames=before)
        total = launches(lambda now=now: encoder(now, audio, graph))
        assert total - inside[-1] + copies[-1] <= 30
    assert min(inside) > 400


@torch.inference_mode()
def run_on(encoder, state, audio):
    return encoder(state, audio)


def test_positions_begin_again():
    encoder = make(encoder=StreamingEncoderProfile(0, 16, -7.0))
    audio = noise(1, encoder).repeat(1, 6)
    features, _ = run(encoder, audio, [6])
    # Every chunk is the same sound, its position that of two chunks before.
    assert error(features[:, 2], features[:, 4]) < TOLERANCE
    assert error(features[:, 2], features[:, 3]) > 0.01
    state = encoder.start(origin=8)
    shifted, _ = run_on(encoder, state, audio)
    assert error(shifted[:, 2], features[:, 3]) < TOLERANCE


def test_a_state_can_be_gone_back_to():
    encoder = make()
    _, state = run(encoder, noise(3, encoder), [3])
    first, _ = run_on(encoder, state, noise(2, encoder, seed=2))
    run_on(encoder, state, noise(5, encoder, seed=3))
    again, _ = run_on(encoder, state, noise(2, encoder, seed=2))
    assert torch.equal(first, again)


def test_a_batch_is_each_of_its_rows():
    encoder = make()
    waves = torch.cat([noise(4, encoder, seed=n) for n in range(3)])
    with torch.inference_mode():
        together, _ = encoder(encoder.start(3), waves)
    alone = torch.cat([run(encoder, wave[None], [4])[0] for wave in waves])
    assert error(together, alone) < TOLERANCE


@torch.inference_mode()
def test_it_is_whisper_s_encoder_one_frame_late():
    """One chunk as long as all of its positions, on a network that sees nothing but it."""
    encoder = make(
        "80 ms",
        chunk_ms=2000,
        layout=(*[U] * 25, T, S),
        encoder=StreamingEncoderProfile(0, 100, -4),
    )
    audio = noise(1, encoder)
    audio[:, -800:] = 0  # so that the last frames are the zeros that Whisper pads with
    features, _ = encoder(encoder.start(), audio)
    mel, _ = encoder.log_mel(torch.zeros(1, TAIL), audio)
    assert not mel[..., -1].any()
    late = torch.nn.functional.pad(mel, (1, -1))
    theirs = encoder.adapter(encoder.encoder(late).last_hidden_state)
    assert error(features, theirs) < TOLERANCE


def test_the_log_mel_is_whisper_s_forty_samples_late():
    audio = 0.3 * torch.randn(16_000, generator=torch.Generator().manual_seed(3))
    ours, _ = StreamingLogMel(128, -20.0)(torch.zeros(1, TAIL), audio[None])
    theirs = log_mel(torch.nn.functional.pad(audio, (40, 0)))
    assert float((ours[0, :, 3:99] - theirs[:, 3:99]).abs().max()) < 1e-4


@pytest.mark.parametrize("samples", [0, 2559, 2561])
def test_only_whole_chunks(samples):
    encoder = make()
    with pytest.raises(NetworkInputError, match="whole chunks of 2560"):
        encoder(encoder.start(), torch.zeros(1, samples))
