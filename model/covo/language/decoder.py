"""The step-wise decoder: a history in a preallocated cache, and tokens generated behind it.

A history grows by :meth:`Decoder.append` and :meth:`Decoder.generate`, and is cut back by
:meth:`Decoder.rewind` or :meth:`Decoder.forget`.
Decode steps work on tensors that stay in place, so that CUDA can replay them as graphs
(:mod:`model.covo.language.stepping`). Only :meth:`Decoder.generate` waits for the device, to read
each token; the GPU is already busy with the next step by then.

Use one decoder from one thread at a time, and on one CUDA stream.

Unlike the published code (``reference_quirks=True`` restores it), the last token of a reply,
normally the end of the block, becomes part of the history. There it is never fed back, so that the
next turn follows an unfinished block.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import product

import torch
from torch import Tensor

from model.covo.language.attention import (
    Attention,
    PrefillAttention,
    StepAttention,
    flash_available,
)
from model.covo.language.backbone import run_backbone
from model.covo.language.cache import KVCache
from model.covo.language.network import CovoNetwork
from model.covo.language.sampling import GREEDY, PenaltySettings, SamplingSettings, TokenChooser
from model.covo.language.stepping import (
    StepGraphs,
    TokenRead,
    attended_length,
    attended_lengths,
)
from model.covo.memory.workspace import PREFILL_ROWS
from model.covo.products.linear import multiply
from model.errors import NetworkInputError

WARM_UP_ROWS = (2, 16, 32, 48, 128, 512, PREFILL_ROWS)
"""Prefills to run once: libraries load their kernels one by one, and each suits some lengths.
Ours for integers are compiled for 16, 32 and 64 rows."""


class Decoder:
    """A history of up to ``capacity`` tokens of ``network``, empty at first.

    ``graph``: capture decode steps as CUDA graphs; ignored on other devices. ``step_rows``: the
    most rows that are appended as a step; more are a prefill. Each number has its own graphs.
    ``cache``: the empty cache to use; None for one of its own.
    """

    def __init__(
        self,
        network: CovoNetwork,
        capacity: int,
        *,
        graph: bool = True,
        step_rows: int = 1,
        cache: KVCache | None = None,
    ) -> None:
        if capacity < 1:
            raise NetworkInputError(f"a decoder's capacity must be above 0, not {capacity}")
        config = network.config.backbone
        self.network = network
        self._device = network.device
        dtype = network.dtype
        with torch.inference_mode():
            self._cache = cache or KVCache.empty(config, capacity, self._device, dtype)
            # Inputs and output of a step.
            self._rows = torch.zeros(step_rows, config.hidden, dtype=dtype, device=self._device)
            self._offsets = torch.arange(step_rows, device=self._device)
            self._positions = torch.zeros_like(self._offsets)
            self._logits = torch.zeros(config.vocabulary, device=self._device)
        self._flash = flash_available(self._device, dtype, config.head_width)
        self._on_gpu = self._device.type == "cuda"
        self._graphs = StepGraphs(self._device) if graph and self._on_gpu else None
        self._computed = 0
        # The history's last token if it is yet to be computed, together with the next rows.
        self._pending: Tensor | None = None
        # Value of _computed when the logits were computed.
        self._logits_at = 0
        self._changes = 0

    @property
    def capacity(self) -> int:
        """Return the maximum number of tokens in the history."""
        return self._cache.capacity

    @property
    def length(self) -> int:
        """Return the number of tokens in the history, including all that were yielded."""
        return self._computed + (self._pending is not None)

    @property
    def logits(self) -> Tensor:
        """Return the logits after the history's last token: (vocabulary,), float32, on the device,
        until the next step. Raises: NetworkInputError for an empty or cut history."""
        self._compute_pending()
        self._check_logits()
        return self._logits

    def append(self, embedded: Tensor) -> None:
        """Append ``embedded`` (n, hidden) to the history, without waiting for the device.

        Raises: NetworkInputError when it does not fit; the history is left unchanged.
        """
        hidden = self.network.config.backbone.hidden
        if embedded.ndim != 2 or embedded.shape[1] != hidden or not len(embedded):
            raise NetworkInputError(
                f"embeddings must have the shape (n, {hidden}), not {tuple(embedded.shape)}"
            )
        rows = self.rows_to_compute(embedded)
        self._changes += 1
        self._advance(rows)

    @torch.inference_mode()
    def rows_to_compute(self, embedded: Tensor) -> Tensor:
        """Return ``embedded`` (n, hidden) behind what is yet to be computed of the history, for
        whoever does it and calls :meth:`note_computed`. Raises: NetworkInputError if too long."""
        self._check_room(len(embedded))
        embedded = embedded.to(self._rows)
        if self._pending is None:
            return embedded
        return torch.cat((self.network.embed_token(self._pending), embedded))

    @torch.inference_mode()
    def note_computed(self, rows: int, logits: Tensor) -> None:
        """Take in that ``rows`` more are in the cache; ``logits`` (vocabulary,) follow the last."""
        self._logits.copy_(logits)
        self._changes += 1
        self._note(rows)

    @torch.inference_mode()
    def score(self, embedded: Tensor) -> Tensor:
        """Append ``embedded`` (n, hidden) like :meth:`append`, and return the final hidden state
        behind each row (n, hidden), from which the head makes its logits.

        Raises: NetworkInputError when it does not fit.
        """
        self._compute_pending()
        self._check_room(len(embedded))
        hidden = torch.cat(list(self._passes(embedded.to(self._rows))))
        self.note_computed(len(embedded), multiply(self.network.llm.lm_head, hidden[-1:])[0])
        return hidden

    def rewind(self, length: int) -> None:
        """Cut the history back to its first ``length`` tokens. Raises: NetworkInputError when it
        has fewer."""
        if not 0 <= length <= self.length:
            raise NetworkInputError(
                f"cannot rewind to {length} tokens: the history has {self.length}"
            )
        if length < self.length:
            self._changes += 1
            self._pending = None
            self._computed = min(length, self._computed)

    @torch.inference_mode()
    def forget(self, start: int, count: int) -> None:
        """Remove ``count`` tokens from token ``start`` on. Later tokens move up without being
        computed again, so they still reflect the removed ones.

        Raises: NetworkInputError when the history has fewer.
        """
        self._compute_pending()
        if start < 0 or count < 0 or start + count > self._computed:
            raise NetworkInputError(
                f"cannot forget {count} tokens from {start} on: the history has {self.length}"
            )
        self._changes += 1
        frequencies = self.network.llm.model.rotary_emb.inv_freq
        self._cache.forget(start, count, self._computed, frequencies)
        self._logits_at -= count if self._logits_at == self._computed else 0
        self._computed -= count

    def rest(self) -> None:
        """Tell those that share passes not to wait for a step of this decoder; here nobody does."""

    @torch.inference_mode()
    def copy(self) -> Decoder:
        """Return a decoder with an equal history of its own."""
        self._compute_pending()
        other = Decoder(
            self.network,
            self.capacity,
            graph=self._graphs is not None,
            step_rows=len(self._rows),
        )
        other._cache.copy_from(self._cache)
        other._logits.copy_(self._logits)
        other._computed, other._logits_at = self._computed, self._logits_at
        return other

    def generate(
        self,
        prompt: Tensor,
        *,
        stop: Collection[int],
        limit: int = 2048,
        penalties: PenaltySettings = PenaltySettings(),  # noqa: B008  (frozen)
        sampling: SamplingSettings = GREEDY,
        allowed: Tensor | None = None,
        reference_quirks: bool = False,
    ) -> Iterator[int]:
        """Generate tokens up to and including an id of ``stop``, or ``limit`` of them.

        ``prompt``: this turn's ids (n,), appended before; the penalties count them. ``allowed``:
        bool (vocabulary,), the ids that may be chosen. Whenever the caller stops, the history
        holds exactly the tokens that were yielded; a token is yielded only if it fits.

        Raises: NetworkInputError, at once when there is nothing to continue from, later when the
        history is full or changed between two tokens.
        """
        vocabulary = self.network.config.backbone.vocabulary
        if allowed is not None:
            if allowed.shape != (vocabulary,) or not bool(allowed.any()):
                raise NetworkInputError(
                    f"allowed must be a mask of {vocabulary} ids with at least one set"
                )
            allowed = allowed.to(self._device)
        chooser = TokenChooser(
            prompt.to(self._device), vocabulary, penalties=penalties, sampling=sampling
        )
        self._check_logits()
        tokens = self._generate(chooser, stop, limit, allowed)
        return self._without_last(tokens) if reference_quirks else tokens

    @torch.inference_mode()
    def warm_up(self, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """On a GPU, run everything that is slow the first time, so that no reply waits for a
        capture. ``progress`` receives the parts done and their total.

        Raises: NetworkInputError when the history is not empty.
        """
        if self.length:
            raise NetworkInputError("warm up the decoder before anything is appended")
        if not self._on_gpu:
            return
        lengths = sorted({min(rows, self.capacity) for rows in WARM_UP_ROWS})
        rows = torch.zeros(lengths[-1], self._rows.shape[1]).to(self._rows)
        parts = [partial(self._prefill, rows[:length]) for length in lengths]
        if self._graphs is not None:
            sizes = product(range(1, len(self._rows) + 1), attended_lengths(self.capacity))
            parts += [partial(self._graphs.prepare, self._step, *size) for size in sizes]
        for done, part in enumerate(parts, start=1):
            part()
            progress(done, len(parts))

    def _generate(
        self, chooser: TokenChooser, stop: Collection[int], limit: int, allowed: Tensor | None
    ) -> Iterator[int]:
        read = TokenRead(self._device)
        for made in range(1, limit + 1):
            self._check_room(1)
            token = chooser.choose(self.logits, allowed)
            self._pending = token
            self._changes += 1
            changes = self._changes
            read.start(token)
            if self._on_gpu:
                self._compute_pending()
            value = read.finish()
            yield value
            if value in stop or made == limit:
                return
            if self._changes != changes:
                raise NetworkInputError("the history was changed while a reply was generated")

    def _without_last(self, tokens: Iterator[int]) -> Iterator[int]:
        yielded = False
        try:
            for token in tokens:
                yielded = True
                yield token
        finally:
            if yielded:
                self.rewind(self.length - 1)

    def _check_logits(self) -> None:
        if not self._computed or self._logits_at != self._computed:
            raise NetworkInputError(
                "nothing to continue: the history is empty or was cut back; append to it first"
            )

    def _check_room(self, rows: int) -> None:
        if self.length + rows > self.capacity:
            raise NetworkInputError(
                f"{rows} more tokens do not fit a history of {self.length}: the decoder's capacity "
                f"is {self.capacity}; rewind it, or use a larger decoder"
            )

    def _compute_pending(self) -> None:
        if self._pending is not None:
            self._advance(self.network.embed_token(self._pending))

    @torch.inference_mode()
    def _advance(self, rows: Tensor) -> None:
        count = len(rows)
        if count <= len(self._rows):
            self._rows[:count] = rows
            torch.add(self._offsets, self._computed, out=self._positions)
            size = count, attended_length(self._computed + count, self.capacity)
            if self._graphs is None:
                self._step(*size)
            else:
                self._graphs(self._step, *size)
        else:
            self._prefill(rows)
        self._note(count)

    def _note(self, rows: int) -> None:
        self._pending = None
        self._computed += rows
        self._logits_at = self._computed

    def _prefill(self, embedded: Tensor) -> None:
        *_, hidden = self._passes(embedded)
        self._logits.copy_(multiply(self.network.llm.lm_head, hidden[-1:])[0])

    def _passes(self, embedded: Tensor) -> Iterator[Tensor]:
        start = self._computed
        for rows in embedded.split(PREFILL_ROWS):
            positions = torch.arange(start, start + len(rows), device=self._device)
            attention = PrefillAttention(start, len(rows), self._device, flash=self._flash)
            yield self._run(rows, positions, attention)
            start += len(rows)

    @torch.inference_mode()
    def _step(self, rows: int, attended: int) -> None:
        """Compute the logits behind the first ``rows`` of ``_rows`` over ``attended`` others."""
        positions = self._positions[:rows]
        attention = StepAttention(positions, attended, flash=self._flash)
        hidden = self._run(self._rows[:rows], positions, attention)
        self._logits.copy_(multiply(self.network.llm.lm_head, hidden[-1:])[0])

    def _run(self, rows: Tensor, positions: Tensor, attention: Attention) -> Tensor:
        return run_backbone(self.network.llm.model, rows, positions, self._cache, attention)
