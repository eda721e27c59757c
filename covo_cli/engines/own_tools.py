"""The tools of a conversation: the built-in ones, and the user's own from a TOML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from covo_cli.errors import SettingsError
from covo_cli.process.packages import require_packages
from covo_cli.settings.settings import Settings, config_path
from model.playback.timers import Timers
from model.tools.clock import clock_tool
from model.tools.executables import executable
from model.tools.mcp_servers import McpSource, connect_all
from model.tools.notes import notes_tool
from model.tools.timer import timer_tool
from model.tools.tool import LIMIT_S, TOOL_NAME, Tool
from model.tools.toolbox import Toolbox
from voices.folders import expanded
from voices.strict_reader import read

_FILE = "tools.toml"

Name = Annotated[str, Meta(pattern=TOOL_NAME)]
Text = Annotated[str, Meta(pattern=r"\S")]
Seconds = Annotated[float, Meta(ge=0.1, le=600)]
Words = Annotated[tuple[str, ...], Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class OwnTool:
    """A program of the user's: a ``[[tool]]`` of the file.

    ``command``: the program and its first arguments. ``arguments``: JSON schema of each argument;
    those not ``optional`` must be given. ``effects``, ``question``, ``limit``: see
    :class:`~model.tools.tool.Tool`.
    """

    name: Name
    description: Text
    command: Words
    effects: bool
    arguments: dict[str, dict[str, Any]] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    question: str = ""
    limit: Seconds = LIMIT_S

    def __post_init__(self) -> None:
        unknown = set(self.optional) - set(self.arguments)
        if unknown:
            raise ValueError(f"optional names {', '.join(sorted(unknown))}, which is no argument")
        if self.question and not self.question.rstrip().endswith(("?", "？")):
            raise ValueError("question must end with a question mark")

    def tool(self) -> Tool:
        """Return it as a tool."""
        parameters = {
            "type": "object",
            "properties": self.arguments,
            "required": [name for name in self.arguments if name not in self.optional],
        }
        run = executable(self.name, (str(expanded(self.command[0])), *self.command[1:]))
        return Tool(
            self.name, self.description, parameters, run, self.limit, self.effects, self.question
        )


@dataclass(frozen=True, slots=True)
class OwnServer:
    """An MCP server: a ``[[server]]`` of the file, see :class:`~model.tools.mcp_servers.McpSource`.

    It is started with ``command`` or reached at ``url``.
    """

    name: Name
    command: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    url: str = ""
    only: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    limit: Seconds = LIMIT_S

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.url):
            raise ValueError("a server has either a command or a url")

    def source(self) -> McpSource:
        """Return it as the tools know it."""
        program = tuple(str(expanded(word)) for word in self.command[:1])
        command = (*program, *self.command[1:])
        return McpSource(
            self.name, command, self.env, self.url, self.only, self.trusted, self.limit
        )


@dataclass(frozen=True, slots=True)
class ToolFile:
    """The whole file."""

    tool: tuple[OwnTool, ...] = ()
    server: tuple[OwnServer, ...] = ()


@dataclass(frozen=True, slots=True)
class WantedTools:
    """The tools that the settings ask for, before any server is asked. ``timers``: those that they
    set."""

    tools: tuple[Tool, ...]
    servers: tuple[OwnServer, ...]
    timers: Timers


def build_tools(
    settings: Settings, engine: str, folder: Callable[[], Path | None]
) -> Toolbox | None:
    """Build the tools that the settings ask for; None if they are off, or not for ``engine``.

    ``folder``: returns the session's folder once there is one. Raises: SettingsError, CliError;
    ToolError when a server does not answer.
    """
    wanted = wanted_tools(settings, engine, folder)
    if wanted is None:
        return None
    served, close = connect_all([server.source() for server in wanted.servers])
    tools = [*wanted.tools, *served]
    try:
        _check_names(tools)
    except SettingsError:
        close()
        raise
    return Toolbox(tools, close, wanted.timers)


def wanted_tools(
    settings: Settings, engine: str, folder: Callable[[], Path | None] = lambda: None
) -> WantedTools | None:
    """Return the tools that the settings ask for; None if they are off, or not for ``engine``.

    Raises: SettingsError, CliError.
    """
    if not (settings.tools.enabled and engine == "lite"):
        return None
    file = _file(settings)
    if file.server:
        require_packages("tools", "mcp")
    timers = Timers()
    tools = [clock_tool(), timer_tool(timers)]
    if settings.session.record:
        tools.append(notes_tool(folder))
    tools += [own.tool() for own in file.tool]
    _check_names(tools)
    return WantedTools(tuple(tools), file.server, timers)


def _check_names(tools: Sequence[Tool]) -> None:
    twice = [name for name, count in Counter(tool.name for tool in tools).items() if count > 1]
    if twice:
        raise SettingsError(f"there are two tools called {twice[0]}: rename one of yours")


def _file(settings: Settings) -> ToolFile:
    chosen = settings.tools.file
    path = expanded(chosen) if chosen else config_path().with_name(_FILE)
    if not chosen and not path.exists():
        return ToolFile()
    return read(path, ToolFile, SettingsError, remedy="docs/tools.md has an example")
