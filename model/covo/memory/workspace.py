"""Estimate, from shapes, the memory that the network needs while it computes. No torch here.

Each estimate counts the tensors that are alive at a stage's widest point as hidden-sized rows
(residual stream, norm, query, key, value, attention, projection, sum) and inner-sized rows
(activations inside the linear layers), all in the stage's dtype. Attention scores do not count:
PyTorch's fused kernels never write them out. The libraries' scratch and fragments are part of the
plan's margin and context.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import Precision
from model.covo.config.token2wav_config import Token2WavConfig
from model.covo.memory.parameters import block_linears
from model.covo.speech.chunk_schedule import ChunkSchedule

PREFILL_ROWS = 1024
"""Rows that prefill computes at once; more would only take more memory."""
MOST_STEP_ROWS = 8
"""Rows up to which a pass costs no more than reading the weights, and so is worth a graph."""
WRITTEN_OUT = 2**25
"""Weights held as integers that a product of many rows writes out at once, for the same reason."""
ROUNDED = 2**20
"""Weights rounded to integers at once while loading."""

HIDDEN_ROWS = 8
_ROTATED_ROWS = 4
"""Extra rows in flow matching: rotated queries and keys, and their inputs."""
_LOGITS_COPIES = 6
"""Copies of the logits: raw, float32, after each penalty, and while the token is chosen."""
_WRITTEN_OUT_BYTES = {Precision.INT8: 2, Precision.INT4: 4}
"""Bytes per weight that is written out: itself in bf16, and for int4 a half of the integers."""
_ROUNDING_BYTES = 24
"""Bytes per weight that is rounded: a few float32 copies."""
_VOCODED_AGAIN = 13
"""Latents before a chunk that the vocoder computes again, at most."""
_VOCODER_COPIES = 12
"""Signals that a residual block of the vocoder holds, phases included."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Bytes per stage. ``written_out``: integers turned into bf16 for a product of many rows;
    ``graphs``: the pool in which speech's graphs work, beside the memory of chunks that are no
    graphs; ``quantising``: needed while the last layer is loaded."""

    encoder: int
    prefill: int
    logits: int
    written_out: int
    flow: int
    vocoder: int
    graphs: int
    quantising: int

    @property
    def peak(self) -> int:
        """Return the bytes needed while a reply is made: the stages of the language model run one
        after another, and beside them those of token2wav."""
        language = max(self.encoder, self.prefill) + self.written_out + self.logits
        return language + max(self.flow, self.vocoder) + self.graphs


def estimate_joint_pass(
    covo: CovoConfig,
    *,
    precision: Precision,
    sessions: int,
    step_rows: int,
    device: str,
    context: int,
    modern: bool,
) -> int:
    """Estimate what the joint passes of ``sessions`` take beside the workspace of each; a pass has
    up to ``step_rows`` rows of each. Otherwise as :func:`estimate_workspace`."""
    item, backbone = precision.item_bytes, covo.backbone
    rows = sessions * step_rows
    work = rows * (HIDDEN_ROWS * backbone.hidden + 3 * backbone.ffn) * item
    logits = sessions * backbone.vocabulary * (4 + item)
    # Without FlashAttention each row's keys and values are copied, and there is a mask.
    flash = device == "cuda" and modern and item == 2
    copied = rows * context * (backbone.kv_bytes(1, item) // backbone.layers + 1)
    once = work + logits + (0 if flash else copied)
    return once * 2 if device == "cuda" else once  # graphs have a pool of their own


def estimate_workspace(
    covo: CovoConfig,
    token2wav: Token2WavConfig,
    *,
    precision: Precision,
    flow_item: int,
    vocoder_item: int,
    device: str,
    context: int,
    voice_codes: int,
    modern: bool,
) -> Workspace:
    """Estimate the workspace. ``flow_item``, ``vocoder_item``: bytes per number, 0 if they are not
    loaded; ``device``: its type; ``context``: tokens in the cache; ``voice_codes``: codes of the
    voice prompt; ``modern``: whether a card has FlashAttention."""
    item = precision.item_bytes
    encoder, backbone = covo.encoder, covo.backbone
    flow, vocoder = token2wav.flow, token2wav.vocoder
    heard = encoder.positions * (HIDDEN_ROWS * encoder.hidden + 2 * encoder.ffn) * item
    prompt = min(PREFILL_ROWS, context)
    rows = prompt * (HIDDEN_ROWS * backbone.hidden + 3 * backbone.ffn) * item
    # Without FlashAttention, keys and values are repeated per query head, and there is a mask.
    flash = device == "cuda" and modern and item == 2
    attended = 0 if flash else context * (2 * backbone.hidden * item + prompt)
    largest = max(rows * columns for rows, columns in block_linears(backbone))
    batch = 1 if token2wav.sampling.alpha is None else 2
    schedule = ChunkSchedule()
    longest = max(schedule.sizes)
    times = flow.upsample * (voice_codes + schedule.window + longest + schedule.look_ahead)
    per_time = (HIDDEN_ROWS + _ROTATED_ROWS) * flow.hidden + 2 * flow.ffn
    # The last chunk is padded to the longest one with its look-ahead.
    widest, samples = 0, flow.upsample * (longest + schedule.look_ahead) + _VOCODED_AGAIN
    for stage, rate in enumerate(vocoder.upsample_rates):
        samples *= rate
        widest = max(widest, vocoder.channels(stage) * samples)
    flow_bytes = batch * times * per_time * flow_item
    vocoder_bytes = _VOCODER_COPIES * widest * vocoder_item
    return Workspace(
        encoder=heard,
        prefill=rows + attended,
        logits=_LOGITS_COPIES * 4 * backbone.vocabulary,
        written_out=_WRITTEN_OUT_BYTES.get(precision, 0) * min(largest, WRITTEN_OUT),
        flow=flow_bytes,
        vocoder=vocoder_bytes,
        graphs=max(flow_bytes, vocoder_bytes) if device == "cuda" else 0,
        quantising=(largest * item + _ROUNDING_BYTES * min(largest, ROUNDED)) * precision.quantised,
    )
