"""The address of a realtime server, and which server it is likely to be."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from model.characters import read_json
from model.endpoints.server_key import ServerKey, is_openai
from model.errors import RemoteError
from model.secrets import hide_in, without_secrets

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_SCHEME_OF_PAGES = {"ws": "http", "wss": "https"}
_LIST_S = 2.0

log = logging.getLogger(__name__)


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
    hide_in(text)
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


def served_voices(address: ServerAddress, key: ServerKey) -> tuple[str, ...]:
    """Return the voices that the server lists beside its models, as covo serve does; else none."""
    import httpx2

    parts = urlsplit(address.url)
    scheme, path = _SCHEME_OF_PAGES[parts.scheme], parts.path.removesuffix("/realtime")
    try:
        response = httpx2.get(
            urlunsplit((scheme, parts.netloc, f"{path}/models", "", "")),
            headers={"Authorization": f"Bearer {key.key}"} if key.key else None,
            timeout=_LIST_S,
            trust_env=False,
            verify=ssl.create_default_context() if address.encrypted else True,
        )
        listed = read_json(response.text)["data"][0]["voices"]
    except (httpx2.HTTPError, OSError, ValueError, KeyError, IndexError, TypeError) as error:
        log.info("%s lists no voices: %s", address.host, type(error).__name__)
        return ()
    return tuple(map(str, listed)) if isinstance(listed, list) else ()


def _is_here(host: str) -> bool:
    """Whether ``host`` is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
