"""The language-model side of Covo-Audio: a turn of speech in, text tokens and speech codes out.

Encoder and backbone are transformers' own Whisper and Qwen2 classes, the adapter is ours. What is
remembered of a conversation is a :class:`History`, made by :func:`CovoNetwork.new_history`, handed
to each turn and changed by it; copy it to be able to go back.

Different from the published code, each with ``reference_quirks=True`` as the way back:

- The last token of a reply (normally the end of the block) belongs to the history. There it was
  generated but never given to the network, so that the next turn follows an unfinished block.
- Nothing of a turn longer than 30 s is lost (see :mod:`model.covo.features`).

And without a switch, because the numbers are the same: prefill computes the logits of the last
position only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

from model.covo.adapter import AudioAdapter
from model.covo.config import BackboneConfig, CovoConfig
from model.covo.encoder import embed_turn, whisper_encoder
from model.covo.features import TurnFeatures
from model.covo.penalties import PenaltySettings, RepetitionPenalties
from model.errors import NetworkInputError


@dataclass(slots=True)
class History:
    """What the network remembers: a key-value cache, and tokens that are part of the history but
    are only computed with whatever comes next."""

    cache: DynamicCache
    pending: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Tokens that the next turn will follow."""
        return int(self.cache.get_seq_length()) + len(self.pending)

    def copy(self) -> History:
        """An equal history that shares nothing with this one."""
        return History(deepcopy(self.cache), self.pending)


@dataclass(frozen=True, slots=True)
class Step:
    """One generated ``token``, the raw ``logits`` it was chosen from and the ``scores`` they
    became (both of shape (vocabulary,), float32, on the network's device)."""

    token: int
    logits: Tensor = field(repr=False)
    scores: Tensor = field(repr=False)


class CovoNetwork(nn.Module):
    """Encoder, adapter and language model; the parameters have the published names."""

    def __init__(self, config: CovoConfig) -> None:
        super().__init__()
        self.config = config
        self.llm = _qwen2(config.backbone)
        self.encoder = whisper_encoder(config.encoder)
        self.audio_adapter = AudioAdapter(config)

    @property
    def device(self) -> torch.device:
        """Where the network is; what it is given is moved there."""
        device: torch.device = self.llm.lm_head.weight.device
        return device

    def build_constants(self) -> None:
        """Compute what is not in a checkpoint (RoPE's frequencies, float32) on the network's
        device; for a network that was constructed on the meta device."""
        rotary = Qwen2RotaryEmbedding(config=self.llm.config)
        self.llm.model.rotary_emb = rotary.to(self.device)

    def new_history(self) -> History:
        """An empty history."""
        return History(DynamicCache())

    @torch.inference_mode()
    def hear(self, turn: TurnFeatures) -> Tensor:
        """Shape (turn.placeholders, hidden): what goes where the prompt has placeholders."""
        return embed_turn(self.encoder, self.audio_adapter, turn)

    @torch.inference_mode()
    def embed(self, prompt: Tensor, heard: Tensor | None = None) -> Tensor:
        """Shape (n, hidden): the embeddings of the ids ``prompt`` (n,), with the rows of ``heard``
        in the places of the placeholders.

        Raises: NetworkInputError when ids are outside of the vocabulary, or ``heard`` has not
        exactly one row per placeholder.
        """
        if not prompt.numel():
            raise NetworkInputError("the prompt is empty")
        low, high = (int(edge) for edge in prompt.aminmax())
        if low < 0 or high >= self.config.backbone.vocabulary:
            raise NetworkInputError(
                f"token id {low if low < 0 else high} is outside of the vocabulary of "
                f"{self.config.backbone.vocabulary}"
            )
        prompt = prompt.to(self.device)
        embedded: Tensor = self.llm.model.embed_tokens(prompt)
        places = prompt == self.config.placeholder
        wanted, given = int(places.sum()), 0 if heard is None else len(heard)
        if wanted != given:
            raise NetworkInputError(
                f"the prompt has {wanted} audio placeholders, and there are {given} embeddings"
            )
        if heard is not None:
            embedded[places] = heard.to(embedded)
        return embedded

    @torch.inference_mode()
    def advance(self, embedded: Tensor, history: History) -> Tensor:
        """Put ``embedded`` (n, hidden) into ``history``, behind what is pending there; return the
        last position's logits, shape (vocabulary,), float32."""
        if history.pending:
            owed = torch.tensor(history.pending, device=self.device)
            embedded = torch.cat((self.llm.model.embed_tokens(owed), embedded))
            history.pending = ()
        out = self.llm.model(
            inputs_embeds=embedded[None], past_key_values=history.cache, use_cache=True
        )
        logits: Tensor = self.llm.lm_head(out.last_hidden_state[0, -1])
        return logits.float()

    def reply(
        self,
        prompt: Tensor,
        heard: Tensor | None,
        history: History,
        *,
        stop: Collection[int],
        limit: int = 2048,
        penalties: PenaltySettings = PenaltySettings(),  # noqa: B008  (frozen)
        reference_quirks: bool = False,
    ) -> Iterator[Step]:
        """Generate greedily behind ``prompt``, up to and including an id of ``stop``, or ``limit``
        tokens. ``history`` holds everything that was yielded whenever the caller stops.

        One number per step is read from the device: the token. Raises: NetworkInputError.
        """
        prompt = prompt.to(self.device)
        rules = RepetitionPenalties(penalties, prompt, self.config.backbone.vocabulary)
        embedded = self.embed(prompt, heard)
        for made in range(1, limit + 1):
            logits = self.advance(embedded, history)
            scores = rules(logits)
            chosen = scores.argmax(dim=-1, keepdim=True)
            token = int(chosen)
            history.pending = () if reference_quirks else (token,)
            yield Step(token, logits, scores)
            if token in stop or made == limit:
                return
            history.pending = ()
            rules.add(chosen)
            embedded = self._embed_token(chosen)

    @torch.inference_mode()
    def _embed_token(self, token: Tensor) -> Tensor:
        embedded: Tensor = self.llm.model.embed_tokens(token)
        return embedded


def _qwen2(config: BackboneConfig) -> Qwen2ForCausalLM:
    settings = Qwen2Config(
        vocab_size=config.vocabulary,
        hidden_size=config.hidden,
        intermediate_size=config.ffn,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        max_position_embeddings=config.max_positions,
        rms_norm_eps=config.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        tie_word_embeddings=False,
    )
    llm: Qwen2ForCausalLM = Qwen2ForCausalLM._from_config(settings, attn_implementation="sdpa")
    return llm
