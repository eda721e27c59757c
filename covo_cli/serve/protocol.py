"""What a protocol of the server is to a connection, and what its sessions are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from audio_io.ends import Speaker
from covo_cli.conversation.consumer import Consumer
from covo_cli.conversation.request import Request
from covo_cli.serve.realtime.microphone import SocketMicrophone
from covo_cli.serve.realtime.session_object import ServedEngine
from model.events import TurnLatency


@dataclass(frozen=True, slots=True)
class SessionLink:
    """What a session stands between: a client, and its conversation with an engine.

    ``send`` passes events on to the client, ``command`` requests to the conversation.
    ``extended``: whether the client knows covo's own events. ``note`` is called with each turn's
    latency. ``asked``: the session that the client's secret asks for.
    """

    served: ServedEngine
    microphone: SocketMicrophone
    send: Callable[[dict[str, Any]], None]
    command: Callable[[Request], None]
    session_id: str
    expires_at: int
    extended: bool = False
    note: Callable[[TurnLatency], None] = lambda latency: None
    asked: dict[str, Any] = field(default_factory=dict, repr=False)


class WireSession(Consumer, Protocol):
    """A session of one of the protocols: a consumer that :meth:`take` s a client's messages."""

    def open(self) -> None:
        """Tell the client that the session is there, if the protocol does."""

    def take(self, text: str) -> None:
        """Carry out a message. Never raises for what a client sends."""


@dataclass(frozen=True, slots=True)
class WireProtocol:
    """A protocol: makes sessions, and the speaker of each, from what counts gaps. ``steady``: see
    :class:`covo_cli.serve.realtime.microphone.SocketMicrophone`."""

    session: Callable[[SessionLink, Any], WireSession]
    speaker: Callable[[Callable[[], None]], Speaker]
    steady: bool = False
