"""The parts of the network's reply, in order, and the tokens that make them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from model.covo.language.tokenizer import CovoTokenizer, TextStream

GROUP = 2
"""Most speech codes passed on together; text in between splits them. The first sound needs 8 codes
and should not wait for the rest of a larger group."""


class StopReason(StrEnum):
    """Why a reply ended."""

    END = "end"
    LIMIT = "limit"
    CANCELLED = "cancelled"
    CONTEXT = "context"


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text, in whole characters."""

    text: str


@dataclass(frozen=True, slots=True)
class SpeechCodes:
    """The next speech codes, 25 a second."""

    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TurnsDropped:
    """The oldest ``turns`` turns were dropped for lack of room since the last remembered reply."""

    turns: int


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    """The last part.

    Tokens: ``prompt`` of the turn, ``computed`` in the prefill (more than the prompt when something
    had to be computed again), ``text`` and ``codes`` of the reply.

    Seconds: ``hearing`` (encoder), ``prefill``, ``first`` token after that, and ``whole`` from the
    call to the end, the consumer's time included. On a GPU the first two only launch the work;
    whatever is left of it counts towards ``first``.
    """

    reason: StopReason
    prompt: int
    computed: int = 0
    text: int = 0
    codes: int = 0
    hearing: float = 0.0
    prefill: float = 0.0
    first: float = 0.0
    whole: float = 0.0


DialoguePart = TextDelta | SpeechCodes | TurnsDropped | ReplyEnd


def dialogue_parts(
    tokens: Iterable[int], tokenizer: CovoTokenizer
) -> Iterator[TextDelta | SpeechCodes]:
    """Turn ``tokens`` into text and groups of codes."""
    texts, group = TextStream(tokenizer), list[int]()
    for token in tokens:
        if token >= tokenizer.size:
            group.append(token - tokenizer.size)
            if len(group) < GROUP:
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


def stop_tokens(tokenizer: CovoTokenizer, *, text_only: bool) -> frozenset[int]:
    """Return the tokens that end a reply."""
    control = tokenizer.control
    return frozenset({control.block_end} | ({control.text_end} if text_only else set()))


def allowed_tokens(tokenizer: CovoTokenizer, vocabulary: int, *, text_only: bool) -> Tensor:
    """Return which tokens a reply may have, (vocabulary,) bool: text, the end and speech.

    No other control token: a placeholder would stand for audio that was never said.
    """
    allowed = torch.zeros(vocabulary, dtype=torch.bool)
    allowed[torch.tensor(tokenizer.text_ids)] = True
    allowed[torch.tensor(sorted(stop_tokens(tokenizer, text_only=text_only)))] = True
    allowed[tokenizer.size :] = not text_only
    return allowed
