"""Find servers of chat models that run on this machine, at the ports they have by default."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_LIMIT_S = 0.3
_MOST_BYTES = 1_000_000
"""A longer answer is that of some other program."""


@dataclass(frozen=True, slots=True)
class LocalServerKind:
    """A program that serves models at a local ``port``, and where it lists them: ``path``, the
    ``key`` of the list, and the ``field`` with a model's name."""

    name: str
    port: int
    path: str = "/v1/models"
    key: str = "data"
    field: str = "id"


LOCAL_SERVER_KINDS = (
    LocalServerKind("Ollama", 11434, "/api/tags", "models", "name"),
    LocalServerKind("llama.cpp", 8080),
    LocalServerKind("LM Studio", 1234),
)


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A running server: its program's name, the endpoint's address and its chat models, at least
    one."""

    name: str
    url: str
    models: tuple[str, ...]


def find_local_servers(
    kinds: Sequence[LocalServerKind] = LOCAL_SERVER_KINDS,
) -> tuple[LocalServer, ...]:
    """Return the servers that list a chat model within 0.3 s. All ports are asked at once, on
    the loopback interface only."""
    return asyncio.run(_find(kinds))


async def _find(kinds: Sequence[LocalServerKind]) -> tuple[LocalServer, ...]:
    import httpx2

    async def ask(kind: LocalServerKind) -> LocalServer | None:
        address, content = f"http://127.0.0.1:{kind.port}", bytearray()
        try:
            async with (
                asyncio.timeout(_LIMIT_S),
                client.stream("GET", f"{address}{kind.path}") as response,
            ):
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > _MOST_BYTES:
                        return None
            models = _chat_models(json.loads(content), kind) if response.is_success else ()
        except (httpx2.HTTPError, OSError, ValueError, LookupError, TypeError, RecursionError):
            return None
        return LocalServer(kind.name, f"{address}/v1", models) if models else None

    # No proxy and no redirection: both lead off this machine.
    async with httpx2.AsyncClient(
        trust_env=False, verify=False, follow_redirects=False, timeout=_LIMIT_S
    ) as client:
        found = await asyncio.gather(*map(ask, kinds))
    return tuple(server for server in found if server)


def _chat_models(answer: Mapping[str, Any], kind: LocalServerKind) -> tuple[str, ...]:
    """Return the names in ``answer`` but for those of embedding models.

    Raises: LookupError, TypeError, if it is no such list.
    """
    names = [model[kind.field] for model in answer[kind.key]]
    if not all(isinstance(name, str) and name.isprintable() for name in names):
        raise TypeError("a model's name is no plain text")
    return tuple(name for name in names if name and "embed" not in name.lower())
