"""The half-duplex network as a teacher: it answers conversations in its own format.

It hears each turn clean and unbroken, which its student will not, and remembers a reply that is
interrupted as far as it was heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from audio_io.signal import Audio
from model.covo.conversation.chat_prompt import ChatPrompt, SystemPrompt
from model.covo.conversation.dialogue import Dialogue, DialogueSettings
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


class Teacher:
    """Answers with ``network``, whose history is in ``decoder``, as ``system`` says."""

    def __init__(
        self,
        network: CovoNetwork,
        decoder: Decoder,
        tokenizer: CovoTokenizer,
        system: SystemPrompt,
        settings: TeacherSettings,
    ) -> None:
        self._network = network
        self._decoder = decoder
        self._tokenizer = tokenizer
        self._system = system
        self._settings = settings
        self._text = torch.tensor(tokenizer.text_ids, device=network.device)

    def converse(
        self,
        turns: Sequence[Audio],
        seed: int,
        heard: Callable[[int, TeacherReply], int | None],
    ) -> Iterator[TeacherReply]:
        """Yield the reply to each of ``turns`` (samples,), float32 mono 16 kHz.

        ``heard`` tells of the reply to turn number n how many of its codes were heard, None for
        all. Raises: NetworkInputError when a turn cannot be heard or answered.
        """
        settings = self._settings
        sampling = SamplingSettings(settings.temperature, top_k=settings.top_k, seed=seed)
        dialogue = Dialogue(
            self._network,
            self._decoder,
            self._tokenizer,
            self._system,
            settings.speaker,
            DialogueSettings(sampling=sampling, limit=settings.limit),
        )
        for number, audio in enumerate(turns):
            reply = dialogue.begin(audio)
            for _ in dialogue.stream(reply, lambda: False):
                pass
            tokens, size = reply.answer.cut(), self._tokenizer.size
            turn = reply.turn.ids if reply.turn is not None else ()
            made = TeacherReply(
                tokens=tokens,
                text=tuple(token for token in tokens if token < size),
                codes=tuple(token - size for token in tokens if token >= size),
                complete=reply.answer.complete,
                likely=self._likely(turn[-1:], tokens, ended=reply.answer.complete),
            )
            yield made
            dialogue.remember(number, reply, heard(number, made))

    @torch.inference_mode()
    def log_probabilities(self, audio: Audio, replies: Sequence[Sequence[int]]) -> list[float]:
        """Return the natural log-probability of the text in each of ``replies``, tokens in the
        teacher's own format, to the turn ``audio`` at the beginning of a conversation.

        Raises: NetworkInputError when the turn cannot be heard, or a reply does not fit.
        """
        network, decoder = self._network, self._decoder
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
            for rows, chosen in self._text_rows(ids[-1:], tokens):
                column = torch.searchsorted(self._text, chosen)
                total += float(self._logs(rows).gather(1, column[:, None]).sum())
            found.append(total)
        return found

    @torch.inference_mode()
    def _likely(
        self, before: Sequence[int], tokens: Sequence[int], *, ended: bool
    ) -> tuple[tuple[tuple[int, float], ...], ...]:
        """Read the reply's ``tokens`` once more; ``before``: the last token in front of them."""
        decoder = self._decoder
        decoder.rewind(decoder.length - len(tokens) - ended - len(before))
        found: list[tuple[tuple[int, float], ...]] = []
        for rows, _ in self._text_rows(before, tokens):
            found += self._best(rows)
        return tuple(found)

    def _text_rows(
        self, before: Sequence[int], tokens: Sequence[int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Read ``tokens`` behind ``before``; yield hidden states (n, hidden) and the text tokens
        (n,) that follow them, a few at a time."""
        read = torch.tensor(tokens, dtype=torch.long, device=self._text.device)
        places = (read < self._tokenizer.size).nonzero()[:, 0]
        if not len(places):
            return
        given = torch.tensor([*before, *tokens[:-1]])
        hidden = self._decoder.score(self._network.embed(given))[places]
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
