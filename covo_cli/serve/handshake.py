"""Who may connect: the token, the page's origin and the name of the host.

Each is checked before a socket is accepted. A client that is refused later connects again and
again; one that gets an HTTP status stops.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

SUBPROTOCOL = "realtime"
_KEY_START = "ek_"
_KEY_PROTOCOL = "openai-insecure-api-key."
"""Where browsers put the token, because they cannot send headers."""

SECRET_S = 60.0
"""How long a client secret is valid."""

MOST_ASKED = 4096
"""Bytes of a session, compressed, that a client secret may ask for: it has to fit into a header."""

_HEAD_BYTES = 22
"""Bytes of a client secret that name it: when it ends, and a random number."""

_SIGNATURE_BYTES = hashlib.sha256().digest_size


def new_token() -> str:
    """Return a new token. JavaScript clients refuse keys in browsers that begin otherwise."""
    return f"{_KEY_START}{secrets.token_urlsafe(32)}"


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
    _used: dict[bytes, float] = field(default_factory=dict, repr=False)

    def issue_secret(self, asked: bytes = b"") -> tuple[str, int]:
        """Return a token that is valid once, and when it expires, in seconds of the epoch.

        It carries what is ``asked`` for its session, and is signed with the server's token, so that
        all servers with the same one accept it. Raises: ValueError, if more is asked than fits.
        """
        packed = zlib.compress(asked) if asked else b""
        if len(packed) > MOST_ASKED:
            raise ValueError("too much is asked for")
        until = int(time.time() + SECRET_S)
        head = until.to_bytes(8, "big") + secrets.token_bytes(_HEAD_BYTES - 8)
        whole = base64.urlsafe_b64encode(head + self._signature(head + packed) + packed)
        return f"{_KEY_START}{whole.decode().rstrip('=')}", until  # no protocol's name has a "="

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

    def let_in(self, headers: Mapping[str, str], protocols: Iterable[str] = ()) -> bytes:
        """Note that a request is not refused: if it came with a client secret, that is used up.

        Return what the secret asks for.
        """
        secret = self._secret(_given_token(headers, protocols))
        if secret is None:
            return b""
        head, until, packed = secret
        self._used[head] = until
        return zlib.decompress(packed) if packed else b""

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
        return self._secret(given) is not None

    def _secret(self, given: str) -> tuple[bytes, int, bytes] | None:
        """Return the name of a client secret that is valid, when it ends, and what it asks for."""
        try:
            whole = base64.urlsafe_b64decode(given.removeprefix(_KEY_START) + "==")
        except ValueError:
            return None
        head, rest = whole[:_HEAD_BYTES], whole[_HEAD_BYTES:]
        signature, packed = rest[:_SIGNATURE_BYTES], rest[_SIGNATURE_BYTES:]
        if len(signature) != _SIGNATURE_BYTES or len(packed) > MOST_ASKED:
            return None  # at once: the key is slow to make
        if not hmac.compare_digest(signature, self._signature(head + packed)):
            return None
        now, until = time.time(), int.from_bytes(head[:8], "big")
        self._used = {other: end for other, end in self._used.items() if end > now}
        return None if until <= now or head in self._used else (head, until, packed)

    def _signature(self, signed: bytes) -> bytes:
        return hmac.digest(self._key, signed, "sha256")

    @cached_property
    def _key(self) -> bytes:
        """The key of client secrets. It is slow to make, so that whoever holds a secret cannot try
        many tokens against it."""
        token = self.token.encode()
        return hashlib.scrypt(token, salt=b"covo client secret", n=2**14, r=8, p=1)


def _given_token(headers: Mapping[str, str], protocols: Iterable[str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    for protocol in protocols:
        if protocol.startswith(_KEY_PROTOCOL):
            return protocol.removeprefix(_KEY_PROTOCOL)
    return ""
