"""A real MCP server over stdio: its tools, and what happens when they fail."""

from __future__ import annotations

import sys
import time

import psutil
import pytest

from model import secrets
from model.errors import ToolError
from model.tools import mcp_servers
from model.tools.mcp_servers import McpServer, McpSource, connect_all

pytest.importorskip("mcp")

SERVER = """
import os, time
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("tiny")

@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def double(n: int) -> str:
    "Double a number."
    return str(2 * n)

@server.tool()
def empty() -> str:
    "Empty the bin."
    return "empty"

@server.tool()
async def hang() -> str:
    "Hang."
    import anyio
    await anyio.sleep(60)
    return "late"

@server.tool()
def shout() -> str:
    "Shout."
    return "x" * 1_000_000

@server.tool()
def die() -> str:
    "Die."
    print("a secret", flush=True)
    os._exit(3)

server.run()
"""


def test_the_tools_of_a_server() -> None:
    command = (sys.executable, "-c", SERVER)
    server = McpServer(McpSource("tiny", command, trusted=("hang", "die"), limit_s=60))
    tools = {tool.name: tool for tool in server.connect()}
    asks = {name: tool.effects for name, tool in tools.items()}
    assert [name for name, asked in asks.items() if asked] == ["tiny_empty", "tiny_shout"]
    assert [*asks] == [f"tiny_{name}" for name in ("double", "empty", "hang", "shout", "die")]
    assert tools["tiny_double"].parameters["properties"]["n"]["type"] == "integer"
    assert tools["tiny_double"].run({"n": 4}, lambda: False) == "8"

    def failing(name: str, **arguments: object) -> str:
        with pytest.raises(ToolError) as caught:
            tools[name].run(arguments, lambda: False)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "valid integer" in failing("tiny_double", n="x")
    assert "the tool server tiny: " in failing("tiny_die")
    assert "the tool server tiny: " in failing("tiny_double", n=1)
    server.close()
    server.close()


def test_keys_that_a_server_is_given_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_told", set())
    env = {"GITHUB_TOKEN": "ghp_1 2%", "MODE": "production"}
    McpServer(McpSource("tiny", ("serve", "--api-key=ssw0rd-1"), env))
    McpServer(McpSource("far", url="https://me:pass%20word@h/mcp"))
    shown = secrets.without_secrets("ghp_1 2% in production, ssw0rd-1, pass word")
    assert shown == "*** in production, ***, ***"


def test_a_call_over_its_limit_is_one_line() -> None:
    server = McpServer(McpSource("slow", (sys.executable, "-c", SERVER), limit_s=0.3))
    tools = {tool.name: tool for tool in server.connect()}
    with pytest.raises(ToolError, match=r"^the tool server slow: no answer within 0\.3 s$"):
        tools["slow_hang"].run({}, lambda: False)
    server.close()


def test_a_message_over_its_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_servers, "_LONGEST_MESSAGE", 500_000)
    server = McpServer(McpSource("loud", (sys.executable, "-c", SERVER), limit_s=1))
    tools = {tool.name: tool for tool in server.connect()}
    with pytest.raises(ToolError, match=r"^the tool server loud: no answer within 1 s$"):
        tools["loud_shout"].run({}, lambda: False)
    assert tools["loud_double"].run({"n": 4}, lambda: False) == "8"
    server.close()


def test_a_server_that_cannot_be_reached_is_one_line() -> None:
    for source, why in (
        (McpSource("gone", ("/nowhere/gone",)), "No such file"),
        (McpSource("dumb", (sys.executable, "-c", "print('hello')")), "Connection closed"),
        (McpSource("web", url="http://127.0.0.1:9/mcp"), "connect"),
    ):
        with pytest.raises(ToolError, match=f"the tool server {source.name}: .*") as caught:
            connect_all([source])
        assert why in str(caught.value)


def test_a_server_that_never_answers_is_stopped(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(mcp_servers, "CONNECT_S", 2.0)
    pid = tmp_path / "pid"
    sleeper = f"""if True:
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open({str(pid)!r}, "w").write(str(os.getpid()))
        time.sleep(60)"""
    with pytest.raises(ToolError, match="no answer within 2 s"):
        connect_all([McpSource("mute", (sys.executable, "-c", sleeper))])
    end = time.monotonic() + 2
    while psutil.pid_exists(int(pid.read_text())):
        assert time.monotonic() < end, "it still runs"
        time.sleep(0.05)
