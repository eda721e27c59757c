"""What a chat endpoint understands, learnt from its refusals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from model.lite.chat import Message
from model.lite.prompt import estimate_tokens

_NOT_THINKING: dict[str, object] = {
    "chat_template_kwargs": {"enable_thinking": False},  # vLLM, llama.cpp, SGLang
    "reasoning_effort": "none",  # Ollama, OpenAI
}
_WHATEVER_IS_ASKED = (401, 403, 429)
"""Refusals that no other request would change."""
_UNEXPLAINED = (400, 422, 500)
_SHORTER = 0.7
"""Share of a prompt that was too long which is tried next."""

_TOO_LONG = re.compile(
    r"context (?:length|size|window)|context_length|n_ctx|"
    r"maximum (?:context|prompt|input|sequence)|"
    r"(?:prompt|input|conversation|request|messages?)\b.{0,60}\b(?:too long|too large|exceed)|"
    r"too many (?:input |prompt )?tokens|exceeds? .{0,60}\b(?:context|tokens)|"
    r"(?:reduce|shorten) the (?:length|prompt|messages|input)"
)
_SYSTEM_ROLE = re.compile(
    r"system (?:role|message|prompt|instruction)|developer instruction|\brole\b.{0,60}\bsystem\b|"
    r"roles? must alternate|\buser\b.{0,6}(?:and|or|/).{0,6}\bassistant\b"
)
_STREAM = re.compile(r"\bstream(?:ing|ed)?\b")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to ask one endpoint. ``context``: longest prompt, in estimated tokens.

    ``limit``: the parameter for the longest reply, or "". ``options``: of the parameters that turn
    thinking off, those that it takes.
    """

    context: int
    limit: str = "max_tokens"
    options: tuple[str, ...] = tuple(_NOT_THINKING)
    system_role: bool = True
    streams: bool = True

    def request(self, model: str, messages: Sequence[Message], max_tokens: int) -> dict[str, Any]:
        """Return the body of a request."""
        sent = self._addressed(cut_to(messages, self.context))
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": m.role, "content": self._content(m)} for m in sent],
            "stream": self.streams,
        }
        if self.limit:
            body[self.limit] = max_tokens
        return body | {name: _NOT_THINKING[name] for name in self.options}

    def after(self, status: int, refusal: str, messages: Sequence[Message]) -> Dialect | None:
        """Return how to ask after a ``refusal`` of ``messages``, None if nothing would help."""
        if status in _WHATEVER_IS_ASKED:
            return None
        return next(self._changes(status, refusal.lower(), messages), None)

    def _changes(self, status: int, text: str, messages: Sequence[Message]) -> Iterator[Dialect]:
        if self.limit == "max_tokens" and "max_completion_tokens" in text:
            yield replace(self, limit="max_completion_tokens")
        if named := [name for name in self.options if name in text]:
            yield replace(self, options=tuple(o for o in self.options if o not in named))
        if _TOO_LONG.search(text) and (shorter := self.shorter(messages)):
            yield shorter
        has_system = any(message.role == "system" for message in messages)
        if self.system_role and has_system and _SYSTEM_ROLE.search(text):
            yield replace(self, system_role=False)
        if self.limit and self.limit in text:
            yield replace(self, limit="")
        if self.streams and _STREAM.search(text):
            yield replace(self, streams=False)
        if self.options and status in _UNEXPLAINED:
            yield replace(self, options=())

    def shorter(self, messages: Sequence[Message]) -> Dialect | None:
        """Return the dialect for a context that ``messages`` filled, None if nothing can go."""
        sent = cut_to(messages, self.context)
        context = int(estimate_tokens(sent) * _SHORTER)
        if len(cut_to(messages, context)) == len(sent):
            context = estimate_tokens(sent) - 1
        if len(cut_to(messages, context)) == len(sent):
            return None
        return replace(self, context=context)

    def _addressed(self, messages: Sequence[Message]) -> list[Message]:
        """Put the system's message into the user's first one, where there is no such role."""
        if self.system_role:
            return list(messages)
        system = "\n\n".join(m.content for m in messages if m.role == "system")
        rest = [m for m in messages if m.role != "system"]
        if rest and system:
            rest[0] = replace(rest[0], content=f"{system}\n\n{rest[0].content}".rstrip())
        return rest

    def _content(self, message: Message) -> object:
        """Return the content of ``message`` as it is sent."""
        return message.content


def cut_to(messages: Sequence[Message], context: int) -> list[Message]:
    """Return ``messages`` without the oldest turns that exceed ``context`` estimated tokens.

    The system's message and the last turn stay.
    """
    system = [m for m in messages if m.role == "system"]
    turns = [m for m in messages if m.role != "system"]
    while len(turns) > 1 and estimate_tokens([*system, *turns]) > context:
        turns = turns[1:]
        while len(turns) > 1 and turns[0].role != "user":
            turns = turns[1:]
    return [*system, *turns]
