"""Who may connect: the token, the page's origin and the name of the host.

Each is checked before a socket is accepted. A client that is refused later connects again and
again; one that gets an HTTP status stops.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

SUBPROTOCOL = "realtime"
_KEY_PROTOCOL = "openai-insecure-api-key."
"""Where browsers put the token, because they cannot send headers."""

SECRET_S = 60.0
"""How long a client secret is valid."""

_MOST_SECRETS = 1000


def new_token() -> str:
    """Return a new token. JavaScript clients refuse keys in browsers that begin otherwise."""
    return f"ek_{secrets.token_urlsafe(32)}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused."""

    status: HTTPStatus
    reason: str


@dataclass
class Handshake:
    """Checks requests. ``token``: the server's; ``hosts`` and ``origins``: allowed besides
    loopback names and the server's own."""

    token: str = field(repr=False)
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    _secrets: dict[str, float] = field(default_factory=dict, repr=False)

    def issue_secret(self) -> tuple[str, int]:
        """Return a token that is valid once, and when it expires, in seconds of the epoch."""
        now = time.monotonic()
        self._secrets = {key: until for key, until in self._secrets.items() if until > now}
        while len(self._secrets) >= _MOST_SECRETS:
            self._secrets.pop(next(iter(self._secrets)))
        secret = new_token()
        self._secrets[secret] = now + SECRET_S
        return secret, int(time.time() + SECRET_S)

    def refusal(
        self,
        headers: Mapping[str, str],
        scheme: str,
        protocols: Iterable[str] = (),
        *,
        needs_token: bool = True,
    ) -> Refusal | None:
        """Return why a request is refused, None if it is not. Keys of ``headers``: lower case."""
        host = headers.get("host", "")
        if not self._is_our_host(host):
            return Refusal(HTTPStatus.FORBIDDEN, "this name of the host is not allowed")
        origin = headers.get("origin")
        if origin is not None and not self._is_our_origin(origin, scheme, host):
            return Refusal(HTTPStatus.FORBIDDEN, "this origin is not allowed")
        if needs_token and not self._is_token(_given_token(headers, protocols)):
            return Refusal(HTTPStatus.UNAUTHORIZED, "a valid token is needed")
        return None

    def _is_our_host(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name == "localhost" or name.endswith(".localhost") or name in self.hosts:
            return True
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return False

    def _is_our_origin(self, origin: str, scheme: str, host: str) -> bool:
        web = {"ws": "http", "wss": "https"}.get(scheme, scheme)
        return origin in self.origins or origin.lower() == f"{web}://{host}".lower()

    def _is_token(self, given: str) -> bool:
        sent = given.encode("utf-8", "surrogateescape")
        if hmac.compare_digest(sent, self.token.encode()):
            return True
        until = self._secrets.pop(given, 0.0)
        return until > time.monotonic()


def _given_token(headers: Mapping[str, str], protocols: Iterable[str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    for protocol in protocols:
        if protocol.startswith(_KEY_PROTOCOL):
            return protocol.removeprefix(_KEY_PROTOCOL)
    return ""
