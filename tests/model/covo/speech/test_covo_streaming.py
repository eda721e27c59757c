"""The vocoder in pieces: the same wave for any chunking, and a past that stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from hypothesis import example, given, settings
from hypothesis import strategies as st

from model.covo.speech.bigvgan import EXACT_LOOK_AHEAD, LOOK_AHEAD, BigVgan
from model.errors import NetworkInputError
from tests.model.covo.golden_covo import TOLERANCE, error, golden

HOP = 240


@pytest.fixture(scope="module")
def vocoder(token2wav) -> BigVgan:
    return token2wav.wavegan


def latents(count: int):
    return golden("token2wav/stages")["alpha1_vocoder_in"][..., :count]


def stream(vocoder: BigVgan, pieces, look_ahead: int, *, end: bool = True):
    """The concatenated output, and the number of samples given after each piece."""
    state = vocoder.start()
    waves, given = [], []
    for index, piece in enumerate(pieces):
        last = end and index == len(pieces) - 1
        wave, state = vocoder.step(state, piece, last=last, look_ahead=look_ahead)
        waves.append(wave)
        given.append(state.given)
    return torch.cat(waves, dim=-1), given


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.sampled_from([4, 9, 13, 30]))
@example([15, 0], 30)
@example([0, 0], 4)
@example([1, 0, 2, 40, 0], 4)
def test_any_chunking_gives_the_one_shot_wave(vocoder, sizes, look_ahead):
    together = latents(sum(sizes))
    wave, _ = stream(vocoder, together.split(sizes, dim=-1), look_ahead)
    whole = vocoder(together)
    assert wave.shape == whole.shape == (1, HOP * together.shape[-1])
    if wave.numel():
        assert error(wave, whole) < TOLERANCE


@pytest.mark.parametrize("chunk", [5, 20])
def test_the_reference_s_wave_in_pieces(vocoder, chunk):
    wave, _ = stream(vocoder, latents(77).split(chunk, dim=-1), LOOK_AHEAD)
    assert error(wave[0], golden("token2wav/stages")["alpha1_wav"]) < TOLERANCE


@pytest.mark.parametrize(
    ("sizes", "length"), [((17, 0), 16), ((17, 5), 20), ((3,), 17), ((1, 1), 4)]
)
def test_padding_the_last_chunk_changes_nothing(vocoder, sizes, length):
    pieces = latents(sum(sizes)).split(sizes, dim=-1)
    state, shapes = vocoder.start(), []

    def run(latents, *rest):
        shapes.append(latents.shape[-1])
        return vocoder.chunk(latents, *rest)

    for piece in pieces[:-1]:
        _, state = vocoder.step(state, piece)
    plain, _ = vocoder.step(state, pieces[-1], last=True)
    padded, after = vocoder.step(state, pieces[-1], last=True, length=length, run=run)
    assert shapes == [length]
    assert after.ended
    assert error(padded, plain) < TOLERANCE


def test_a_settled_chunk_depends_on_its_length_alone(vocoder):
    """Twice as far into the signal, the same state and latents give the same samples."""
    _, state = vocoder.step(vocoder.start(), latents(vocoder.settled))
    piece = latents(20)[..., vocoder.settled :]
    near, _ = vocoder.step(state, piece)
    moved = replace(state, received=2 * state.received, given=state.given + HOP * state.received)
    far, _ = vocoder.step(moved, piece)
    assert torch.equal(near, far)


def test_samples_come_when_the_look_ahead_is_there(vocoder):
    _, given = stream(vocoder, latents(20).split(2, dim=-1), LOOK_AHEAD)
    assert given == [max(0, n - LOOK_AHEAD) * HOP for n in range(2, 20, 2)] + [20 * HOP]


@pytest.mark.parametrize("look_ahead", [LOOK_AHEAD, EXACT_LOOK_AHEAD])
def test_the_future_leaves_the_past_unchanged(vocoder, look_ahead):
    past, future = latents(36).split((18, 18), dim=-1)
    one, given = stream(vocoder, (past, future), look_ahead)
    other, _ = stream(vocoder, (past, -2 * future), look_ahead)
    assert given[0] > 0
    assert torch.equal(one[..., : given[0]], other[..., : given[0]])
    assert error(one[..., given[0] :], other[..., given[0] :]) > 0.01


def test_thirteen_latents_are_all_there_is_to_wait_for(vocoder):
    past, future = latents(36).split((18, 18), dim=-1)
    one, other = (vocoder(torch.cat((past, end), dim=-1)) for end in (future, -2 * future))
    exact = (18 - EXACT_LOOK_AHEAD) * HOP
    assert error(one[..., :exact], other[..., :exact]) < 1e-6
    near = (18 - LOOK_AHEAD) * HOP
    assert error(one[..., :near], other[..., :near]) < TOLERANCE
    assert error(one[..., : 18 * HOP], other[..., : 18 * HOP]) > 0.01


def test_exact_samples_are_not_held_back(vocoder):
    _, given = stream(vocoder, (latents(20), latents(1)), 30, end=False)
    # A latent reaches back 3095 samples in the public network (found there with NaNs).
    assert given == [20 * HOP - 3095, 21 * HOP - 3095]


def test_a_state_can_be_gone_back_to(vocoder):
    past, future = latents(30).split((15, 15), dim=-1)
    _, state = vocoder.step(vocoder.start(), past)
    first, _ = vocoder.step(state, future, last=True)
    vocoder.step(state, -future)
    again, _ = vocoder.step(state, future, last=True)
    assert torch.equal(first, again)


def test_the_state_does_not_grow(vocoder):
    def held(state) -> int:
        return state.tails.untyped_storage().nbytes()

    _, early = vocoder.step(vocoder.start(), latents(20))
    _, late = vocoder.step(early, latents(77))
    assert held(late) <= held(early)


def test_a_stream_that_has_ended(vocoder):
    _, state = vocoder.step(vocoder.start(), latents(3), last=True)
    with pytest.raises(NetworkInputError, match="has ended"):
        vocoder.step(state, latents(1))
    with pytest.raises(NetworkInputError, match=r"\(1, 5, 2\)"):
        vocoder.step(vocoder.start(), torch.zeros(1, 5, 2))
