"""What the chat model is told: who it is, how it talks, and what was said so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.lite.chat import Message, Sampling

PERSONA = (
    "You are Covo, a friendly voice assistant. You are heard, not read: answer in one to three "
    "short spoken sentences, without lists, markdown or emoji."
)
"""For a capable model."""

SMALL_PERSONA = (
    "You are Covo, a friendly voice assistant. You answer in one to three short spoken sentences."
)
SMALL_EXAMPLES = (
    Message("user", "How many months are in a year?"),
    Message("assistant", "There are twelve months in a year."),
    Message("user", "What is a good way to relax?"),
    Message(
        "assistant",
        "Take a slow walk outside, or listen to some calm music. Even ten minutes can help.",
    ),
    Message("user", "How does a bicycle work?"),
    Message(
        "assistant",
        "When you push the pedals, a chain turns the back wheel. The wheel rolls forward, and the "
        "bicycle moves with it.",
    ),
)
SMALL_SAMPLING = Sampling(temperature=0.0, repeat_penalty=1.05, dry=0.8, max_tokens=110)
"""For SmolLM2-135M. Chosen by reading its answers to 32 everyday questions: without the examples it
writes lists and lectures and gets more facts wrong; with a temperature, or without the penalties,
it wanders off or repeats itself."""

CUT_OFF = "…"
"""Ends what the assistant had said when it was interrupted."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The part of the prompt that stays: ``persona`` (may be empty) and ``examples`` of replies."""

    persona: str = PERSONA
    examples: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Exchange:
    """One turn of the user and what was heard of the answer (``interrupted``: not all of it)."""

    user: str
    assistant: str
    interrupted: bool = False


def build_messages(
    prompt: Prompt, history: Sequence[Exchange], user: str | None = None
) -> list[Message]:
    """The messages for the chat model; ``user``: what was said just now.

    A turn that was interrupted before anything was heard has no answer: it is joined with the
    user's next words, because chat templates want the roles to alternate.
    """
    messages = [Message("system", prompt.persona)] if prompt.persona else []
    messages.extend(prompt.examples)
    unanswered = ""
    for exchange in history:
        unanswered = f"{unanswered} {exchange.user}".strip()
        if exchange.assistant:
            end = f" {CUT_OFF}" if exchange.interrupted else ""
            messages.append(Message("user", unanswered))
            messages.append(Message("assistant", exchange.assistant.strip() + end))
            unanswered = ""
    if user is not None:
        messages.append(Message("user", f"{unanswered} {user}".strip()))
    return messages


def fit_history(prompt: Prompt, history: Sequence[Exchange], context: int) -> tuple[Exchange, ...]:
    """``history``, without its oldest turns when prompt and history come near ``context`` tokens.

    Then half of the room is freed at once: dropping a turn makes the model read the whole prompt
    again, so it should not happen at every turn.
    """
    kept = tuple(history)
    room = context - estimate_tokens(build_messages(prompt, ())) - _ROOM_FOR_QUESTION
    if estimate_tokens(build_messages(Prompt(""), kept)) <= room:
        return kept
    while kept and estimate_tokens(build_messages(Prompt(""), kept)) > room // 2:
        kept = kept[1:]
    return kept


def estimate_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens ``messages`` are: rather more than less."""
    return sum(len(m.content) // 3 + 8 for m in messages)


_ROOM_FOR_QUESTION = 200
