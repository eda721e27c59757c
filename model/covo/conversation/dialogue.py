"""A conversation with the network: its history, and the stream of the next reply.

The conversation is data: the exchanges that really happened, each with the ids of a turn, the
embeddings that were heard (6.25 a second, small enough to keep) and the tokens of the reply as far
as it was heard. The decoder's cache follows it (:mod:`model.covo.conversation.history`), so the
cache never holds anything else.

When the cache is full, the oldest exchanges are dropped until half of it is free. The rest has to
be computed again, so this should be rare. A reply therefore begins with room for its whole length,
unless the turn itself is too long for that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from audio_io.signal import Audio
from model.covo.batch.generation import ReplyRequest
from model.covo.conversation.answer import CODES_PER_TEXT_TOKEN, Answer, DialogueReply
from model.covo.conversation.chat_prompt import ChatPrompt, SystemPrompt
from model.covo.conversation.dialogue_parts import (
    DialoguePart,
    ReplyEnd,
    StopReason,
    TurnsDropped,
    allowed_tokens,
    dialogue_parts,
    stop_tokens,
)
from model.covo.conversation.hearing import hear_turn
from model.covo.conversation.history import CacheFollower, Exchange, Segment
from model.covo.language.decoder import Decoder
from model.covo.language.features import ENCODER_RATE
from model.covo.language.network import CovoNetwork
from model.covo.language.sampling import GREEDY, PenaltySettings, SamplingSettings
from model.covo.language.tokenizer import CovoTokenizer

_WARM_UP_TOKENS = 30

_LEAST_ROOM = 64
"""Tokens that must be free after a turn; a longer turn is refused."""


@dataclass(frozen=True, slots=True)
class DialogueSettings:
    """``sampling``: its seed is the first reply's; each later reply adds one. ``limit``: tokens of
    a reply. ``text_only``: reply without speech."""

    sampling: SamplingSettings = GREEDY
    penalties: PenaltySettings = field(default_factory=PenaltySettings)
    limit: int = 2048
    text_only: bool = False


class Dialogue:
    """The conversation of one user with the network.

    :meth:`stream`, :meth:`prepare` and :meth:`warm_up` use the decoder step by step; the newest
    call takes it over, and the reply before ends as cancelled. The rest is quick and thread-safe.
    ``speaker``: the name of the voice, None for text only.
    """

    def __init__(
        self,
        network: CovoNetwork,
        decoder: Decoder,
        tokenizer: CovoTokenizer,
        system: SystemPrompt,
        speaker: str | None,
        settings: DialogueSettings | None = None,
    ) -> None:
        self._network = network
        self._decoder = decoder
        self._tokenizer = tokenizer
        self._settings = settings or DialogueSettings()
        self._prompt = ChatPrompt(tokenizer)
        self._system_prompt = self._persona = system
        self._cache = CacheFollower(network, decoder, tokenizer.control.audio)
        # Held for one prefill or step, never across a yield: a consumer may stop.
        self._computing = threading.Lock()
        self._running: DialogueReply | None = None  # whose tokens the decoder generates
        self._lock = threading.Lock()
        self._exchanges: tuple[Exchange, ...] = ()
        self._pace = CODES_PER_TEXT_TOKEN
        self._begun = 0
        # Turns dropped but not yet reported; a discarded speculation may have carried the report.
        self._dropped = 0
        self._speaker = speaker
        self._renew_system()
        text_only = self._settings.text_only
        self._stop = stop_tokens(tokenizer, text_only=text_only)
        allowed = allowed_tokens(tokenizer, network.config.backbone.vocabulary, text_only=text_only)
        self._allowed = allowed.to(network.device)

    @property
    def device(self) -> torch.device:
        """Return the device that computes."""
        return self._network.device

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Return the conversation as the network remembers it."""
        with self._lock:
            return self._exchanges

    def set_speaker(self, speaker: str) -> None:
        """Speak as ``speaker`` from the next reply on. The system prompt names the speaker, so the
        whole conversation has to be computed again."""
        self._speaker = speaker
        self._renew_system()

    def set_persona(self, persona: str) -> None:
        """Be who ``persona`` describes; empty: who it was at first."""
        self._persona = replace(self._system_prompt, persona=persona or self._system_prompt.persona)
        self._renew_system()

    def start_over(self) -> None:
        """Forget the conversation."""
        self.set_persona("")
        with self._lock:
            self._exchanges, self._dropped, self._begun = (), 0, 0
            self._pace = CODES_PER_TEXT_TOKEN

    def begin(self, audio: Audio | None = None, text: str = "") -> DialogueReply:
        """Return a reply to ``audio``, ``text`` or both, to be computed by :meth:`stream`."""
        with self._lock:
            seed = self._settings.sampling.seed + self._begun
            self._begun += 1
            return DialogueReply(audio, text, Answer(self._tokenizer, self._pace), seed)

    def stream(self, reply: DialogueReply, cancelled: Callable[[], bool]) -> Iterator[DialoguePart]:
        """Compute ``reply`` after the conversation and yield its parts; the last is a ReplyEnd.

        It stops within one step of ``cancelled()`` becoming true. The conversation changes only
        with :meth:`settle`. Raises: NetworkInputError when the turn cannot be heard or answered.
        """
        try:
            yield from self._stream(reply, cancelled)
        finally:
            reply.over = True

    def ask(self, reply: DialogueReply) -> ReplyRequest:
        """Bring the decoder to the turn of ``reply`` and return what to generate behind it.

        The caller generates it, and gives it to :meth:`take`.

        Raises: NetworkInputError when the turn cannot be heard or answered.
        """
        with self._computing:
            self._running = reply
            return self._follow(reply, self._hear(reply))[1]

    def take(self, reply: DialogueReply, tokens: Sequence[int]) -> None:
        """Add the ``tokens`` that were generated to ``reply``, which is over with them."""
        with self._computing:
            for token in tokens:
                self._cache.note(token)
                if token in self._stop:
                    reply.answer.complete = True
                else:
                    reply.answer.add(token)
            reply.over = True

    def settle(
        self,
        number: int,
        reply: DialogueReply,
        codes: int | None = None,
        text: str | None = None,
    ) -> None:
        """Add ``reply`` to the conversation, cut back to its first speech ``codes`` and to
        ``text``, the heard beginning of its text (None: whole). Parts computed later are ignored;
        a turn that was not heard yet is not remembered. The last reply may be cut again."""
        reply.over = True
        if reply.turn is None:
            return
        tokens = (*reply.answer.cut(codes, text), self._prompt.end_of_reply)
        exchange = Exchange(reply.turn, tokens, number)
        with self._lock:
            if reply.remembered:
                kept = [exchange if old.number == number else old for old in self._exchanges]
                self._exchanges = tuple(kept)
                return
            reply.remembered = True
            self._exchanges = (*self._exchanges, exchange)
            self._dropped -= reply.dropped
            self._pace = reply.answer.pace

    def remember(self, number: int, user: str, assistant: str) -> None:
        """Add an exchange of text to the conversation."""
        said = (*self._tokenizer.encode(assistant), self._prompt.end_of_reply)
        turn = Segment(self._prompt.turn(text=user))
        with self._lock:
            self._exchanges = (*self._exchanges, Exchange(turn, said, number))

    def forget(self, number: int) -> None:
        """Remove exchange ``number`` from the conversation."""
        with self._lock:
            self._exchanges = tuple(old for old in self._exchanges if old.number != number)

    def prepare(self) -> None:
        """Compute what the cache lacks of the conversation, to spare the next reply the time. Does
        nothing while that reply is being computed, or if the conversation no longer fits; the next
        reply then drops its oldest turns."""
        with self._computing:
            if self._running is not None and not self._running.over:
                return
            self._running = None
            segments = self._segments(self.exchanges)
            if sum(len(segment.ids) for segment in segments) <= self._decoder.capacity:
                self._cache.follow(segments)

    def warm_up(self, progress: Callable[[str], None] = lambda stage: None) -> None:
        """Run everything once, on the thread that will decode: hear near-silence, and answer."""
        self._decoder.warm_up(lambda done, total: progress(f"warming up: {done} of {total}"))
        settings = self._settings
        self._settings = replace(settings, limit=_WARM_UP_TOKENS)
        try:
            quiet = np.full(ENCODER_RATE, 1e-4, np.float32)
            list(self.stream(DialogueReply(quiet, "", Answer(self._tokenizer), 0), lambda: False))
        finally:
            self._settings = settings
        self.prepare()

    def _stream(
        self, reply: DialogueReply, cancelled: Callable[[], bool]
    ) -> Iterator[DialoguePart]:
        answer, called = reply.answer, time.perf_counter()
        with self._computing:
            self._running = reply
            turn = self._hear(reply)
            heard = time.perf_counter()
            if stopped := cancelled():
                end = ReplyEnd(StopReason.CANCELLED, len(turn.ids), hearing=heard - called)
            else:
                computed, request = self._follow(reply, turn)
                first = prefilled = time.perf_counter()
                tokens = self._decoder.generate(
                    request.counted,
                    stop=request.stop,
                    limit=request.limit,
                    penalties=request.penalties,
                    sampling=request.sampling,
                    allowed=request.allowed,
                )
        if stopped:
            yield end
            return
        if reply.dropped:
            yield TurnsDropped(reply.dropped)
        whole = request.limit == self._settings.limit
        reason = StopReason.LIMIT if whole else StopReason.CONTEXT

        def said() -> Iterator[int]:
            nonlocal first, reason
            for token in self._steps(reply, tokens):
                if first == prefilled:
                    first = time.perf_counter()
                if token is not None and token in self._stop:
                    reason, answer.complete = StopReason.END, True
                    return
                if token is None or cancelled():
                    reason = StopReason.CANCELLED
                    return
                answer.add(token)
                yield token

        yield from dialogue_parts(said(), self._tokenizer)
        yield ReplyEnd(
            reason,
            prompt=len(turn.ids),
            computed=computed,
            text=answer.text_tokens,
            codes=answer.codes,
            hearing=heard - called,
            prefill=prefilled - heard,
            first=first - prefilled,
            whole=time.perf_counter() - called,
        )

    def _follow(self, reply: DialogueReply, turn: Segment) -> tuple[int, ReplyRequest]:
        """Let the cache follow the conversation up to ``turn``; return the number of positions that
        were computed, and what to generate behind them."""
        exchanges = self._fit(turn)
        reply.dropped = self._dropped
        segments = [*self._segments(exchanges), turn]
        computed = self._cache.follow(segments)
        ids = [index for one in ([turn] if exchanges else segments) for index in one.ids]
        settings = self._settings
        return computed, ReplyRequest(
            torch.tensor(ids),
            self._stop,
            min(settings.limit, self._decoder.capacity - self._cache.length),
            settings.penalties,
            replace(settings.sampling, seed=reply.seed),
            self._allowed,
        )

    def _steps(self, reply: DialogueReply, tokens: Iterator[int]) -> Iterator[int | None]:
        """Yield the ``tokens`` of ``reply``; None once another call took the decoder."""
        while True:
            with self._computing:
                if self._running is not reply:
                    token = None
                elif (token := next(tokens, None)) is not None:
                    self._cache.note(token)
                else:
                    return
            yield token

    def _hear(self, reply: DialogueReply) -> Segment:
        if reply.turn is None:
            room = self._decoder.capacity - len(self._system.ids) - _LEAST_ROOM
            reply.turn = hear_turn(self._network, self._prompt, reply, room)
        return reply.turn

    def _fit(self, turn: Segment) -> tuple[Exchange, ...]:
        """Drop the exchanges that do not fit beside ``turn`` and its reply; return the others."""
        with self._lock:
            kept = self._exchanges
            fixed = len(self._system.ids) + len(turn.ids)
            room = self._decoder.capacity - min(self._settings.limit, self._decoder.capacity // 4)
            if fixed + _length(kept) > room:
                while kept and fixed + _length(kept) > max(fixed, room // 2):
                    kept = kept[1:]
            self._dropped += len(self._exchanges) - len(kept)
            self._exchanges = kept
            return kept

    def _segments(self, exchanges: Sequence[Exchange]) -> list[Segment]:
        with self._lock:
            segments = [self._system]
        for exchange in exchanges:
            segments += [exchange.turn, Segment(exchange.reply)]
        return segments

    def _renew_system(self) -> None:
        system = Segment(self._prompt.system(self._persona.text(self._speaker)))
        with self._lock:
            self._system = system


def _length(exchanges: Sequence[Exchange]) -> int:
    return sum(exchange.length for exchange in exchanges)
