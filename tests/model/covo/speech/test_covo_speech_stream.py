"""Speech while the codes come: every sample once, no clicks, and states to go back to."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.covo.config.token2wav_config import SamplingConfig
from model.covo.loading.checkpoint import load_token2wav
from model.covo.speech.bigvgan import EXACT_LOOK_AHEAD
from model.covo.speech.chunk_schedule import ChunkSchedule
from model.covo.speech.speech_stream import SpeechSettings, SpeechStreamer
from model.covo.speech.speech_worker import SpeechWorker
from model.errors import NetworkInputError
from tests.model.covo.golden_covo import TOLERANCE, error, golden

QUICK = SamplingConfig(points=2, alpha=None)
WHOLE = ChunkSchedule(sizes=(1000,))
LATENT = 240


def reply(count: int, seed: int = 5) -> list[int]:
    return torch.randint(128, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def speak(streamer, voice, groups, how: SpeechSettings, *, seed: int = 0, last: bool = True):
    """The concatenated wave of ``groups`` of codes, and the state behind it."""
    stream = streamer.start(voice, how, seed=seed)
    waves = []
    for index, group in enumerate(groups):
        wave, stream = streamer.step(stream, group, last=last and index == len(groups) - 1)
        waves.append(wave)
    return torch.cat(waves), stream


def quick(*sizes: int, look_ahead: int = 2, window: int = 75) -> SpeechSettings:
    return SpeechSettings(ChunkSchedule(sizes, look_ahead, window), QUICK)


@pytest.mark.parametrize("alpha", [1.0, None])
def test_one_chunk_is_the_reference(streamer, token2wav, voice, alpha):
    codes = golden("token2wav/stages")["tokens"]
    sampling = SamplingConfig(alpha=alpha)
    wave, _ = speak(streamer, voice, [codes.tolist()], SpeechSettings(WHOLE, sampling), seed=3)
    assert error(wave, token2wav.synthesize(codes, voice, seed=3, sampling=sampling)) < TOLERANCE


def test_the_checkpoint_s_sampling_is_the_default(streamer, token2wav, voice):
    wave, _ = speak(streamer, voice, [[1, 2, 3]], SpeechSettings(WHOLE))
    assert error(wave, token2wav.synthesize(torch.tensor([1, 2, 3]), voice)) < TOLERANCE


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=4),
    st.lists(st.integers(1, 12), min_size=1, max_size=3),
    st.integers(0, 3),
    st.integers(1, 10),
)
@example([5, 0], [5], 0, 1)
@example([1, 1, 1, 1, 1, 1, 1, 1, 1], [2, 3], 1, 2)
def test_neither_grouping_nor_schedule_adds_or_drops_a_sample(
    streamer, token2wav, voice, groups, sizes, look_ahead, window
):
    codes = reply(sum(groups))
    how = SpeechSettings(ChunkSchedule(tuple(sizes), look_ahead, window), QUICK, EXACT_LOOK_AHEAD)
    ends = itertools.accumulate(groups)
    pieces = [codes[end - size : end] for end, size in zip(ends, groups, strict=True)]
    wave, stream = speak(streamer, voice, pieces, how)
    together, _ = speak(streamer, voice, [codes], how)
    assert len(wave) == token2wav.samples(len(codes), voice)
    assert error(wave, together) < TOLERANCE if len(wave) else not codes
    assert len(stream.codes) <= window
    assert len(stream.history) == len(stream.noise) == 4 * len(stream.codes)


def test_a_seed_is_a_wave(streamer, voice):
    one, again, other = (
        speak(streamer, voice, [reply(9)], quick(4), seed=seed)[0] for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert error(one, other) > 0.01


@pytest.mark.parametrize("look_ahead", [0, 2])
def test_the_future_leaves_the_past_unchanged(streamer, voice, look_ahead):
    past, future, other = reply(15), reply(15, seed=6), reply(15, seed=7)
    how = quick(5, look_ahead=look_ahead)
    spoken, _ = speak(streamer, voice, [past], how, last=False)
    one, _ = speak(streamer, voice, [past + future], how)
    two, _ = speak(streamer, voice, [past + other], how)
    chunks = 3 if not look_ahead else 2
    assert len(spoken) == (20 * chunks - 3 - 4) * LATENT
    assert torch.equal(one[: len(spoken)], spoken)
    assert torch.equal(two[: len(spoken)], spoken)
    assert error(one[len(spoken) :], two[len(spoken) :]) > 0.01


def test_what_the_flow_is_given(streamer, token2wav, voice, monkeypatch):
    seen = []
    condition = token2wav.token2latent.condition

    def spy(codes, latents, **how):
        seen.append((codes.tolist(), latents.clone()))
        return condition(codes, latents, **how)

    monkeypatch.setattr(token2wav.token2latent, "condition", spy)
    codes, prompt = reply(12), voice.codes.tolist()
    stream = streamer.start(voice, quick(4, look_ahead=1, window=6))
    made = voice.latents[52:]
    for group in (codes[:5], codes[5:9], codes[9:]):
        _, stream = streamer.step(stream, group, last=group[-1] is codes[-1])
        made = torch.cat((made[: 4 * max(0, stream.spoken - 6)], stream.history))
    windows = [(0, 0, 5), (0, 4, 9), (2, 8, 12)]
    assert [given for given, _ in seen] == [prompt + codes[past:end] for past, _, end in windows]
    for (past, begin, _), (_, latents) in zip(windows, seen, strict=True):
        assert torch.equal(latents[:55], voice.latents)
        # The prompt's last 3 latents stand where those of the window's first code were.
        assert torch.equal(latents[55:], made[4 * past + 3 : 4 * begin])


def spoken_with_latents(token2wav, voice, codes, how, monkeypatch):
    """The wave, and the latents (time, latent) that went into the vocoder."""
    kept, denormalise = [], token2wav.denormalise

    def spy(latents: Tensor) -> Tensor:
        kept.append(latents[0].clone())
        return denormalise(latents)

    with monkeypatch.context() as patch:
        patch.setattr(token2wav, "denormalise", spy)
        wave, _ = speak(SpeechStreamer(token2wav), voice, [codes], how)
    return wave, torch.cat(kept)


def test_joins_are_within_the_signal_s_own_statistics(token2wav, voice, monkeypatch):
    schedule, codes = ChunkSchedule((4,)), reply(80)
    how = SpeechSettings(schedule, SamplingConfig(points=4), EXACT_LOOK_AHEAD)
    wave, latents = spoken_with_latents(token2wav, voice, codes, how, monkeypatch)
    # The vocoder adds nothing to a join: its stream is what it makes of the same latents at once.
    whole = token2wav.wavegan(token2wav.denormalise(latents[None]))[0]
    assert error(wave, whole) < TOLERANCE
    joins = torch.tensor([4 * chunk.end - 3 for chunk in schedule.chunks(80)][:-1])
    assert len(joins) > 15
    for signal, at, width in ((wave[:, None], joins * LATENT, 3), (latents, joins, 1)):
        for order in (1, 2):
            jumps = signal.diff(n=order, dim=0).norm(dim=1)
            near = (at[:, None] - order + torch.arange(width) - width // 2).flatten()
            inside = torch.ones(len(jumps), dtype=torch.bool).index_fill(0, near, False)
            assert float(jumps[near].max()) <= float(jumps[inside].quantile(0.999))
            assert float(jumps[near].mean()) < 1.3 * float(jumps[inside].mean())


def test_look_ahead_brings_the_stream_nearer_to_the_reference(token2wav, voice):
    codes, sampling = reply(40), SamplingConfig(points=4)
    latents = token2wav.latents(torch.tensor(codes), voice, sampling=sampling)[0, 55:]

    def distance(look_ahead: int) -> float:
        streamer = SpeechStreamer(token2wav)
        how = SpeechSettings(ChunkSchedule((5,), look_ahead), sampling, EXACT_LOOK_AHEAD)
        _, stream = speak(streamer, voice, [codes], how)
        # The first code's first 3 latents are the prompt's.
        return float((stream.history[3:] - latents).square().mean().sqrt() / latents.std())

    plain, ahead = distance(0), distance(3)
    assert ahead < 0.8 * plain < 0.8 * 0.5


def test_a_state_can_be_gone_back_to(streamer, voice):
    _, stream = speak(streamer, voice, [reply(9)], quick(4), last=False)
    first, _ = streamer.step(stream, reply(8), last=True)
    streamer.step(stream, reply(8, seed=8), last=True)
    again, _ = streamer.step(stream, reply(8), last=True)
    assert torch.equal(first, again)


@pytest.mark.parametrize("groups", [[[]], [[], []]])
def test_no_codes_are_an_empty_wave(streamer, voice, groups):
    wave, stream = speak(streamer, voice, groups, SpeechSettings())
    assert wave.shape == (0,)
    with pytest.raises(NetworkInputError, match="has ended"):
        streamer.step(stream, [1])


def test_the_end_brings_what_the_vocoder_held_back(streamer, voice):
    how = quick(5, look_ahead=0)
    wave, stream = speak(streamer, voice, [reply(5)], how, last=False)
    assert len(wave) == (20 - 3 - 4) * LATENT
    rest, _ = streamer.step(stream, [], last=True)
    assert len(rest) == 4 * LATENT
    together, _ = speak(streamer, voice, [reply(5)], how)
    assert error(torch.cat((wave, rest)), together) < 5e-4


@pytest.mark.parametrize("code", [-1, 128])
def test_a_code_outside_of_the_codebook_leaves_the_state_usable(streamer, voice, code):
    _, stream = speak(streamer, voice, [reply(6)], quick(4), last=False)
    with pytest.raises(NetworkInputError, match=f"speech code {code} is outside"):
        streamer.step(stream, [3, code])
    rest, _ = streamer.step(stream, [3], last=True)
    whole, _ = speak(streamer, voice, [reply(6), [3]], quick(4))
    assert torch.equal(rest, whole[-len(rest) :])


def test_a_voice_of_another_size(streamer, voice):
    with pytest.raises(NetworkInputError, match="does not fit the network"):
        streamer.start(replace(voice, speaker=torch.zeros(1024)))


@pytest.mark.parametrize("latents", [30, 52, 54])
def test_a_prompt_with_fewer_latents(streamer, token2wav, voice, latents):
    shorter = replace(voice, latents=voice.latents[:latents])
    codes = reply(11)
    whole, _ = speak(streamer, shorter, [codes], replace(quick(5), schedule=WHOLE))
    expected = token2wav.synthesize(torch.tensor(codes), shorter, sampling=QUICK)
    assert error(whole, expected) < TOLERANCE
    pieces, _ = speak(streamer, shorter, [[code] for code in codes], quick(3, window=4))
    assert len(pieces) == token2wav.samples(11, shorter) == (4 * (13 + 11) - latents) * LATENT


def test_a_cropped_voice_keeps_its_end(streamer, token2wav, voice):
    cropped = voice.crop(0.2, token2wav.config)
    assert torch.equal(cropped.codes, voice.codes[-5:])
    assert torch.equal(cropped.latents, voice.latents[-(4 * 5 + 3) :])
    assert torch.equal(cropped.speaker, voice.speaker)
    wave, _ = speak(streamer, cropped, [reply(7)], quick(3))
    assert len(wave) == token2wav.samples(7, cropped) == token2wav.samples(7, voice)


def test_a_voice_is_cropped_to_what_there_is(token2wav, voice):
    assert torch.equal(voice.crop(60, token2wav.config).latents, voice.latents)
    for seconds in (0, -1, 0.01, float("nan")):
        with pytest.raises(NetworkInputError, match="too short"):
            voice.crop(seconds, token2wav.config)


def test_the_worker_s_waves_are_the_streamer_s(streamer, voice):
    codes, worker = reply(12), SpeechWorker(streamer)
    stream = worker.start(voice, quick(5), seed=4)
    early, stream = worker.step(stream, codes[:8])
    none, stream = worker.step(stream, codes[8:9])
    late, _ = worker.step(stream, codes[9:], last=True)
    assert (len(early), len(none)) == ((20 - 3 - 4) * LATENT, 0)
    expected, _ = speak(streamer, voice, [codes[:8], codes[8:]], quick(5), seed=4)
    pieces = [torch.from_numpy(piece) for piece in (early, none, late)]
    assert torch.equal(torch.cat(pieces), expected)


def test_the_worker_has_one_thread_for_all_replies(streamer, voice, monkeypatch):
    """Where torch keeps what it has planned for the shapes of a chunk."""
    threads = set()
    for name in ("start", "step"):
        usual = getattr(SpeechStreamer, name)

        def spy(*given, usual=usual, **how):
            threads.add(threading.get_ident())
            return usual(*given, **how)

        monkeypatch.setattr(SpeechStreamer, name, spy)
    worker = SpeechWorker(streamer)

    def say():
        worker.step(worker.start(voice, quick(5)), reply(8), last=True)

    for caller in [threading.Thread(target=say) for _ in range(2)]:
        caller.start()
        caller.join()
    say()
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_reply_that_is_not_heard_to_its_end_keeps_no_other_from_speaking(streamer, voice):
    worker = SpeechWorker(streamer, quick(2))
    stalled = worker.speak([[1]] * 9, voice)
    next(stalled)
    spoken = []
    other = threading.Thread(
        target=lambda: spoken.extend(worker.speak([[1]] * 9, voice)), daemon=True
    )
    other.start()
    other.join(60)
    assert not other.is_alive()
    assert [end for _, end in spoken][-1] == 9
    assert sum(len(piece) for piece, _ in spoken) == streamer.token2wav.samples(9, voice)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_worker_beside_other_work_on_a_gpu(speech_folder, streamer, voice):
    codes = reply(40)
    how = SpeechSettings(ChunkSchedule((5, 10)), SamplingConfig())
    expected, _ = speak(streamer, voice, [codes], how, seed=4)
    worker = SpeechWorker(
        SpeechStreamer(load_token2wav(speech_folder, device=torch.device("cuda")))
    )
    stream = worker.start(voice, how, seed=4)
    busy = torch.randn(2048, 2048, device="cuda")
    pieces = []
    for index, code in enumerate(codes):
        # Work on the caller's stream, whose memory is let go of and taken again all the time.
        busy = torch.tanh(busy @ busy)
        piece, stream = worker.step(stream, [code], last=index == len(codes) - 1)
        pieces.append(piece)
    wave = torch.cat([torch.from_numpy(piece) for piece in pieces])
    assert bool(busy.isfinite().all())
    assert error(wave, expected) < 1e-3
