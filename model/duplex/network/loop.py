"""The loop: one step for each chunk of the user's audio.

A step takes the chunk's features, walks its slots (:func:`model.duplex.protocol.grammar.walk`) and
lets the network choose among what each may hold. What was chosen is computed together with whatever
comes next, and a place without a choice needs no computation of its own. So a chunk of listening is
one pass of the language model whatever the profile, and one of speaking a pass for each text and
speech slot. The host waits for the device once per text slot, and once for all codes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from audio_io.signal import Audio
from model.covo.language.sampling import SamplingSettings, draw
from model.duplex.network.context import Context
from model.duplex.network.encoder import EncoderState
from model.duplex.network.network import DuplexNetwork
from model.duplex.protocol.grammar import Place, Turn, walk
from model.duplex.protocol.sequence import SILENCE, USER_FEATURE
from model.errors import NetworkInputError

_SPEECH = (Place.CODE, Place.SPEECH_FILLER)


class Effort(IntEnum):
    """How much of a chunk is computed.

    WITHOUT_TEXT: a speaking chunk's text slots take the filler without being asked (nor can BREAK
    come). WITHOUT_SPEECH: its speech slots do, while text, and with it BREAK, is asked for. What
    the user says is always taken in.
    """

    FULL = 0
    WITHOUT_TEXT = 1
    WITHOUT_SPEECH = 2


@dataclass(frozen=True, slots=True)
class ChunkStep:
    """What came of one chunk.

    ``before`` and ``turn``: the turn before and after it. ``taken``: all places and ids in order.
    ``text``: text ids; ``codes``: one per speech slot that was there, SILENCE where there is none.
    ``passes`` of the language model.
    """

    chunk: int
    before: Turn
    turn: Turn
    taken: tuple[tuple[Place, int], ...] = field(repr=False)
    text: tuple[int, ...]
    codes: tuple[int, ...]
    passes: int
    effort: Effort

    @property
    def shifted(self) -> bool:
        """Whether SHIFT stands in it."""
        return self.turn.speaking and not self.before.speaking

    @property
    def broke(self) -> bool:
        """Whether BREAK stands in it."""
        return self.before.speaking and not self.turn.speaking


@dataclass(frozen=True, slots=True)
class LoopState:
    """Where a conversation is. :meth:`DuplexLoop.step` changes ``context`` and ``generator`` in
    place: step from a :meth:`copy` to be able to go back."""

    encoder: EncoderState
    context: Context
    generator: torch.Generator = field(repr=False)
    pending: Tensor = field(repr=False)
    turn: Turn = field(default_factory=Turn)
    chunk: int = 0

    def copy(self) -> LoopState:
        """An equal state that shares nothing that changes."""
        return replace(self, context=self.context.copy(), generator=self.generator.clone_state())


class DuplexLoop:
    """Steps ``network`` through conversations. It has no state of its own. ``graph``: on a GPU,
    capture what can be as CUDA graphs."""

    def __init__(self, network: DuplexNetwork, *, graph: bool = True) -> None:
        self._graph = graph
        self.network = network
        self.profile = network.profile

    @torch.inference_mode()
    def start(self, seed: int = 0, context: Context | None = None) -> LoopState:
        """The state before the first chunk; the prompt is computed with it. ``context``: one that
        is not needed any more, to be emptied and used again (on a GPU, with its CUDA graphs)."""
        network = self.network
        if context is None:
            context = Context.empty(network.covo, self.profile, graph=self._graph)
        else:
            context.clear()
        prompt = torch.tensor(self.profile.prompt, dtype=torch.long, device=network.device)
        return LoopState(
            encoder=network.encoder.start(),
            context=context,
            generator=torch.Generator(network.device).manual_seed(seed),
            pending=network.embed(prompt),
        )

    def warm_up(self) -> LoopState:
        """Run every kind of chunk once, and forget them; return the state before a conversation,
        in which nothing runs for the first time (on a GPU, kernels are loaded when they do)."""
        profile, state = self.profile, self.start()
        silence = np.zeros(profile.chunk_samples, np.float32)
        # Until the encoder has all that it looks back on, it computes with a mask.
        for _ in range(profile.encoder.look_back // profile.encoder_frames + 2):
            _, state = self.step(state, silence)
        for effort in (Effort.FULL, Effort.WITHOUT_TEXT):  # in the latter BREAK cannot come
            state = replace(state, turn=Turn(True, profile.lead + 1))
            _, state = self.step(state, silence, effort)
        return self.start(context=state.context)

    @torch.inference_mode()
    def step(
        self, state: LoopState, audio: Audio, effort: Effort = Effort.FULL, *, stop: bool = False
    ) -> tuple[ChunkStep, LoopState]:
        """Hear ``audio``, the next chunk (chunk_samples,) at 16 kHz, and speak or not.

        ``stop``: the assistant must stop (BREAK) if it speaks. Raises: NetworkInputError.
        """
        if audio.shape != (self.profile.chunk_samples,):
            raise NetworkInputError(
                f"a chunk has {self.profile.chunk_samples} samples, not the shape {audio.shape}"
            )
        wave = torch.from_numpy(audio).to(self.network.device)[None]
        features, encoder = self.network.encoder(state.encoder, wave)
        chunk = _Chunk(self.network, state, features[0], effort, stop=stop)
        turn = walk(self.network.grammar, state.turn, chunk)
        tokens, first_code = self.profile.tokens, self.network.grammar.first_code
        taken = chunk.taken()
        result = ChunkStep(
            chunk=state.chunk,
            before=state.turn,
            turn=turn,
            taken=taken,
            text=tuple(i for _, i in taken if 0 <= i < self.profile.text_vocabulary),
            codes=tuple(
                SILENCE if i == tokens.speech_filler.id else i - first_code
                for place, i in taken
                if place in _SPEECH
            ),
            passes=chunk.passes,
            effort=effort,
        )
        return result, replace(
            state, encoder=encoder, pending=chunk.pending, turn=turn, chunk=state.chunk + 1
        )


class _Chunk:
    """Answers :func:`~model.duplex.protocol.grammar.walk` with what the network chooses in one
    chunk.
    """

    def __init__(
        self,
        network: DuplexNetwork,
        state: LoopState,
        features: Tensor,
        effort: Effort,
        *,
        stop: bool,
    ) -> None:
        self._network = network
        self._tokens = network.profile.tokens
        self._context = state.context
        self._generator = state.generator
        self._features = list(features.split(1))
        self._rows = [state.pending]
        self._effort = effort
        self._stop = stop
        self._taken: list[tuple[Place, int | Tensor]] = []
        self.passes = 0

    @property
    def pending(self) -> Tensor:
        """Rows (n, hidden) that are computed with the next chunk."""
        return torch.cat(self._rows)

    def taken(self) -> tuple[tuple[Place, int], ...]:
        """All places and ids; waits for the device."""
        on_device = [token for _, token in self._taken if isinstance(token, Tensor)]
        codes = deque(torch.cat(on_device).tolist() if on_device else [])
        return tuple(
            (place, codes.popleft() if isinstance(token, Tensor) else token)
            for place, token in self._taken
        )

    def __call__(self, place: Place) -> int:
        if place is Place.USER:
            self._rows.append(self._features.pop(0))
            self._taken.append((place, USER_FEATURE))
            return USER_FEATURE
        forced = self._forced(place)
        token = self._choose(place) if forced is None else self._network.token(forced)
        self._rows.append(self._network.embed(token))
        if place is Place.CODE and forced is None:
            self._taken.append((place, token))
            return USER_FEATURE  # the walk does not need it, and reading it would mean waiting
        value = int(token) if forced is None else forced
        self._taken.append((place, value))
        return value

    def _forced(self, place: Place) -> int | None:
        if place is Place.SPEAK and self._stop:
            return self._tokens.stop.id
        if place in (Place.SPEAK, Place.TEXT) and self._effort is Effort.WITHOUT_TEXT:
            return self._tokens.text_filler.id
        if place is Place.CODE and self._effort is Effort.WITHOUT_SPEECH:
            return self._tokens.speech_filler.id
        return self._network.grammar.forced(place)

    def _choose(self, place: Place) -> Tensor:
        network, profile = self._network, self._network.profile
        rows = torch.cat(self._rows)
        self._rows = []
        logits = self._context.advance(rows)
        self.passes += 1
        ids = network.ids(place)
        allowed = logits[ids]
        by_place = {Place.LISTEN: profile.sampling.state, Place.CODE: profile.sampling.speech}
        chosen = by_place.get(place, profile.sampling.text)
        if chosen.temperature:
            settings = SamplingSettings(chosen.temperature, top_k=chosen.top_k)
            index = draw(allowed, settings, self._generator)
        else:
            index = allowed.argmax(dim=-1, keepdim=True)
        return ids[index]
