"""The files in deploy/: what they ask of the server exists, and the balancer keeps sockets."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml
from typer.main import get_command
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from covo_cli.app import app
from covo_cli.serve.handshake import Handshake
from covo_cli.serve.run_serve import DRAIN_S, TOKEN_VARIABLE
from tests import ROOT
from tests.covo_cli.serve.live_server import TOKEN, serving, until

DEPLOY = ROOT / "deploy"
HOST = "voice.example"


def compose() -> dict[str, Any]:
    """The services of the compose file, its variables replaced."""
    given = {"COVO_HOST": HOST}
    text = re.sub(
        r"\$\{(\w+)(?::[-?]([^}]*))?\}",
        lambda found: given.get(found[1], found[2]),
        (DEPLOY / "compose.yaml").read_text(),
    )
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


def kubernetes() -> dict[str, Any]:
    """The manifest's objects by their kind."""
    objects = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    return {found["kind"]: found for found in objects}


def pod() -> dict[str, Any]:
    (container,) = kubernetes()["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def parsed(command: list[str]) -> dict[str, Any]:
    """What ``covo serve`` understands of ``command``."""
    name, subcommand, *arguments = command
    assert name == "covo"
    found = get_command(app).commands[subcommand]
    params: dict[str, Any] = found.make_context(subcommand, arguments).params
    return params


@pytest.mark.parametrize(
    "command",
    [
        compose()["covo-1"]["command"],
        compose()["covo-2"]["command"],
        pod()["command"] + pod()["args"],
    ],
)
def test_the_command_is_understood_and_lets_the_page_in(command):
    options = parsed(command)
    assert options["host"] == "0.0.0.0"
    shake = Handshake(TOKEN, tuple(options["allow_host"]), tuple(options["allow_origin"]))
    page = {"host": HOST, "origin": f"https://{HOST}", "authorization": f"Bearer {TOKEN}"}
    assert shake.refusal(page, "ws") is None  # TLS has ended before


def test_the_token_comes_from_the_variable_that_is_read():
    assert TOKEN_VARIABLE in compose()["covo-1"]["environment"]
    assert TOKEN_VARIABLE in {variable["name"] for variable in pod()["env"]}


def test_all_ports_are_the_ports_that_are_listened_at():
    port = parsed(pod()["command"] + pod()["args"])["port"]
    assert port == parsed(compose()["covo-1"]["command"])["port"]
    (named,) = pod()["ports"]
    assert named["containerPort"] == port
    assert compose()["balancer"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    balancer = (DEPLOY / "haproxy.cfg").read_text()
    assert set(re.findall(r":(\d+)$", balancer, re.MULTILINE)) - {"53"} == {str(port)}
    assert set(re.findall(r"server (covo-\d)", balancer)) == set(compose()) - {"balancer"}


def test_the_manifest_s_objects_find_each_other():
    found = kubernetes()
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    service = found["Service"]
    assert service["spec"]["selector"] == labels
    (port,) = service["spec"]["ports"]
    assert port["targetPort"] == pod()["ports"][0]["name"]
    (rule,) = found["Ingress"]["spec"]["rules"]
    assert rule["host"] == HOST
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": service["metadata"]["name"], "port": {"name": port["name"]}}


def test_probes_and_checks_ask_for_a_path_that_answers_without_a_token():
    probes = {
        pod()[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")
    }
    (checked,) = re.findall(r"uri (\S+)", (DEPLOY / "haproxy.cfg").read_text())
    _, python, flag, code = compose()["covo-1"]["healthcheck"]["test"]
    with serving() as server:
        for path in {*probes, checked}:
            answer = httpx.get(
                f"http://127.0.0.1:{server.port}{path}", headers={"Host": "localhost"}
            )
            assert answer.status_code == 200
        here = code.replace("8765", str(server.port))
        assert here != code
        assert python == "python"
        subprocess.run([sys.executable, flag, here], check=True)


@contextmanager
def balancing(ports: list[int], folder: Path) -> Iterator[int]:
    """HAProxy with our file in front of ``ports``; its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = (DEPLOY / "haproxy.cfg").read_text().replace(" resolvers docker init-addr none", "")
    for theirs, ours in {
        "bind :8765": f"bind 127.0.0.1:{port}",
        "covo-1:8765": f"127.0.0.1:{ports[0]}",
        "covo-2:8765": f"127.0.0.1:{ports[1]}",
    }.items():
        assert theirs in text
        text = text.replace(theirs, ours)
    file = folder / "haproxy.cfg"
    file.write_text(text)
    process = subprocess.Popen(["haproxy", "-db", "-q", "-f", str(file)])
    try:
        until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield port
    finally:
        process.terminate()
        process.wait()


def opened(port: int) -> ClientConnection:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    connection = connect(
        f"ws://127.0.0.1:{port}/v1/realtime?model=x", proxy=None, additional_headers=headers
    )
    assert "session.created" in connection.recv(10)
    return connection


def test_there_is_time_for_replies_to_end():
    (grace,) = re.findall(r"stop_grace_period: (\d+)s", (DEPLOY / "compose.yaml").read_text())
    assert int(grace) >= DRAIN_S + 10
    spec = kubernetes()["Deployment"]["spec"]["template"]["spec"]
    wait = int(pod()["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] >= wait + DRAIN_S + 10


@pytest.mark.skipif(not shutil.which("haproxy"), reason="HAProxy is not installed")
def test_new_sessions_leave_a_server_that_is_stopping(tmp_path):
    with ExitStack() as held:
        first, second = (held.enter_context(serving(2)) for _ in range(2))
        port = held.enter_context(balancing([first.port, second.port], tmp_path))
        first.loop.call_soon_threadsafe(first.places.drain)
        for _ in range(2):
            held.enter_context(opened(port))
        assert (first.places.busy, second.places.busy) == (0, 2)


@pytest.mark.skipif(not shutil.which("haproxy"), reason="HAProxy is not installed")
def test_a_session_stays_where_it_is_and_new_ones_leave_a_server_that_stopped(tmp_path):
    with ExitStack() as first_runs, serving(2) as second, ExitStack() as sockets:
        first = first_runs.enter_context(serving(2))
        port = sockets.enter_context(balancing([first.port, second.port], tmp_path))
        on_first, on_second = (sockets.enter_context(opened(port)) for _ in range(2))
        assert (first.places.busy, second.places.busy) == (1, 1)
        first_runs.close()
        with pytest.raises(ConnectionClosed):
            on_first.recv(10)
        sockets.enter_context(opened(port))
        assert second.places.busy == 2
        on_second.send('{"type": "session.update", "session": {"type": "realtime"}}')
        assert "session.updated" in on_second.recv(10)
