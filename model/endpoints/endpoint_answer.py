"""Understand what a chat endpoint answers: streams of several forms, whole answers, errors."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from model.endpoints.server_key import ServerKey
from model.errors import ChatError
from model.lite.failures import in_a_line

NOT_READY = 503
"""Status of a server that is still loading its model."""

_BOM = "\ufeff"
_TELLS = {"message", "detail", "msg", "code", "success"}
"""What an event without choices has when it tells of an error."""
_OF_A_STREAM = ("event:", "id:", "retry:", ":")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>|<h1[^>]*>(.*?)</h1>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<(?:style|script).*?</(?:style|script)>|<[^>]*>", re.IGNORECASE | re.DOTALL)


class RefusedError(ChatError):
    """The endpoint refused a request before it answered: ``status`` and what it said, ``text``.

    ``misses_address``: there is no chat endpoint at this address.
    """

    def __init__(
        self, message: str, status: int, text: str, *, misses_address: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        self.text = text
        self.misses_address = misses_address


async def lines_of(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield the lines of a text, which end as in a stream of events: with \\n, \\r\\n or \\r.

    ``str.splitlines`` would end them at U+2028 and others as well, which JSON holds as they are.
    """
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    begun: list[str] = []
    async for piece in pieces:
        first, *others = newlines.decode(piece).split("\n")
        begun.append(first)
        for line in others:
            yield "".join(begun)
            begun = [line]
    yield "".join(begun)


async def events_of(lines: AsyncIterator[str], name: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the objects of a stream of events, of lines of JSON or of one whole JSON.

    An event "[DONE]" is yielded as a choice that ends with "stop". Raises: ChatError.
    """
    rest: list[str] = []
    any_event, begun = False, ""
    async for read in lines:
        line = read.removeprefix(_BOM)
        if line.startswith("data:"):
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                if any_event:
                    yield {"choices": [{"delta": {}, "finish_reason": "stop"}]}
                return
            any_event = True
            try:
                found = _object(begun + data)
            except json.JSONDecodeError:
                begun += data
                continue
            begun = ""
            yield found
        elif begun:
            break  # the event is over, or has become something else
        elif line.strip() and not line.startswith(_OF_A_STREAM):
            rest.append(line)
    if begun:
        _object(begun)
    for found in _whole(rest, name) if rest and not any_event else ():
        yield found


def choices_of(
    event: Mapping[str, Any], name: str
) -> Iterator[tuple[Mapping[str, Any], str | None]]:
    """Yield the messages, or parts of them, in ``event``, and why each ended. Raises: ChatError."""
    if event.get("error") or ("choices" not in event and _TELLS & set(event)):
        text = detail_of(event.get("error") or event)
        if not isinstance(event.get("message"), Mapping):
            raise RefusedError(f"{name} failed: {text}", 400, text)
        # Ollama's own form
        yield event["message"], event.get("done_reason") or ("stop" if event.get("done") else None)
    for choice in event.get("choices") or ():
        if choice.get("index"):
            continue  # another answer to the same question
        reason = choice.get("finish_reason")
        if "delta" in choice and (choice["delta"] is not None or reason):
            yield choice["delta"] or {}, reason
        elif "message" in choice:
            yield choice["message"], reason or "stop"
        else:
            yield {"content": choice["text"]}, reason


@contextmanager
def raised_as_chat_error(
    name: str, patience: float, key: ServerKey, begun: Callable[[], bool]
) -> Iterator[None]:
    """Turn the client's errors into ours. ``begun``: whether the reply has begun."""
    import httpx2
    import openai

    try:
        yield
    except RefusedError as error:
        if begun():
            raise ChatError(str(error)) from error
        raise
    except (TimeoutError, openai.APITimeoutError) as error:
        raise ChatError(f"no answer from {name} for {patience:g} s (chat.timeout)") from error
    except openai.APIStatusError as error:
        raise _refused(name, key, error) from error
    except (openai.APIConnectionError, httpx2.RequestError) as error:
        why = in_a_line(str(error.__cause__ or error))
        if begun():
            raise ChatError(f"lost the connection to {name}: {why}") from error
        raise ChatError(f"cannot reach {name} ({why}): is it running?") from error
    except openai.APIError as error:
        raise ChatError(f"{name} failed: {detail_of(error.body or str(error))}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ChatError(f"{name} sent no valid chat completion: {in_a_line(str(error))}") from error


def detail_of(body: object) -> str:
    """Return what a server says about its error, in one line."""
    if isinstance(body, Mapping):
        for key in ("message", "detail", "error", "msg"):
            if body.get(key):
                return detail_of(body[key])
    if isinstance(body, list) and body:
        return detail_of(body[0])
    text = str(body)
    return in_a_line(_page(text) if "<" in text and ">" in text else text)


def _refused(name: str, key: ServerKey, error: Any) -> RefusedError:
    status = error.status_code
    text = detail_of(error.body or error.response.text or str(error))
    if location := error.response.headers.get("location"):
        return RefusedError(
            f"{name} has moved to {in_a_line(location)}: use that address", status, text
        )
    if status in (404, 405):
        misses = "model" not in text.lower()
        message = f"{name} was not found ({text}): check the address and the model"
        return RefusedError(message, status, text, misses_address=misses)
    if status in (401, 403):
        return RefusedError(f"{name} {key.why_refused()} ({status}: {text})", status, text)
    return RefusedError(f"{name} answered {status}: {text}", status, text)


def _object(data: str) -> dict[str, Any]:
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError(f"{in_a_line(data)!r} is no object")
    return found


def _whole(lines: Sequence[str], name: str) -> Iterator[dict[str, Any]]:
    """Yield the objects in an answer that is no stream of events. Raises: ChatError."""
    text = "\n".join(lines)
    try:
        yield _object(text)
        return
    except ValueError:
        pass
    try:
        objects = [_object(line) for line in lines]
    except ValueError as error:
        if text.lstrip().startswith("<"):
            message = f"{name} answered with a web page ({_page(text)}): check the address"
            raise RefusedError(message, 404, "", misses_address=True) from error
        raise ValueError(in_a_line(text)) from error
    yield from objects


def _page(text: str) -> str:
    """Return the title of a web page, or its beginning without tags."""
    title = _TITLE.search(text)
    return in_a_line(_TAG.sub(" ", next(filter(None, title.groups()), "") if title else text))
