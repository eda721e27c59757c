"""The chat model's prompt: who it is, how it talks, and the conversation so far."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

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

SMALL_RECENT = 3
"""For SmolLM2-135M, which imitates what it said before: told the whole conversation, it began 56 of
60 answers to unlike questions like an earlier joke, ``A: "``; told so little, none."""

_ROOM_FOR_QUESTION = 200
"""Tokens kept free for the next turn."""

CUT_OFF = "…"
"""Ends the heard part of an interrupted reply."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True)
class Prompt:
    """The constant part of the prompt: a persona, which may be empty, and example replies.

    ``began``: when the conversation did, for the model to know. ``follows_time``: a turn of a later
    minute tells the time anew. ``recent``: how many exchanges a small model is told, with the first
    sentence of each reply; None for the whole conversation. ``languages``: the only ones that the
    model writes (codes), empty where no limit is known.
    """

    persona: str = PERSONA
    examples: tuple[Message, ...] = ()
    began: datetime | None = None
    follows_time: bool = True
    recent: int | None = None
    languages: tuple[str, ...] = ()

    @property
    def system(self) -> str:
        """The system's message; empty if there is none."""
        if not self.persona:
            return ""
        return f"{self.persona} {told_time(self.began)}".strip()

    def told_of(self, history: Sequence[ChatExchange]) -> Sequence[ChatExchange]:
        """Return what the model is told of ``history``. A small one is told nothing twice, or it
        would go on saying it."""
        if self.recent is None:
            return history
        told: list[ChatExchange] = []
        for exchange in reversed(history[-self.recent :]):
            said = _SENTENCE_END.split(exchange.assistant.strip(), maxsplit=1)[0]
            if not said or all(said != later.assistant for later in told):
                told.append(replace(exchange, assistant=said, interrupted=False))
        return told[::-1]

    def on_day_of(self, at: datetime | None) -> Prompt:
        """Return the prompt of a conversation that goes on at the time ``at``: a new day is told
        anew, at the price of reading everything again."""
        if at is None or (self.began is not None and self.began.date() == at.date()):
            return self
        return replace(self, began=at)


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

    ``number``: that of the reply, or negative where the exchange was added. ``at``: when the turn
    was answered. ``rounds``: the tools that were used before the text ``assistant``.
    """

    user: str
    assistant: str
    interrupted: bool = False
    number: int = field(default=0, compare=False)
    at: datetime | None = field(default=None, compare=False)
    rounds: tuple[ToolRound, ...] = ()


def build_messages(
    prompt: Prompt,
    history: Sequence[ChatExchange],
    user: str | None = None,
    now: datetime | None = None,
) -> list[Message]:
    """Return the messages for the chat model, ending with the new turn ``user`` of the time
    ``now``.

    Without ``user``, the last message is what is known of the next turn, its time, so that a model
    can read that ahead. What was told once stays as it was, for the model's cache.

    A turn whose reply was interrupted before anything was heard is joined with the next one,
    because chat templates need alternating roles.
    """
    clock = ToldTime(prompt.began if prompt.persona else None)

    def timed(words: str, at: datetime | None) -> str:
        return clock.before(words, at) if prompt.follows_time else words

    messages = [Message("system", prompt.system)] if prompt.persona else []
    messages.extend(prompt.examples)
    unanswered = ""
    for exchange in prompt.told_of(history):
        unanswered = f"{unanswered} {timed(exchange.user, exchange.at)}".strip()
        if exchange.assistant or exchange.rounds:
            end = f" {CUT_OFF}" if exchange.interrupted else ""
            messages.append(Message("user", unanswered))
            for round_ in exchange.rounds:
                messages += round_.messages()
            said = (exchange.assistant.strip() + end).strip() or CUT_OFF
            messages.append(Message("assistant", said))
            unanswered = ""
    beginning = timed(user or "", now)
    if user is not None or beginning:
        messages.append(Message("user", f"{unanswered} {beginning}".strip()))
    return messages


class ToldTime:
    """Tells a chat model the time where it does not know it. ``told``: the time it was told so
    far, None for none."""

    def __init__(self, told: datetime | None) -> None:
        self._told = told

    def before(self, words: str, at: datetime | None) -> str:
        """Return ``words`` of the time ``at``, after that time unless it was told."""
        told = self._told
        if at is None or told_time(at) == told_time(told):
            return words
        self._told = at
        today = told is not None and told.date() == at.date()
        time = f"It is now {_clock(at)}." if today else told_time(at)
        return f"({time}) {words}".strip()


def told_time(at: datetime | None) -> str:
    """Return the sentence that tells day and time, empty for None."""
    return f"It is {at:%A}, {at.day} {at:%B %Y}, {_clock(at)}." if at else ""


def local_time() -> datetime:
    """Return the time of this place."""
    return datetime.now().astimezone()


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


def _clock(at: datetime) -> str:
    return f"{at.hour % 12 or 12}:{at.minute:02} {'AM' if at.hour < 12 else 'PM'}"
