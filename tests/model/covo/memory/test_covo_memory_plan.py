"""The memory plan: parameters against the modules, and what fits where."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest

from model.covo.config.network_config import BackboneConfig
from model.covo.config.precision import SPEECH_BF16, Precision, int4_group, token2wav_precision
from model.covo.config.sizes import FULL, MID, SIZES, TINY, network_size
from model.covo.memory.fit import LONGEST, MemoryFit, free_memory
from model.covo.memory.parameters import (
    adapter_parameters,
    block_linears,
    block_vectors,
    embedding_parameters,
    encoder_parameters,
    flow_parameters,
    vocoder_parameters,
)
from model.covo.memory.plan import MemoryPlan, MemorySetting, context_tokens, plan_memory
from model.covo.memory.workspace import MOST_STEP_ROWS
from model.errors import NetworkConfigError, NetworkMemoryError

GB = 1_000_000_000
FITS = MemoryFit(FULL.covo, FULL.token2wav)


def full_plan(precision: str, token2wav: str = "fp32", minutes: float = 10.0) -> MemoryPlan:
    setting = MemorySetting(Precision(precision), token2wav_precision(token2wav, "cuda"), minutes)
    return plan_memory(FULL.covo, FULL.token2wav, setting)


def backbone_parameters(config: BackboneConfig) -> int:
    block = sum(map(prod, block_linears(config))) + block_vectors(config)
    return config.layers * block + config.hidden + 2 * embedding_parameters(config)


def test_the_published_network_has_the_published_parameters():
    assert backbone_parameters(FULL.covo.backbone) == 7_730_240_000
    assert embedding_parameters(FULL.covo.backbone) == 602_309_120
    assert encoder_parameters(FULL.covo.encoder) == 636_968_960
    assert adapter_parameters(FULL.covo) == 35_208_960
    assert flow_parameters(FULL.token2wav.flow) == 252_732_480
    # 113,828,690 as published; folding weight norm leaves out the magnitudes.
    assert vocoder_parameters(FULL.token2wav.vocoder) == 113_796_913
    assert FULL.covo.backbone.kv_bytes(1, 2) == 57_344


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
def test_parameters_are_those_of_the_modules(size):
    torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
    pytest.importorskip("transformers", reason="needs transformers (the covo extra)")
    from model.covo.language.network import CovoNetwork
    from model.covo.speech.token2wav import Token2Wav

    def count(module) -> int:
        return sum(p.numel() for p in module.parameters())

    statistics = torch.ones(size.token2wav.flow.latent)
    with torch.device("meta"):
        network = CovoNetwork(size.covo)
        token2wav = Token2Wav(size.token2wav, statistics, statistics)
    assert count(network.llm) == backbone_parameters(size.covo.backbone)
    assert count(network.encoder) == encoder_parameters(size.covo.encoder)
    assert count(network.audio_adapter) == adapter_parameters(size.covo)
    assert count(token2wav.token2latent) == flow_parameters(size.token2wav.flow)
    assert count(token2wav.wavegan) == vocoder_parameters(size.token2wav.vocoder)


def test_tiny_is_the_golden_network():
    pytest.importorskip("torch", reason="needs torch (the covo extra)")
    from model.covo.config.network_config import CovoConfig
    from model.covo.config.token2wav_config import Token2WavConfig
    from tests.model.covo.golden_covo import FOLDER

    assert CovoConfig.read(FOLDER / "covo/config.json") == TINY.covo
    assert Token2WavConfig.read(FOLDER / "token2wav/config.json") == TINY.token2wav
    assert network_size("mid") is MID
    with pytest.raises(NetworkConfigError, match="'huge'; there are: full, mid, tiny"):
        network_size("huge")


def test_every_part_in_bf16():
    plan = full_plan("bf16")
    assert plan.blocks == 2 * (7_730_240_000 - 2 * 602_309_120)
    assert plan.embedding == plan.head == 2 * 602_309_120
    assert (plan.encoder, plan.adapter) == (2 * 636_968_960, 2 * 35_208_960)
    assert plan.token2wav == 4 * (252_732_480 + 113_796_913)  # weight norm is folded
    assert plan.cache == context_tokens(10) * 57_344
    assert (
        plan.total == plan.weights + plan.cache + plan.workspace.peak + 1_100_000_000 + plan.margin
    )


def test_token2wav_s_two_precisions():
    half, auto, single = (full_plan("bf16", name) for name in ("bf16", "auto", "fp32"))
    assert auto.token2wav - half.token2wav == 2 * 113_796_913
    assert auto.workspace.flow == half.workspace.flow
    assert auto.workspace.vocoder == single.workspace.vocoder
    assert 0 < auto.total - half.total < 0.25 * GB


def test_int8_and_int4_change_the_blocks_alone():
    bf16, int8, int4 = full_plan("bf16"), full_plan("int8"), full_plan("int4")
    for part in ("embedding", "head", "encoder", "adapter", "token2wav", "cache"):
        assert getattr(bf16, part) == getattr(int8, part) == getattr(int4, part)
    assert int8.blocks / bf16.blocks == pytest.approx(0.5, abs=0.002)
    # Each group of 128 has a scale and an offset.
    shapes = [(3584, 3584)] * 2 + [(512, 3584)] * 2 + [(18_944, 3584)] * 2 + [(3584, 18_944)]
    packed = sum(rows * columns * (4 + 32 / 128) / 8 for rows, columns in shapes)
    assert int4.blocks == pytest.approx(28 * packed, rel=1e-3)


def test_minutes_of_talk():
    assert context_tokens(10) - context_tokens(0) == 600 * (20 / 0.6 + 6.25) / 2
    longer = full_plan("bf16", minutes=20)
    shorter = full_plan("bf16", minutes=10)
    assert longer.cache - shorter.cache == 11_875 * 57_344
    assert longer.weights == shorter.weights


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (24, MemorySetting()),
        (21, MemorySetting(token2wav=SPEECH_BF16)),
        (20.6, MemorySetting(token2wav=SPEECH_BF16, minutes=5)),
        (16, MemorySetting(Precision.INT8)),
        (12, MemorySetting(Precision.INT4)),
        (9, None),
    ],
)
def test_the_nearest_setting_that_fits(free, expected):
    plan = FITS.nearest(MemorySetting(), round(free * GB))
    assert (plan and plan.setting) == expected
    if plan:
        assert plan.total <= free * GB


def test_too_little_memory_is_refused_in_one_line():
    assert FITS.require(MemorySetting(), 24 * GB, "cuda:0") == full_plan("bf16")
    for free, words in (
        (16, ["bf16 with token2wav in fp32 and 10 minutes needs 21", "cuda:0 has 16.0 GB", "int8"]),
        (8, ["nothing fits", "int4 with token2wav in bf16 and 1 minute, needs 10.2"]),
    ):
        with pytest.raises(NetworkMemoryError) as caught:
            FITS.require(MemorySetting(), free * GB, "cuda:0")
        assert "\n" not in str(caught.value)
        for word in words:
            assert word in str(caught.value)


def test_graphs_have_memory_of_their_own():
    cuda, cpu = (replace(FITS, device=device).plan(MemorySetting()) for device in ("cuda", "cpu"))
    assert cuda.workspace.graphs == cuda.workspace.flow > cuda.workspace.vocoder
    assert cpu.workspace.graphs == FITS.plan(MemorySetting(speaks=False)).workspace.graphs == 0


def test_what_only_writes_needs_no_memory_for_speech():
    speaking, writing = full_plan("bf16"), FITS.plan(MemorySetting(speaks=False))
    assert (writing.token2wav, writing.workspace.flow, writing.workspace.vocoder) == (0, 0, 0)
    assert writing.weights == speaking.weights - speaking.token2wav
    free = writing.total
    assert FITS.require(MemorySetting(speaks=False), free, "cuda:0") == writing
    assert speaking.total > free
    for least, words in ((free - 1, "this fits: bf16 without"), (GB, "int4 without token2wav")):
        with pytest.raises(NetworkMemoryError, match=f"bf16 without token2wav and 10.*{words}"):
            FITS.require(MemorySetting(speaks=False), least, "cuda:0")


def test_the_longest_talk():
    setting = MemorySetting(Precision.INT4)
    free = 12 * GB
    minutes = FITS.longest(setting, free)
    assert FITS.plan(replace(setting, minutes=minutes)).total <= free
    assert FITS.plan(replace(setting, minutes=minutes + 1)).total > free
    assert FITS.longest(setting, 80 * GB) == LONGEST
    assert FITS.longest(setting, 5 * GB) == 0
    short = replace(FULL.covo, backbone=replace(FULL.covo.backbone, max_positions=12_500))
    assert replace(FITS, covo=short).longest(setting, 80 * GB) == 10


def test_a_width_that_has_no_group():
    assert [int4_group(width) for width in (3584, 192, 96)] == [128, 64, 32]
    with pytest.raises(NetworkConfigError, match="multiples of 32, not 80"):
        int4_group(80)


def test_free_memory():
    assert free_memory("cpu") > GB // 10
    pytest.importorskip("torch", reason="needs torch (the covo extra)")
    for device in ("cuda:77", "toaster"):
        with pytest.raises(NetworkConfigError, match=device):
            free_memory(device)


def test_the_plan_has_room_for_the_buffers_of_joint_passes():
    torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
    pytest.importorskip("transformers", reason="needs transformers (the covo extra)")
    from model.covo.batch.batch import JointStep
    from model.covo.loading.random_weights import random_network

    network = random_network(TINY.covo)
    tensors = [
        part
        for part in vars(JointStep(network, 5, 64, step_rows=MOST_STEP_ROWS)).values()
        if isinstance(part, torch.Tensor)
    ]
    held = sum(part.nbytes for part in tensors)
    setting = MemorySetting(Precision.FP32, sessions=5, duplex_tokens=64)
    plan = plan_memory(TINY.covo, TINY.token2wav, setting, device="cpu")
    assert 5 * TINY.covo.backbone.vocabulary * 4 < held < plan.joint
    # Without FlashAttention the keys and values of every row are copied.
    talk = MemorySetting(Precision.FP32, sessions=8)
    assert plan_memory(FULL.covo, FULL.token2wav, talk, modern=False).joint > 0.5 * GB
    assert plan_memory(FULL.covo, FULL.token2wav, replace(talk, precision=Precision.BF16)).joint < (
        0.05 * GB
    )


def test_conversations_at_once_share_the_weights_and_nothing_else():
    one, four = (FITS.plan(MemorySetting(sessions=count)) for count in (1, 4))
    assert four.weights == one.weights
    assert one.joint == 0
    assert four.allocated - one.allocated == 3 * (one.cache + one.workspace.peak) + four.joint
    assert f"joint passes {four.joint / GB:.2f} GB" in str(four)
    assert "joint" not in str(one)
    with pytest.raises(NetworkMemoryError, match="for 4 conversations needs"):
        FITS.require(four.setting, four.total - 1, "cuda:0")
    assert str(one).startswith(f"{one.total / GB:.2f} GB planned: weights ")
    assert f"caches {one.cache / GB:.2f} GB, workspaces" in str(one)
    assert f"caches 4 x {one.cache / GB:.2f} GB, workspaces 4 x " in str(four)
