"""The half-duplex network as a teacher: it answers conversations in its own format.

It hears each turn clean and unbroken, which its student will not, and remembers a reply that is
interrupted as far as it was heard. Several conversations share each pass of the network. What is
kept of one is computed by passes of its own, so a conversation has the same opinions in any company
in which it has the same tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from audio_io.signal import Audio
from model.covo.batch.batch import DecoderBatch
from model.covo.batch.generation import ReplyRequest, run_talks
from model.covo.conversation.chat_prompt import ChatPrompt, SystemPrompt
from model.covo.conversation.dialogue import Dialogue, DialogueSettings
from model.covo.conversation.dialogue_parts import allowed_tokens, stop_tokens
from model.covo.language.decoder import Decoder
from model.covo.language.features import ENCODER_RATE, turn_features
from model.covo.language.network import CovoNetwork
from model.covo.language.sampling import SamplingSettings
from model.covo.language.tokenizer import CovoTokenizer
from model.covo.products.linear import multiply

_SCORED_ROWS = 64
"""Rows of logits that are held at once."""


@dataclass(frozen=True, slots=True)
class TeacherReply:
    """A reply: its ``tokens`` as they came, of these the ``text`` ids and the ``codes``, and
    whether the network ended it itself.

    ``likely``: for each text token, the most likely text ids with natural log-probabilities, best
    first, as the network gives them without penalties or temperature.
    """

    tokens: tuple[int, ...]
    text: tuple[int, ...]
    codes: tuple[int, ...]
    complete: bool
    likely: tuple[tuple[tuple[int, float], ...], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class TeacherSettings:
    """``limit``: tokens of a reply; ``likely``: how many ids to note for each text token."""

    speaker: str
    temperature: float
    top_k: int
    limit: int
    likely: int


@dataclass(frozen=True, slots=True)
class AskedConversation:
    """What a user says to the teacher.

    Args:
        turns: (samples,) each, float32 mono 16 kHz.
        seed: of the first reply; each later one adds 1.
        heard: tells of the reply to turn number n how many of its codes were heard, None for all.
    """

    turns: Sequence[Audio] = field(repr=False)
    seed: int
    heard: Callable[[int, TeacherReply], int | None]


class Teacher:
    """Answers with ``network``, whose histories are in ``batch``, as ``system`` says."""

    def __init__(
        self,
        network: CovoNetwork,
        batch: DecoderBatch,
        tokenizer: CovoTokenizer,
        system: SystemPrompt,
        settings: TeacherSettings,
    ) -> None:
        self._network = network
        self._batch = batch
        self._tokenizer = tokenizer
        self._system = system
        self._settings = settings
        self._text = torch.tensor(tokenizer.text_ids, device=network.device)

    def answer(
        self,
        conversations: Iterable[AskedConversation],
        usable: Callable[[TeacherReply], bool] = lambda reply: True,
    ) -> Iterator[tuple[int, tuple[TeacherReply, ...]]]:
        """Answer ``conversations``, as many at a time as the batch holds. Yield the number of each
        that is over, and the replies to its turns up to the first that is not ``usable``.

        A conversation is taken from the iterable when there is room for it. Raises:
        NetworkInputError when a turn cannot be heard or answered.
        """

        def talk(
            asked: AskedConversation, decoder: Decoder
        ) -> Generator[ReplyRequest, tuple[int, ...], tuple[TeacherReply, ...]]:
            replies: list[TeacherReply] = []
            dialogue = self._dialogue(decoder, asked.seed)
            for number, audio in enumerate(asked.turns):
                reply = dialogue.begin(audio)
                request = dialogue.ask(reply)
                begin = decoder.length
                dialogue.take(reply, (yield request))
                tokens, size = reply.answer.cut(), self._tokenizer.size
                decoder.rewind(begin - 1)
                made = TeacherReply(
                    tokens=tokens,
                    text=tuple(token for token in tokens if token < size),
                    codes=tuple(token - size for token in tokens if token >= size),
                    complete=reply.answer.complete,
                    likely=tuple(self._likely(decoder, int(request.counted[-1]), tokens)),
                )
                replies.append(made)
                if not usable(made):
                    break
                dialogue.settle(number, reply, asked.heard(number, made))
            return tuple(replies)

        talks = (partial(talk, asked) for asked in conversations)
        return run_talks(self._network, self._batch, talks)

    def write_turns(
        self, seeds: Iterable[int], temperature: float, top_k: int, limit: int
    ) -> Iterator[tuple[int, str | None]]:
        """Write what a user may say, once for each of ``seeds``; yield the number and the text as
        they are done, None for one without an end within ``limit`` tokens."""
        network, tokenizer = self._network, self._tokenizer
        format = ChatPrompt(tokenizer)
        ids = torch.tensor((*format.system(self._system.text(None)), *format.opening()))
        stop = stop_tokens(tokenizer, text_only=True)
        vocabulary = network.config.backbone.vocabulary
        allowed = allowed_tokens(tokenizer, vocabulary, text_only=True)

        def talk(
            seed: int, decoder: Decoder
        ) -> Generator[ReplyRequest, tuple[int, ...], str | None]:
            decoder.append(network.embed(ids))
            sampling = SamplingSettings(temperature, top_k=top_k, seed=seed)
            request = ReplyRequest(ids[:0], stop, limit, sampling=sampling, allowed=allowed)
            tokens = yield request
            return tokenizer.decode(tokens) if tokens[-1] in stop else None

        return run_talks(network, self._batch, (partial(talk, seed) for seed in seeds))

    def _dialogue(self, decoder: Decoder, seed: int) -> Dialogue:
        settings = self._settings
        sampling = SamplingSettings(settings.temperature, top_k=settings.top_k, seed=seed)
        return Dialogue(
            self._network,
            decoder,
            self._tokenizer,
            self._system,
            settings.speaker,
            DialogueSettings(sampling=sampling, limit=settings.limit),
        )

    @torch.inference_mode()
    def log_probabilities(self, audio: Audio, replies: Sequence[Sequence[int]]) -> list[float]:
        """Return the natural log-probability of the text in each of ``replies``, tokens in the
        teacher's own format, to the turn ``audio`` at the beginning of a conversation.

        Raises: NetworkInputError when the turn cannot be heard, or a reply does not fit.
        """
        network, decoder = self._network, self._batch.decoders[0]
        turn = turn_features(
            torch.from_numpy(audio),
            ENCODER_RATE,
            mels=network.config.encoder.mels,
            device=network.device,
        )
        format = ChatPrompt(self._tokenizer)
        system = format.system(self._system.text(self._settings.speaker))
        ids = (*system, *format.turn(rows=turn.placeholders))
        decoder.rewind(0)
        decoder.append(network.embed(torch.tensor(ids[:-1]), network.hear(turn)))
        begin = decoder.length
        found = []
        for tokens in replies:
            decoder.rewind(begin)
            total = 0.0
            for rows, chosen in self._text_rows(decoder, ids[-1], tokens):
                column = torch.searchsorted(self._text, chosen)
                total += float(self._logs(rows).gather(1, column[:, None]).sum())
            found.append(total)
        return found

    def _likely(
        self, decoder: Decoder, before: int, tokens: Sequence[int]
    ) -> Iterator[tuple[tuple[int, float], ...]]:
        """Read the reply's ``tokens`` once more behind the token ``before``."""
        for rows, _ in self._text_rows(decoder, before, tokens):
            yield from self._best(rows)

    def _text_rows(
        self, decoder: Decoder, before: int, tokens: Sequence[int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Read ``tokens`` behind ``before``; yield hidden states (n, hidden) and the text tokens
        (n,) that follow them, a few at a time."""
        read = torch.tensor(tokens, dtype=torch.long, device=self._text.device)
        places = (read < self._tokenizer.size).nonzero()[:, 0]
        if not len(places):
            return
        given = torch.tensor([before, *tokens[:-1]])
        hidden = decoder.score(self._network.embed(given))[places]
        yield from zip(hidden.split(_SCORED_ROWS), read[places].split(_SCORED_ROWS), strict=True)

    def _logs(self, hidden: Tensor) -> Tensor:
        """Return the log-probabilities (n, text ids) behind ``hidden`` (n, hidden)."""
        logits = multiply(self._network.llm.lm_head, hidden).float()[:, self._text]
        return logits.log_softmax(dim=-1)

    def _best(self, hidden: Tensor) -> Iterator[tuple[tuple[int, float], ...]]:
        count = min(self._settings.likely, len(self._text))
        logs, places = self._logs(hidden).topk(count)
        ids = self._text[places]
        for one, their in zip(ids.tolist(), logs.tolist(), strict=True):
            yield tuple((token, round(log, 3)) for token, log in zip(one, their, strict=True))
