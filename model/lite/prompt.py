"""The chat model's prompt: who it is, how it talks, and the conversation so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from model.lite.chat import ChatSampling, Message
from model.tools.tool import ToolCall

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
SMALL_SAMPLING = ChatSampling(temperature=0.0, repeat_penalty=1.05, dry=0.8, max_tokens=110)
"""For SmolLM2-135M, chosen by reading its answers to 32 everyday questions: without the examples it
writes lists and gets more facts wrong; with a temperature, or without the penalties, it wanders off
or repeats itself."""

_ROOM_FOR_QUESTION = 200
"""Tokens kept free for the next turn."""

CUT_OFF = "…"
"""Ends the heard part of an interrupted reply."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The constant part of the prompt: a persona, which may be empty, and example replies."""

    persona: str = PERSONA
    examples: tuple[Message, ...] = ()


NO_RESULT = "cancelled by the user; it may have taken effect"
"""What the model is told of a call whose result was not waited for."""


@dataclass(frozen=True, slots=True)
class ToolRound:
    """Tools that a reply used after it had ``said`` something: the ``calls``, and the ``results``
    of the first of them."""

    said: str
    calls: tuple[ToolCall, ...]
    results: tuple[str, ...] = ()

    def messages(self) -> list[Message]:
        """Return the calls and a result of each, as the chat protocol wants them."""
        missing = (NO_RESULT,) * (len(self.calls) - len(self.results))
        results = zip(self.calls, self.results + missing, strict=True)
        return [
            Message("assistant", self.said.strip(), calls=self.calls),
            *(Message("tool", result, call=call.id) for call, result in results),
        ]


@dataclass(frozen=True, slots=True)
class ChatExchange:
    """A turn and the heard part of its reply; ``interrupted``: that is not all of it.

    ``number``: that of the reply, or negative where the exchange was added. ``rounds``: the tools
    that were used before the text ``assistant``.
    """

    user: str
    assistant: str
    interrupted: bool = False
    number: int = field(default=0, compare=False)
    rounds: tuple[ToolRound, ...] = ()


def build_messages(
    prompt: Prompt, history: Sequence[ChatExchange], user: str | None = None
) -> list[Message]:
    """Return the messages for the chat model, ending with the new turn ``user``.

    A turn whose reply was interrupted before anything was heard is joined with the next one,
    because chat templates need alternating roles.
    """
    messages = [Message("system", prompt.persona)] if prompt.persona else []
    messages.extend(prompt.examples)
    unanswered = ""
    for exchange in history:
        unanswered = f"{unanswered} {exchange.user}".strip()
        if exchange.assistant or exchange.rounds:
            end = f" {CUT_OFF}" if exchange.interrupted else ""
            messages.append(Message("user", unanswered))
            for round_ in exchange.rounds:
                messages += round_.messages()
            said = (exchange.assistant.strip() + end).strip() or CUT_OFF
            messages.append(Message("assistant", said))
            unanswered = ""
    if user is not None:
        messages.append(Message("user", f"{unanswered} {user}".strip()))
    return messages


def fit_history(
    prompt: Prompt, history: Sequence[ChatExchange], context: int
) -> tuple[ChatExchange, ...]:
    """Return ``history``, without its oldest turns once the prompt nears ``context`` tokens.

    Half of the room is freed at once, because the model then rereads the whole prompt.
    """
    kept = tuple(history)
    room = context - estimate_tokens(build_messages(prompt, ())) - _ROOM_FOR_QUESTION
    if estimate_tokens(build_messages(Prompt(""), kept)) <= room:
        return kept
    while kept and estimate_tokens(build_messages(Prompt(""), kept)) > room // 2:
        kept = kept[1:]
    return kept


def estimate_tokens(messages: Sequence[Message]) -> int:
    """Estimate the tokens of ``messages``, rather too many than too few."""
    calls = [call for message in messages for call in message.calls]
    called = sum((len(call.name) + len(call.arguments)) // 3 + 8 for call in calls)
    return called + sum(len(m.content) // 3 + 8 for m in messages)
