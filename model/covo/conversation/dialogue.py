"""A conversation with the network: what was said, and the stream of the next reply.

The conversation is data: the exchanges that really happened, each the ids of a turn, the embeddings
that were heard (6.25 a second, small enough to keep), and the tokens of the reply as far as it was
heard. The decoder's cache follows it (:mod:`model.covo.conversation.context`), so that nothing can
be in the cache that is not in the conversation.

When the room is used up, the oldest exchanges go, and so many that half of the room is free again:
what stays has to be computed anew, which should be rare. A reply therefore always begins with room
for its whole length, unless the turn itself is too long for that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from model.covo.conversation.answer import CODES_PER_TEXT_TOKEN, Answer, Cut
from model.covo.conversation.chat_prompt import ChatPrompt, SystemPrompt
from model.covo.conversation.context import Context, Segment
from model.covo.conversation.exchange import Exchange, Reply, Turn
from model.covo.conversation.reply_parts import (
    ReplyEnd,
    ReplyPart,
    SpeechCodes,
    StopReason,
    TextDelta,
    TurnsDropped,
)
from model.covo.language.decoder import Decoder
from model.covo.language.features import ENCODER_RATE, turn_features
from model.covo.language.network import CovoNetwork
from model.covo.language.penalties import PenaltySettings
from model.covo.language.sampling import GREEDY, SamplingSettings
from model.covo.language.tokenizer import CovoTokenizer, TextStream
from model.covo.memory.memory_plan import USER_TOKENS_PER_SECOND
from model.errors import NetworkInputError

GROUP = 2
"""Speech codes that are handed on together at most; fewer when text comes in between. The first
sound waits for 8 codes, and must not wait for the rest of a group on top."""

_WARM_UP_TOKENS = 30

_LEAST_ROOM = 64
"""Tokens that there must be room for behind a turn, or it is too long to be answered."""


@dataclass(frozen=True, slots=True)
class DialogueSettings:
    """``sampling``: its seed is that of the first reply; each later one has the next. ``limit``:
    tokens of a reply. ``text_only``: the network only writes."""

    sampling: SamplingSettings = GREEDY
    penalties: PenaltySettings = field(default_factory=PenaltySettings)
    limit: int = 2048
    text_only: bool = False


class Dialogue:
    """The conversation of one user with the network.

    :meth:`stream` and :meth:`prepare` compute and wait for each other; the rest is quick and safe
    from any thread at any time. ``speaker``: what the voice is called; None: text only.
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
        self._system_prompt = system
        self._context = Context(network, decoder, tokenizer.control.audio)
        self._computing = threading.Lock()
        self._lock = threading.Lock()
        self._exchanges: tuple[Exchange, ...] = ()
        self._pace = CODES_PER_TEXT_TOKEN
        self._begun = 0
        self._dropped = 0  # turns, and nobody was told yet: who was told may have been thrown away
        self._system = self._system_segment(speaker)
        self._stop = self._stop_tokens()
        self._allowed = self._allowed_tokens()

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """What was said, as the network remembers it."""
        with self._lock:
            return self._exchanges

    def set_speaker(self, speaker: str) -> None:
        """The next reply is spoken by ``speaker``. The system prompt names the speaker, and
        everything follows the system prompt: the whole conversation is computed again."""
        system = self._system_segment(speaker)
        with self._lock:
            self._system = system

    def begin(self, turn: Turn) -> Reply:
        """A reply to ``turn``, not computed yet; for :meth:`stream`."""
        with self._lock:
            seed = self._settings.sampling.seed + self._begun
            self._begun += 1
            return Reply(turn, Answer(self._tokenizer, self._pace), seed)

    def stream(self, reply: Reply, cancelled: Callable[[], bool]) -> Iterator[ReplyPart]:
        """Compute ``reply`` behind the conversation, part by part; the last is a ReplyEnd.

        It stops within one step of ``cancelled()`` becoming true. The conversation stays as it is
        until :meth:`remember`. Raises: NetworkInputError when the turn cannot be heard or answered.
        """
        with self._computing:
            yield from self._stream(reply, cancelled)

    def remember(self, reply: Reply, heard_codes: int | None = None) -> Cut:
        """``reply`` is part of the conversation now, cut back to its first ``heard_codes`` speech
        codes (None: all of it). Safe while it is still being computed: what comes later is
        ignored. Of a turn that was not heard yet, nothing is remembered."""
        if reply.turn.segment is None:
            return Cut((), "", "")
        cut = reply.answer.cut(heard_codes)
        tokens = (*cut.tokens, self._prompt.end_of_reply)
        with self._lock:
            self._exchanges = (*self._exchanges, Exchange(reply.turn.segment, tokens))
            self._dropped -= reply.dropped
            self._pace = reply.answer.pace
        return cut

    def prepare(self) -> None:
        """Compute what the conversation lacks in the cache, so that the next reply need not. One
        that does not fit any more is left to the next reply, which forgets its oldest turns."""
        with self._computing:
            segments = self._segments(self.exchanges)
            if sum(len(segment.ids) for segment in segments) <= self._decoder.capacity:
                self._context.hold(segments)

    def warm_up(self) -> None:
        """Run everything once: a second of silence is heard and answered with a few tokens."""
        settings = self._settings
        self._settings = replace(settings, limit=_WARM_UP_TOKENS)
        try:
            quiet = np.full(ENCODER_RATE, 1e-4, np.float32)
            for _ in self.stream(Reply(Turn(quiet), Answer(self._tokenizer), 0), lambda: False):
                pass
        finally:
            self._settings = settings
        self.prepare()

    def _stream(self, reply: Reply, cancelled: Callable[[], bool]) -> Iterator[ReplyPart]:
        settings, answer = self._settings, reply.answer
        called = time.perf_counter()
        turn = reply.turn.segment = self._hear(reply.turn)
        heard = time.perf_counter()
        if cancelled():
            yield ReplyEnd(StopReason.CANCELLED, len(turn.ids), hearing=heard - called)
            return
        exchanges = self._fit(turn)
        reply.dropped = self._dropped
        if reply.dropped:
            yield TurnsDropped(reply.dropped)
        segments = [*self._segments(exchanges), turn]
        computed = self._context.hold(segments)
        prefilled = time.perf_counter()
        first = prefilled
        room = self._decoder.capacity - self._context.length
        limit = min(settings.limit, room)
        reason = StopReason.LIMIT if limit == settings.limit else StopReason.CONTEXT
        texts, group = TextStream(self._tokenizer), list[int]()
        for token in self._generate(reply, segments if not exchanges else [turn], limit):
            if first == prefilled:
                first = time.perf_counter()
            self._context.note(token)
            if token in self._stop:
                reason, answer.complete = StopReason.END, True
                break
            if cancelled():
                reason = StopReason.CANCELLED
                break
            answer.add(token)
            if token >= self._tokenizer.size:
                group.append(token - self._tokenizer.size)
                if len(group) == GROUP:
                    yield SpeechCodes(tuple(group))
                    group.clear()
                continue
            if group:
                yield SpeechCodes(tuple(group))
                group.clear()
            if text := texts.step(token):
                yield TextDelta(text)
        if group:
            yield SpeechCodes(tuple(group))
        if text := texts.end():
            yield TextDelta(text)
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

    def _hear(self, turn: Turn) -> Segment:
        if turn.segment is not None:
            return turn.segment
        if turn.audio is None:
            return self._checked(Segment(self._prompt.turn(text=turn.text)))
        if turn.audio.size and not turn.audio.any():
            raise NetworkInputError("the turn is empty: every sample of it is 0")
        seconds = len(turn.audio) / ENCODER_RATE
        if seconds * USER_TOKENS_PER_SECOND > self._room:  # before the encoder is kept busy
            raise NetworkInputError(
                f"the turn is too long: {seconds:.0f} s, and the network has room for "
                f"{self._room / USER_TOKENS_PER_SECOND:.0f} s; say it in parts, or raise "
                "covo.context_minutes"
            )
        features = turn_features(
            torch.from_numpy(turn.audio),
            ENCODER_RATE,
            mels=self._network.config.encoder.mels,
            device=self._network.device,
        )
        ids = self._prompt.turn(rows=features.placeholders, text=turn.text)
        return self._checked(Segment(ids, self._network.hear(features)))

    @property
    def _room(self) -> int:
        """Tokens that a turn may have."""
        return self._decoder.capacity - len(self._system.ids) - _LEAST_ROOM

    def _checked(self, turn: Segment) -> Segment:
        if len(turn.ids) > self._room:
            raise NetworkInputError(
                f"the turn is too long: {len(turn.ids)} tokens, and there is room for "
                f"{self._room}; say it in parts, or raise covo.context_minutes"
            )
        return turn

    def _fit(self, turn: Segment) -> tuple[Exchange, ...]:
        """The exchanges that there is room for together with ``turn`` and its reply; the others are
        dropped."""
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

    def _generate(self, reply: Reply, prompt: Sequence[Segment], limit: int) -> Iterator[int]:
        ids = [index for segment in prompt for index in segment.ids]
        return self._decoder.generate(
            torch.tensor(ids),
            stop=self._stop,
            limit=limit,
            penalties=self._settings.penalties,
            sampling=replace(self._settings.sampling, seed=reply.seed),
            allowed=self._allowed,
        )

    def _system_segment(self, speaker: str | None) -> Segment:
        return Segment(self._prompt.system(self._system_prompt.text(speaker)))

    def _stop_tokens(self) -> frozenset[int]:
        control = self._tokenizer.control
        ends = {control.block_end}
        return frozenset(ends | {control.text_end} if self._settings.text_only else ends)

    def _allowed_tokens(self) -> Tensor:
        """Text, the end, and speech: no other control token may come out, above all no placeholder
        of audio that nobody has said."""
        allowed = torch.zeros(self._network.config.backbone.vocabulary, dtype=torch.bool)
        allowed[torch.tensor(self._tokenizer.text_ids)] = True
        allowed[torch.tensor(sorted(self._stop))] = True
        allowed[self._tokenizer.size :] = not self._settings.text_only
        return allowed.to(self._network.device)


def _length(exchanges: Sequence[Exchange]) -> int:
    return sum(exchange.length for exchange in exchanges)
