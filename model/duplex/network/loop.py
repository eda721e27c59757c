"""The loop: one step for each chunk of the user's audio.

A step takes the chunk's features, walks its slots (:func:`model.duplex.protocol.grammar.walk`) and
lets the network choose among the tokens each may hold. A chosen token is computed together with
whatever follows it, and a place without a choice needs no pass of its own. So a listening chunk is
one pass of the language model in any profile, and a speaking chunk one per text and speech slot.
The host waits for the device once per text slot, and once for all codes.

A step is due when the next chunk of audio is complete; its lag is the number of chunks queued when
it starts. A lagging step leaves out text first (a pass of five), then speech (four of five). The
user's audio is always heard, and a listening chunk has nothing to leave out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from audio_io.signal import Audio
from model.covo.language.decoder import Decoder
from model.covo.language.sampling import SamplingSettings, draw
from model.covo.language.stepping import decode_stream
from model.covo.speech.chunk_graphs import ChunkGraphs, run_directly
from model.duplex.network.context import RollingContext
from model.duplex.network.encoder import EncoderState
from model.duplex.network.network import DuplexNetwork
from model.duplex.protocol.grammar import AssistantState, Place, walk
from model.duplex.protocol.sequence import SILENCE, USER_FEATURE
from model.errors import NetworkInputError

_SPEECH = (Place.CODE, Place.SPEECH_FILLER)


class Effort(IntEnum):
    """How much of a speaking chunk is computed.

    WITHOUT_TEXT: its text slots take the filler without a pass, so BREAK cannot come.
    WITHOUT_SPEECH: its speech slots take the filler, while text and BREAK are chosen.
    """

    FULL = 0
    WITHOUT_TEXT = 1
    WITHOUT_SPEECH = 2

    @classmethod
    def for_lag(cls, chunks: int) -> Effort:
        """Return the effort of a step that starts with a lag of ``chunks``."""
        return cls(min(chunks, max(cls)))


@dataclass(frozen=True, slots=True)
class ChunkStep:
    """The result of one chunk.

    Args:
        before, after: the assistant's state before and after the chunk.
        taken: all places and ids in order.
        text: text ids.
        codes: one per speech slot in the chunk; SILENCE for a filler.
        passes: passes of the language model.
    """

    chunk: int
    before: AssistantState
    after: AssistantState
    taken: tuple[tuple[Place, int], ...] = field(repr=False)
    text: tuple[int, ...]
    codes: tuple[int, ...]
    passes: int
    effort: Effort

    @property
    def shifted(self) -> bool:
        """Whether the chunk holds SHIFT."""
        return self.after.speaking and not self.before.speaking

    @property
    def broke(self) -> bool:
        """Whether the chunk holds BREAK."""
        return self.before.speaking and not self.after.speaking


@dataclass(frozen=True, slots=True)
class LoopState:
    """The state of a conversation after ``chunk`` chunks.

    ``pending``: rows (n, hidden) to compute with the next chunk. :meth:`DuplexLoop.step` changes
    ``context`` and ``generator`` in place; to go back to a state, step from a :meth:`copy`.
    """

    encoder: EncoderState
    context: RollingContext
    generator: torch.Generator = field(repr=False)
    pending: Tensor = field(repr=False)
    assistant: AssistantState = field(default_factory=AssistantState)
    chunk: int = 0

    def copy(self) -> LoopState:
        """Return an independent copy."""
        return replace(self, context=self.context.copy(), generator=self.generator.clone_state())


class DuplexLoop:
    """Steps ``network`` through conversations; stateless itself. On a GPU its work goes before
    speech.

    ``graph``: use CUDA graphs where possible. ``decoders``: makes the decoder of a new context;
    None for one that shares its passes with nobody.
    """

    def __init__(
        self,
        network: DuplexNetwork,
        *,
        graph: bool = True,
        decoders: Callable[[], Decoder] | None = None,
    ) -> None:
        self._graph = graph
        self._decoders = decoders
        self.network = network
        self.profile = network.profile
        on_gpu = network.device.type == "cuda"
        self._run = ChunkGraphs(network.device) if graph and on_gpu else run_directly

    @torch.inference_mode()
    def start(self, seed: int = 0, context: RollingContext | None = None) -> LoopState:
        """Return the state before the first chunk, with the prompt pending.

        ``context``: an old one to clear and reuse, with its CUDA graphs.
        """
        network = self.network
        with decode_stream(network.device):
            if context is not None:
                context.clear()
            elif self._decoders is not None:
                context = RollingContext.on(self._decoders(), self.profile)
            else:
                context = RollingContext.empty(network.covo, self.profile, graph=self._graph)
            prompt = torch.tensor(self.profile.prompt, dtype=torch.long, device=network.device)
            return LoopState(
                encoder=network.encoder.start(),
                context=context,
                generator=torch.Generator(network.device).manual_seed(seed),
                pending=network.embed(prompt),
            )

    def warm_up(self) -> LoopState:
        """Run every kind of chunk once, so that all kernels are loaded; return the state before a
        conversation."""
        profile, state = self.profile, self.start()
        silence = np.zeros(profile.chunk_samples, np.float32)
        # The encoder uses a mask until it has its whole look-back.
        for _ in range(profile.encoder.look_back // profile.encoder_frames + 2):
            _, state = self.step(state, silence)
        for effort in (Effort.FULL, Effort.WITHOUT_TEXT):  # the latter cannot choose BREAK
            state = replace(state, assistant=AssistantState(True, profile.lead + 1))
            _, state = self.step(state, silence, effort)
        return self.start(context=state.context)

    @torch.inference_mode()
    def step(
        self, state: LoopState, audio: Audio, effort: Effort = Effort.FULL, *, stop: bool = False
    ) -> tuple[ChunkStep, LoopState]:
        """Take in ``audio``, the next chunk (chunk_samples,) at 16 kHz; return its result and the
        next state.

        ``stop``: force BREAK if the assistant is speaking. Raises: NetworkInputError.
        """
        if audio.shape != (self.profile.chunk_samples,):
            raise NetworkInputError(
                f"a chunk must have {self.profile.chunk_samples} samples, not shape {audio.shape}"
            )
        with decode_stream(self.network.device):
            wave = torch.from_numpy(audio).to(self.network.device)[None]
            features, encoder = self.network.encoder(state.encoder, wave, self._run)
            chunk = _Chunk(self.network, state, features[0], effort, stop=stop)
            try:
                after = walk(self.network.grammar, state.assistant, chunk)
            finally:
                state.context.decoder.rest()
            taken = chunk.taken()
            pending = chunk.pending
        tokens, first_code = self.profile.tokens, self.network.grammar.first_code
        result = ChunkStep(
            chunk=state.chunk,
            before=state.assistant,
            after=after,
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
            state, encoder=encoder, pending=pending, assistant=after, chunk=state.chunk + 1
        )


@dataclass(slots=True)
class PaceReport:
    """Counts over a conversation: ``steps``, ``late`` ones, and speaking chunks that were computed
    ``without_text`` or ``without_speech``."""

    steps: int = 0
    late: int = 0
    without_text: int = 0
    without_speech: int = 0

    def add(self, step: ChunkStep, *, late: bool) -> bool:
        """Count ``step``; return whether to report: at the 1st, 2nd, 4th, 8th ... late step."""
        self.steps += 1
        spoke = step.before.speaking and step.after.speaking
        self.without_text += spoke and step.effort is Effort.WITHOUT_TEXT
        self.without_speech += spoke and step.effort is Effort.WITHOUT_SPEECH
        self.late += late
        return late and self.late & (self.late - 1) == 0

    def __str__(self) -> str:
        return (
            f"{self.late} of {self.steps} steps were late; {self.without_text} chunks had no text, "
            f"{self.without_speech} no speech"
        )


class _Chunk:
    """Answers the walk through one chunk (:mod:`model.duplex.protocol.grammar`) for the network."""

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
        profile = network.profile
        self._biases = {Place.LISTEN: profile.shift_bias, Place.SPEAK: profile.stop_bias}
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
        """Rows (n, hidden) to compute with the next chunk."""
        return torch.cat(self._rows)

    def taken(self) -> tuple[tuple[Place, int], ...]:
        """Return all places and ids. Waits for the device."""
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
            return USER_FEATURE  # the walk ignores codes, and reading one would wait for the device
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
        if bias := self._biases.get(place):
            allowed[-1] += bias  # SHIFT and BREAK are the last of their places
        by_place = {Place.LISTEN: profile.sampling.state, Place.CODE: profile.sampling.speech}
        chosen = by_place.get(place, profile.sampling.text)
        if chosen.temperature:
            settings = SamplingSettings(chosen.temperature, top_k=chosen.top_k)
            index = draw(allowed, settings, self._generator)
        else:
            index = allowed.argmax(dim=-1, keepdim=True)
        return ids[index]
