"""Memory that the network needs only while it computes, estimated from shapes. No torch here.

Each estimate counts the tensors that are alive at the widest point of a stage, as a number of
hidden-sized and of inner-sized rows (residual stream, norm, query, key, value, attention, its
projection, the sum; the linear layers' inner activations), all in the stage's dtype. Attention's
scores are not counted: PyTorch's fused kernels never write them out. What libraries take on top
(cuDNN's and cuBLAS's scratch, fragments) is in the plan's margin and context, not here.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import Precision
from model.covo.config.token2wav_config import Token2WavConfig
from model.covo.memory.parameters import block_linears
from model.covo.speech.chunk_schedule import ChunkSchedule

PREFILL_ROWS = 1024
"""Rows that prefill puts through the language model at once; more would only need more memory."""

_HIDDEN_ROWS = 8
_ROTATED_ROWS = 4
"""In flow matching the rotated queries and keys come on top, with what they are made of."""
_LOGITS_COPIES = 6
"""Raw, float32, after each penalty, and what chooses the token."""
_QUANTISING_COPIES = 5
"""Copies of a bf16 weight's size while torchao quantises it (measured on a CPU, int8: 4.5)."""
_VOCODED_AGAIN = 13
"""Latents before a chunk that the vocoder has given out early and computes again."""
_VOCODER_COPIES = 12
"""Signals of a stage's size that a residual block of the vocoder holds, phases included."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Bytes per stage. ``dequantised``: the bf16 copy of the largest linear weight that int8
    makes when it is run eagerly; ``quantising``: what the last layer needs while it is loaded."""

    encoder: int
    prefill: int
    logits: int
    dequantised: int
    flow: int
    vocoder: int
    quantising: int

    @property
    def peak(self) -> int:
        """What must be free while a reply is made: the language model's stages follow one another,
        and so do token2wav's, but the two sides run at the same time."""
        language = max(self.encoder, self.prefill) + self.dequantised + self.logits
        return language + max(self.flow, self.vocoder)


def estimate_workspace(
    covo: CovoConfig,
    token2wav: Token2WavConfig,
    *,
    precision: Precision,
    token2wav_item: int,
    device: str,
    context: int,
    voice_codes: int,
) -> Workspace:
    """``token2wav_item``: bytes of one of its numbers, 0 where it is not loaded; ``device``: its
    type; ``context``: tokens that the cache holds; ``voice_codes``: those of the voice prompt."""
    item = precision.item_bytes
    encoder, backbone = covo.encoder, covo.backbone
    flow, vocoder = token2wav.flow, token2wav.vocoder
    heard = encoder.positions * (_HIDDEN_ROWS * encoder.hidden + 2 * encoder.ffn) * item
    prompt = min(PREFILL_ROWS, context)
    rows = prompt * (_HIDDEN_ROWS * backbone.hidden + 3 * backbone.ffn) * item
    # Without FlashAttention: keys and values once per query head, and a mask.
    flash = device == "cuda" and item == 2
    attended = 0 if flash else context * (2 * backbone.hidden * item + prompt)
    largest = max(rows * columns for rows, columns in block_linears(backbone))
    batch = 1 if token2wav.sampling.alpha is None else 2
    schedule = ChunkSchedule()
    longest = max(schedule.sizes)
    times = flow.upsample * (voice_codes + schedule.window + longest + schedule.look_ahead)
    per_time = (_HIDDEN_ROWS + _ROTATED_ROWS) * flow.hidden + 2 * flow.ffn
    widest, samples = 0, flow.upsample * longest + _VOCODED_AGAIN
    for stage, rate in enumerate(vocoder.upsample_rates):
        samples *= rate
        widest = max(widest, vocoder.channels(stage) * samples)
    return Workspace(
        encoder=heard,
        prefill=rows + attended,
        logits=_LOGITS_COPIES * 4 * backbone.vocabulary,
        dequantised=largest * item if precision is Precision.INT8 else 0,
        flow=batch * times * per_time * token2wav_item,
        vocoder=_VOCODER_COPIES * widest * token2wav_item,
        quantising=_QUANTISING_COPIES * largest * item if precision.quantised else 0,
    )
