"""Offer the chat models of servers that run on this machine (``--chat-url auto``)."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace

import typer

from covo_cli.errors import SettingsError
from covo_cli.settings.settings import Settings
from model.endpoints.local_servers import LOCAL_SERVER_KINDS, LocalServer, find_local_servers

AUTO_URL = "auto"
"""The value of ``chat.url`` that offers what is found."""


def with_found_server(settings: Settings, engine: str, *, ask: bool) -> Settings:
    """Return ``settings`` with the server that the user chooses in place of ``auto``, if ``engine``
    is the one that uses it.

    A ``chat.model`` that a server has is the only one offered. Asks only at a terminal, and if
    ``ask``. Raises: SettingsError when nothing is found or nobody can be asked.
    """
    if settings.chat.url != AUTO_URL or engine != "lite":
        return settings
    offers = [(server, model) for server in find_local_servers() for model in server.models]
    if not offers:
        ports = ", ".join(f"{kind.name} (port {kind.port})" for kind in LOCAL_SERVER_KINDS)
        raise SettingsError(
            f"no server with a chat model was found on this machine; looked for {ports}: start "
            "one, or name another address with --chat-url"
        )
    offers = [offer for offer in offers if offer[1] == settings.chat.model] or offers
    if not (ask and sys.stdin.isatty() and sys.stderr.isatty()):
        raise SettingsError(f"cannot ask which server to use; pass {flags_for(*offers[0])}")
    typer.echo("Chat models of servers on this machine:", err=True)
    for number, (server, model) in enumerate(offers, 1):
        typer.echo(f"{number:>3}  {model}  ({server.name}, {server.url})", err=True)

    def number_of(typed: str | int) -> int:
        text = str(typed).strip()
        if not (text.isdecimal() and int(text) <= len(offers)):
            raise typer.BadParameter(f"type a number from 0 to {len(offers)}")
        return int(text)

    chosen = typer.prompt("Which one? (0: none of them)", default=1, value_proc=number_of, err=True)
    if chosen == 0:
        own = settings.chat.model if settings.chat.model != offers[0][1] else ""
        return replace(settings, chat=replace(settings.chat, url="", model=own))
    server, model = offers[chosen - 1]
    return replace(settings, chat=replace(settings.chat, url=server.url, model=model))


def flags_for(server: LocalServer, model: str) -> str:
    """Return the flags of ``covo chat`` that use ``model`` of ``server``."""
    return f"--chat-url {server.url} --chat-model {shlex.quote(model)}"
