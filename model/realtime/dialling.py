"""Connect to a realtime server and begin a session; tell in one line why that fails."""

from __future__ import annotations

import json
import logging
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from model.endpoints.server_key import ServerKey
from model.engine import Progress
from model.errors import RemoteError
from model.lite.failures import in_a_line
from model.realtime import wire
from model.realtime.address import ServerAddress, ServerKind
from model.realtime.wire import WireEvent

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

CONNECT_S = 10.0
"""Longest wait for the connection, and then for the session."""
QUEUE_S = 60.0
"""Longest wait for a place at a server that has told of its queue."""
_CONFIRM_S = 5.0
_MOST_BYTES = 32 * 2**20
_CLOSE_S = 1.0
_PING_S = 20.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that has begun: its ``connection`` and the ``session`` as the server told it.

    ``early``: events that came before the session was confirmed.
    """

    connection: ClientConnection
    session: WireEvent
    early: tuple[WireEvent, ...] = field(default=(), repr=False)


def dial(
    address: ServerAddress, key: ServerKey, update: dict[str, Any], progress: Progress
) -> OpenSession:
    """Connect and begin a session with ``update``. Raises: RemoteError."""
    from websockets.sync.client import connect

    with _told_in_a_line(address, key):
        connection = connect(
            address.url,
            additional_headers={"Authorization": f"Bearer {key.key}"} if key.key else None,
            open_timeout=CONNECT_S,
            close_timeout=_CLOSE_S,
            ping_interval=_PING_S,
            ping_timeout=_PING_S,
            max_size=_MOST_BYTES,
            compression=None,  # sound in base64 would only cost time
            proxy=None,
        )
        # websockets wants its connections entered. Whoever keeps the session closes this one.
        ExitStack().enter_context(connection)
        try:
            return _begin(address, connection, update, progress)
        except BaseException:
            connection.close()
            raise


def read_event(message: str | bytes) -> WireEvent:
    """Return the event in a message. Raises: ValueError."""
    event = json.loads(message)
    if not isinstance(event, dict):
        raise ValueError("an event that is no object")
    return event


def _begin(
    address: ServerAddress, connection: ClientConnection, update: dict[str, Any], progress: Progress
) -> OpenSession:
    # vLLM-Omni's duplex server opens a session with the first update, unless it knows the model.
    opens_it = address.kind is ServerKind.VLLM_OMNI and not address.names_model
    if opens_it:
        connection.send(json.dumps(update))
    until = time.monotonic() + CONNECT_S
    while True:
        event = _next(address, connection, until)
        match wire.text_of(event, "type"):
            case "session.created":
                break
            case "covo.queue":
                place = wire.number_of(event, "position")
                progress(f"waiting for a place at {address.host}: number {place} in its queue")
                until = time.monotonic() + QUEUE_S
            case "error":
                raise RemoteError(f"{address.host} refused the session: {wire.error_line(event)}")
    session = wire.part_of(event, "session")
    if opens_it:
        return OpenSession(connection, session)
    connection.send(json.dumps(update))
    early: list[WireEvent] = []
    until = time.monotonic() + _CONFIRM_S
    while True:
        try:
            event = _next(address, connection, until)
        except TimeoutError:
            log.warning("%s did not confirm the session", address.host)
            return OpenSession(connection, session, tuple(early))
        match wire.text_of(event, "type"):
            case "session.updated":
                return OpenSession(
                    connection, wire.part_of(event, "session") or session, tuple(early)
                )
            case "error":
                raise RemoteError(f"{address.host} refused the session: {wire.error_line(event)}")
            case _:
                early.append(event)


def _next(address: ServerAddress, connection: ClientConnection, until: float) -> WireEvent:
    try:
        event = read_event(connection.recv(max(0.0, until - time.monotonic())))
    except ValueError as error:
        raise RemoteError(f"{address.host} sends no JSON: it speaks another protocol") from error
    if foreign := wire.foreign_dialect(event):
        raise RemoteError(f"{address.host} speaks {foreign}")
    return event


@contextmanager
def _told_in_a_line(address: ServerAddress, key: ServerKey) -> Iterator[None]:
    from websockets import exceptions

    host = address.host
    try:
        yield
    except exceptions.InvalidStatus as error:
        raise RemoteError(f"{host} {_status(error, key)}") from error
    except exceptions.ConnectionClosed as error:
        raise RemoteError(f"{host} closed the connection ({closing(error)})") from error
    except (exceptions.WebSocketException, EOFError) as error:
        why = in_a_line(str(error))
        raise RemoteError(f"{host} does not speak WebSocket there ({why})") from error
    except ssl.SSLCertVerificationError as error:
        raise RemoteError(
            f"the certificate of {host} is not trusted ({error.verify_message}): name its own in "
            "SSL_CERT_FILE"
        ) from error
    except ssl.SSLError as error:
        why = in_a_line(error.reason or str(error))
        raise RemoteError(f"no TLS with {host} ({why}): try ws:// or another port") from error
    except TimeoutError as error:
        raise RemoteError(
            f"no answer from {host} for {CONNECT_S:g} s: is it a realtime server?"
        ) from error
    except OSError as error:
        why = in_a_line(error.strerror or str(error))
        raise RemoteError(f"cannot reach {host} ({why}): is it running?") from error


def closing(error: Any) -> str:
    """Return why the connection was closed, of websockets' ConnectionClosed."""
    told = error.rcvd
    if told is None:
        return "without a word"
    return in_a_line(f"{told.code} {told.reason}".strip())


def _status(error: Any, key: ServerKey) -> str:
    response = error.response
    status = response.status_code
    said = in_a_line((response.body or b"").decode("utf-8", "replace"))
    more = f": {said}" if said else ""
    if status in (401, 403):
        return f"{key.why_refused()} ({status}{more})"
    if status == 404:
        return f"has no realtime server there (404{more}): check the address and the model"
    if status == 503:
        after = response.headers.get("Retry-After")
        return f"is full (503{more}): try again {f'in {after} s' if after else 'later'}"
    return f"answered {status}{more}"
