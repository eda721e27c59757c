"""Plan the network's memory before loading any of it.

A plan follows from the sizes alone: each part's weights to the byte, the key-value cache for the
wanted minutes of talk, an estimate of the workspace (:mod:`model.covo.memory.workspace`), the
device's own overhead and a margin. :mod:`model.covo.memory.fit` compares plans with a device. No
torch here.

Minutes of talk become tokens on the assumption that the assistant speaks for
:data:`ASSISTANT_SHARE` of the time (5 text and 15 speech tokens per 0.6 s) and the user for the
rest (6.25 embeddings per second).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import SPEECH_FP32, Precision, SpeechPrecision
from model.covo.config.token2wav_config import Token2WavConfig
from model.covo.memory.parameters import (
    adapter_parameters,
    block_linears,
    block_vectors,
    embedding_parameters,
    encoder_parameters,
    flow_parameters,
    vocoder_parameters,
)
from model.covo.memory.workspace import (
    MOST_STEP_ROWS,
    Workspace,
    estimate_joint_pass,
    estimate_workspace,
)

ASSISTANT_TOKENS_PER_SECOND = 20 / 0.6
USER_TOKENS_PER_SECOND = 6.25
ASSISTANT_SHARE = 0.5
"""Share of the time in a conversation of two."""
SYSTEM_TOKENS = 300
"""Tokens of the system prompt and of one turn's frame."""

CONTEXT_BYTES = {"cuda": 1_100_000_000}
"""A device's own overhead: CUDA's context, the libraries' kernels and scratch. 0.90 to 1.11 GB were
in use beside what torch had reserved, on an H100 and an H200 (CUDA 13.0, torch 2.11)."""
PROCESS_BYTES = 700_000_000
"""The overhead where the network shares the host's memory: Python, torch, transformers."""
MARGIN = 0.05
"""Share of everything else to keep free, for the allocator's fragments."""


@dataclass(frozen=True, slots=True)
class MemorySetting:
    """The user's choices: the ``precision`` of the language model and of ``token2wav``, the
    ``minutes`` of talk in the cache, and whether the network ``speaks`` (else token2wav is not
    loaded). ``sessions``: conversations at once, which share the weights; each has a cache and a
    workspace of its own.

    ``duplex_tokens``: the cache of the full-duplex loop, which its profile fixes; ``minutes`` then
    do not count, and nothing is quantised.
    """

    precision: Precision = Precision.BF16
    token2wav: SpeechPrecision = SPEECH_FP32
    minutes: float = 10.0
    speaks: bool = True
    sessions: int = 1
    duplex_tokens: int | None = None

    @property
    def tokens(self) -> int:
        """Return the tokens that the cache has room for."""
        return context_tokens(self.minutes) if self.duplex_tokens is None else self.duplex_tokens

    def __str__(self) -> str:
        speech = f"with token2wav in {self.token2wav}" if self.speaks else "without token2wav"
        times = f" for {self.sessions} conversations" if self.sessions > 1 else ""
        if self.duplex_tokens is not None:
            return f"full duplex in {self.precision} {speech}{times}"
        return f"{self.precision} {speech} and {_minutes(self.minutes)}{times}"


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes of each part for ``setting`` on a device of the type ``device``. ``blocks``: the
    language model's layers and last norm; ``cache`` and ``workspace``: of one conversation;
    ``joint``: of the passes that several share."""

    setting: MemorySetting
    device: str
    blocks: int
    embedding: int
    head: int
    encoder: int
    adapter: int
    token2wav: int
    cache: int
    workspace: Workspace
    joint: int
    context: int

    def __str__(self) -> str:
        sessions = self.setting.sessions
        times = f"{sessions} x " if sessions > 1 else ""
        parts = (
            f"weights {_gb(self.weights)}",
            f"caches {times}{_gb(self.cache)}",
            f"workspaces {times}{_gb(self.workspace.peak)}",
            *([f"joint passes {_gb(self.joint)}"] if self.joint else []),
            f"device {_gb(self.context)}",
            f"margin {_gb(self.margin)}",
        )
        return f"{_gb(self.total)} planned: {', '.join(parts)}"

    @property
    def weights(self) -> int:
        """Return the bytes of all weights."""
        language = self.blocks + self.embedding + self.head
        return language + self.encoder + self.adapter + self.token2wav

    @property
    def allocated(self) -> int:
        """Return the expected peak of torch's allocator: the weights, and cache and workspace, or
        the quantising of the last layer, which precedes these."""
        talks = self.setting.sessions * (self.cache + self.workspace.peak) + self.joint
        return self.weights + max(talks, self.workspace.quantising)

    @property
    def margin(self) -> int:
        """Return the bytes to keep free on top."""
        return round(MARGIN * (self.allocated + self.context))

    @property
    def total(self) -> int:
        """Return the bytes that the device must have free."""
        return self.allocated + self.context + self.margin


def context_tokens(minutes: float) -> int:
    """Return the tokens in the cache after ``minutes`` of talk; see the module's assumption."""
    spoken = ASSISTANT_SHARE * ASSISTANT_TOKENS_PER_SECOND
    heard = (1 - ASSISTANT_SHARE) * USER_TOKENS_PER_SECOND
    return SYSTEM_TOKENS + ceil(60 * minutes * (spoken + heard))


def plan_memory(
    covo: CovoConfig,
    token2wav: Token2WavConfig,
    setting: MemorySetting,
    *,
    device: str = "cuda",
    voice_codes: int = 291,
    modern: bool = True,
) -> MemoryPlan:
    """Return the plan for ``setting`` on a device of the type ``device``. ``voice_codes``: codes
    of the voice prompt, 291 in the published one; ``modern``: whether a card has FlashAttention.
    Raises: NetworkConfigError."""
    precision, backbone = setting.precision, covo.backbone
    item, spoken = precision.item_bytes, setting.token2wav
    flow_item = spoken.flow.item_bytes * setting.speaks
    vocoder_item = spoken.vocoder.item_bytes * setting.speaks
    linears = sum(precision.linear_bytes(*shape) for shape in block_linears(backbone))
    vectors = (backbone.layers * block_vectors(backbone) + backbone.hidden) * item
    tokens = setting.tokens
    return MemoryPlan(
        setting=setting,
        device=device,
        blocks=backbone.layers * linears + vectors,
        embedding=embedding_parameters(backbone) * item,
        head=embedding_parameters(backbone) * item,
        encoder=encoder_parameters(covo.encoder) * item,
        adapter=adapter_parameters(covo) * item,
        token2wav=flow_parameters(token2wav.flow) * flow_item
        + vocoder_parameters(token2wav.vocoder) * vocoder_item,
        cache=backbone.kv_bytes(tokens, item),
        workspace=estimate_workspace(
            covo,
            token2wav,
            precision=precision,
            flow_item=flow_item,
            vocoder_item=vocoder_item,
            device=device,
            context=tokens,
            voice_codes=voice_codes,
            modern=modern,
        ),
        joint=estimate_joint_pass(
            covo,
            precision=precision,
            sessions=setting.sessions,
            step_rows=1 if setting.duplex_tokens is None else MOST_STEP_ROWS,
            device=device,
            context=tokens,
            modern=modern,
        )
        if setting.sessions > 1
        else 0,
        context=CONTEXT_BYTES.get(device, PROCESS_BYTES),
    )


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


def _minutes(minutes: float) -> str:
    return f"{minutes:g} minute" + "s" * (minutes != 1)
