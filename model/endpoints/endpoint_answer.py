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
"""Lines that may stand anywhere in a stream, and say nothing here."""
_TELLING = ("message", "msg", "fault", "detail", "descri", "error", "reason", "title")
"""Parts of the keys under which servers tell of an error, the most telling first."""
_MOST_ERRORS = 3
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>|<h1[^>]*>(.*?)</h1>", re.IGNORECASE | re.DOTALL)
_PAGE = re.compile(r"<(?:!doctype|html|head|body|title|h1|p|pre)\b", re.IGNORECASE)
_TAG = re.compile(r"<(?:style|script).*?</(?:style|script)>|<[^>]*>", re.IGNORECASE | re.DOTALL)


class RefusedError(ChatError):
    """The endpoint refused a request before it answered: ``status`` and what it said, ``text``.

    ``misses_address``: there is no chat endpoint at this address. ``retry_after_s``: when to ask
    again; 0 if it did not say.
    """

    def __init__(
        self,
        message: str,
        status: int,
        text: str,
        *,
        misses_address: bool = False,
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.text = text
        self.misses_address = misses_address
        self.retry_after_s = retry_after_s


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
        if line.startswith(_OF_A_STREAM):
            continue
        if line.startswith("error:"):  # llama.cpp's older form
            yield {"error": _parsed(line.removeprefix("error:").strip())}
        elif line.startswith("data:"):
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                if any_event:
                    yield {"choices": [{"delta": {}, "finish_reason": "stop"}]}
                return
            any_event = True
            try:
                events = _objects(begun + data)
            except json.JSONDecodeError:
                begun += data
                continue
            begun = ""
            for event in events:
                yield event
        elif begun:
            break  # the event is over, or has become something else
        elif line.strip():
            rest.append(line)
    if begun:
        _objects(begun)
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
        if choice.get("index") not in (None, 0, "0"):
            continue  # another answer to the same question
        delta, reason = choice.get("delta"), choice.get("finish_reason")
        if reason == "null":
            reason = None
        if delta is None and choice.get("message") is not None:
            yield choice["message"], reason or "stop"
        elif delta is None and "text" in choice:
            yield {"content": choice["text"]}, reason
        elif delta or reason:
            yield delta or {}, reason


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
    except (openai.APIConnectionError, httpx2.RequestError, httpx2.InvalidURL) as error:
        why = in_a_line(str(error.__cause__ or error))
        if begun():
            raise ChatError(f"lost the connection to {name}: {why}") from error
        raise ChatError(f"cannot reach {name} ({why}): is it running?") from error
    except openai.APIError as error:
        raise ChatError(f"{name} failed: {detail_of(error.body or str(error))}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ChatError(f"{name} sent no valid chat completion: {in_a_line(str(error))}") from error


def detail_of(body: object) -> str:
    """Return what a server says about its error, in one line."""
    text = told_in(body) or str(body)
    return in_a_line(_page(text) if _PAGE.search(text) else text)


def told_in(body: object, deepest: int = 9) -> str:
    """Return the words in the answer ``body`` that tell of an error, and of which parameter, or
    ""."""
    if not deepest:
        return ""
    if isinstance(body, list):
        each = [told_in(one, deepest - 1) for one in body[:_MOST_ERRORS]]
        return "; ".join(filter(None, each))
    if not isinstance(body, Mapping):
        return body if isinstance(body, str) else ""
    keys = sorted(map(str, body), key=len)
    telling = [key for part in _TELLING for key in keys if part in key.lower()]
    nested = [key for key in keys if isinstance(body.get(key), Mapping)]
    found = (told_in(body.get(key), deepest - 1) for key in (*telling, *nested))
    words = next(filter(None, found), "")
    place = body.get("loc") or body.get("param") or ""
    if isinstance(place, list):
        place = ".".join(map(str, place))
    return f"{place}: {words}" if words and str(place) not in words else words


def _refused(name: str, key: ServerKey, error: Any) -> RefusedError:
    status = error.status_code
    text = detail_of(_parsed(error.response.text) or str(error))
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
    headers = error.response.headers
    wait = _seconds(headers.get("retry-after-ms")) / 1000 or _seconds(headers.get("retry-after"))
    return RefusedError(f"{name} answered {status}: {text}", status, text, retry_after_s=wait)


def _seconds(header: str | None) -> float:
    """Return the number in a header, 0 for a date or anything else."""
    try:
        return max(0.0, float(header or 0))
    except ValueError:
        return 0.0


def _objects(data: str) -> list[dict[str, Any]]:
    """Return the object, or the list of some, in ``data``; none in other JSON. Raises:
    JSONDecodeError."""
    found = json.loads(data)
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def _parsed(text: str) -> object:
    """Return the JSON in ``text``, or ``text`` if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _whole(lines: Sequence[str], name: str) -> Iterator[dict[str, Any]]:
    """Yield the objects in an answer that is no stream of events. Raises: ChatError."""
    text = "\n".join(lines)
    try:
        objects = _objects(text)
    except ValueError:
        objects = []
    try:
        objects = objects or [found for line in lines for found in _objects(line)]
        if not objects:
            raise ValueError(text)
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
