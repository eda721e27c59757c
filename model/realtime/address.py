"""The address of a realtime server, and which server it is likely to be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from model.endpoints.server_key import is_openai
from model.errors import RemoteError
from model.secrets import without_secrets

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


class ServerKind(StrEnum):
    """A server whose ways are known."""

    COVO = "covo serve"
    OPENAI = "OpenAI"
    VLLM_OMNI = "vLLM-Omni"
    OTHER = "a realtime server"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server is: the ``url`` to connect to, and its ``host`` with a port, for the user.

    ``name``: the host without a port. ``kind``: as far as the address tells. ``open``: sound goes
    over a network in the clear.
    """

    url: str
    host: str
    name: str
    kind: ServerKind
    encrypted: bool
    open: bool

    @property
    def names_model(self) -> bool:
        """Whether the model is part of the address."""
        return "model" in dict(parse_qsl(urlsplit(self.url).query))


def server_address(text: str, model: str = "") -> ServerAddress:
    """Return the address that ``text`` names; its path may be missing. Raises: RemoteError."""
    parts = urlsplit(text)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise RemoteError(
            f"{without_secrets(text)!r} is not the address of a realtime server: it must look like "
            "ws://localhost:8000/v1/realtime"
        )
    path = parts.path.rstrip("/")
    if not path.endswith("/realtime"):
        path = f"{path or '/v1'}/realtime"
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if model:
        query["model"] = model
    kind = ServerKind.OTHER
    if is_openai(parts.hostname):
        kind = ServerKind.OPENAI
    elif "duplex" in query:
        kind = ServerKind.VLLM_OMNI
    else:
        query.setdefault("covo", "1")  # its own extension; other servers ignore it
    scheme = _SCHEMES[parts.scheme]
    host = parts.netloc.rpartition("@")[2]
    url = urlunsplit((scheme, host, path, urlencode(query), ""))
    encrypted = scheme == "wss"
    name = parts.hostname
    return ServerAddress(url, host, name, kind, encrypted, not (encrypted or _is_here(name)))


def _is_here(host: str) -> bool:
    """Whether ``host`` is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
