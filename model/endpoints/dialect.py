"""What a chat endpoint understands, learnt from its refusals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    r"context (?:length|size|window)|context_length|n_ctx|max_seq_len|token limit|"
    r"maximum (?:context|prompt|input|sequence)|(?:range|length) of (?:the )?(?:prompt|input)|"
    r"(?:prompt|inputs?(?! should)|conversation|request|messages?)\b.{0,60}"
    r"(?:\btoo (?:long|large|many)|\bexceed|\b(?:long|great|larg)er than|\bmore than|\bless than|"
    r"\bover the\b)|"
    r"\binputs?\b.{0,60}<=|too many (?:input |prompt )?tokens|"
    r"exceeds? .{0,60}\b(?:context|tokens)|"
    r"(?:reduce|shorten) (?:the|your) (?:length|prompt|messages?|input)|超长|过长|上下文"
)
_TOO_LARGE = 413
_SYSTEM_ROLE = re.compile(
    r"system (?:role|message|prompt|instruction)|developer instruction|\brole\b.{0,60}\bsystem\b|"
    r"messages\W+\d+\W+role|unexpected (?:message )?role|first message must be|"
    r"roles? must alternate|\buser\b.{0,6}(?:and|or|/).{0,6}\bassistant\b"
)
_TOOLS = re.compile(r"\btools?\b|\btool_|\bfunction call")
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
    tools: bool = field(default=True, kw_only=True)

    def request(
        self,
        model: str,
        messages: Sequence[Message],
        max_tokens: int,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> dict[str, Any]:
        """Return the body of a request. ``tools``: those that the model may call."""
        sent = self._addressed(cut_to(messages, self.context))
        if not self.tools:
            sent = _without_tools(sent)
        body: dict[str, Any] = {
            "model": model,
            "messages": [
                m.to_openai() | {"content": self._content(m)}
                for m in sent
                if m.content or m.calls or m.role != "assistant"
            ],
            "stream": self.streams,
        }
        if tools and self.tools:
            body["tools"] = list(tools)
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
        too_long = status == _TOO_LARGE or _TOO_LONG.search(text)
        if too_long and (shorter := self.shorter(messages)):
            yield shorter
        has_system = any(message.role == "system" for message in messages)
        if self.system_role and has_system and _SYSTEM_ROLE.search(text):
            yield replace(self, system_role=False)
        if self.limit and self.limit in text:
            yield replace(self, limit="")
        if self.tools and _TOOLS.search(text):
            yield replace(self, tools=False)
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

    The system's message and the last turn stay, with the tools that it has used so far.
    """
    system = [m for m in messages if m.role == "system"]
    turns = [m for m in messages if m.role != "system"]
    begins = [at for at, message in enumerate(turns) if message.role == "user"][1:]
    kept = 0
    while begins and estimate_tokens([*system, *turns[kept:]]) > context:
        kept = begins.pop(0)
    return [*system, *turns[kept:]]


def _without_tools(messages: Sequence[Message]) -> list[Message]:
    """Return what was said in ``messages``; what the assistant said around a call is one message,
    because templates need alternating roles."""
    kept: list[Message] = []
    for message in messages:
        if message.role == "tool" or (message.role == "assistant" and not message.content):
            continue
        if kept and kept[-1].role == message.role == "assistant":
            said = f"{kept[-1].content} {message.content}"
            kept[-1] = replace(kept[-1], content=said)
        else:
            kept.append(replace(message, calls=()))
    return kept
