"""A local server that plays the model hub and the code host, as far as a pull asks them."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import struct
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote, urlsplit

import numpy as np

from model.weights.hub.source import CodeFile, CodeSource, HubModel, HubSource, Licence

COMMIT, LATER = "a" * 40, "b" * 40
CODE_COMMIT = "c" * 40
LICENCE = b"Permission is granted only for academic purposes. No warranty.\n"


def tiny_model(code_revision: str = CODE_COMMIT) -> HubModel:
    """Covo-Audio-Chat's layout, with a voice of a few numbers."""
    return HubModel(
        name="covo-audio-chat",
        what="a tiny model",
        publisher="nobody",
        licence=Licence("Tiny Terms", ("No use.", "No warranty."), "LICENSE", "academic purposes"),
        hub=HubSource(
            "someone/tiny",
            "main",
            ("*.json", "*.safetensors", "token2wav/model.pt", "token2wav/global_mean_var.npy"),
            (("config.json",), ("*.safetensors",), ("token2wav/model.pt",)),
        ),
        code=CodeSource(
            "Someone/Code",
            code_revision,
            (
                CodeFile("LICENSE", "LICENSE"),
                CodeFile("token2wav/config.json", "token2wav/config.json"),
                CodeFile("prompt/token.npy", "voices/default/prompt_token.npy", "int64", (1, 3)),
            ),
        ),
    )


def code_files() -> dict[str, bytes]:
    """What the code repository of :func:`tiny_model` serves, by path."""
    array = io.BytesIO()
    np.save(array, np.array([[1, 2, 3]]))
    return {
        "LICENSE": LICENCE,
        "token2wav/config.json": b'{"model": {}}',
        "prompt/token.npy": array.getvalue(),
    }


def weights(size: int = 50_000) -> dict[str, bytes]:
    """Files of a hub repository, two of them large: ``size`` bytes each."""
    numbers = np.random.default_rng(7)
    return {
        ".gitattributes": b"* text",
        "config.json": b'{"model_type": "tiny"}',
        "modeling_tiny.py": b"raise SystemExit('code of a model was run')",
        "model-00001-of-00001.safetensors": numbers.bytes(size),
        "token2wav/model.pt": numbers.bytes(size),
        "token2wav/global_mean_var.npy": b"\x93NUMPY and so on",
    }


@dataclass
class Request:
    """What was asked: method, path, lower-case headers."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)


class FakeHub:
    """Serves :func:`tiny_model`'s repositories; use it in a ``with`` statement.

    ``commits``: files by name, by commit; ``branches``: commit by name. ``code``: files by path.
    ``tags``: what the repository is tagged with.
    Knobs, each may be changed at any time: ``cut`` closes the connection after so many bytes of a
    body, ``cuts`` times (-1: always), with a reset if ``reset``; ``gone`` refuses all files after
    the last cut; ``status`` answers the API with an error, and ``error_code`` and ``error_message``
    are its X-Error-Code and -Message; ``page`` is the API's answer whatever is asked; ``cdn`` is
    the address to which requests for weights are sent on; ``no_ranges`` ignores Range; ``spoil``
    names files that are served with a wrong byte; ``stall`` names a file of which half is served
    before :attr:`release` is set.
    """

    def __init__(self, size: int = 50_000) -> None:
        self.commits = {COMMIT: weights(size)}
        self.branches = {"main": COMMIT}
        self.code = {CODE_COMMIT: code_files()}
        self.tags: list[str] = []
        self.token = ""
        self.cut = 0
        self.cuts = -1
        self.reset = False
        self.gone = False
        self.status = 0
        self.page = b""
        self.error_code = ""
        self.error_message = ""
        self.cdn = ""
        self.no_ranges = False
        self.spoil: set[str] = set()
        self.stall = ""
        self.release = threading.Event()
        self.stalled = threading.Event()
        self.requests: list[Request] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                path = unquote(urlsplit(self.path).path)
                headers = {key.lower(): value for key, value in self.headers.items()}
                hub.requests.append(Request(self.command, path, headers))
                parts = path.strip("/").split("/")
                if parts[:2] == ["api", "models"] and parts[4:5] == ["revision"]:
                    self._api("/".join(parts[2:4]), "/".join(parts[5:]))
                elif parts[:3] == ["someone", "tiny", "resolve"] and hub.cdn:
                    self.send_response(302)
                    self.send_header("Location", hub.cdn + path)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif parts[:3] == ["someone", "tiny", "resolve"]:
                    self._file(hub.commits.get(parts[3], {}), "/".join(parts[4:]))
                elif parts[:2] == ["Someone", "Code"]:
                    self._file(hub.code.get(parts[2], {}), "/".join(parts[3:]))
                else:
                    self._refuse(404, "")

            def _api(self, repo: str, revision: str) -> None:
                commit = hub.branches.get(revision, revision)
                given = self.headers.get("Authorization", "")
                if hub.status:
                    self._refuse(hub.status, hub.error_code)
                elif hub.page:
                    self._send(hub.page, 200, {})
                elif repo != "someone/tiny" or (hub.token and given != f"Bearer {hub.token}"):
                    self._refuse(401, "RepoNotFound")
                elif commit not in hub.commits:
                    self._refuse(404, "RevisionNotFound")
                else:
                    listing = [_entry(name, data) for name, data in hub.commits[commit].items()]
                    body = {"id": repo, "sha": commit, "siblings": listing, "tags": hub.tags}
                    self._send(json.dumps(body).encode(), 200, {})

            def _file(self, files: Mapping[str, bytes], name: str) -> None:
                if hub.gone and not hub.cuts:
                    self._refuse(503, "")
                    return
                if name not in files:
                    self._refuse(404, "EntryNotFound")
                    return
                data = files[name]
                if name in hub.spoil:
                    data = bytes([data[0] ^ 1]) + data[1:]
                wanted = self.headers.get("Range", "")
                if wanted and not hub.no_ranges:
                    start = int(wanted.removeprefix("bytes=").rstrip("-"))
                    span = f"bytes {start}-{len(data) - 1}/{len(data)}"
                    self._send(data[start:], 206, {"Content-Range": span}, name)
                else:
                    self._send(data, 200, {}, name)

            def _send(
                self, body: bytes, status: int, headers: Mapping[str, str], name: str = ""
            ) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                for key, value in headers.items():
                    self.send_header(key, value)
                self.end_headers()
                if name and name == hub.stall:
                    self.wfile.write(body[: len(body) // 2])
                    self.wfile.flush()
                    hub.stalled.set()
                    hub.release.wait(60)
                    self.close_connection = True
                elif name and hub.cut and hub.cuts and len(body) > hub.cut:
                    hub.cuts -= 1
                    self.wfile.write(body[: hub.cut])
                    if hub.reset:
                        linger = struct.pack("ii", 1, 0)
                        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                        self.connection.close()
                    self.close_connection = True
                else:
                    self.wfile.write(body)

            def _refuse(self, status: int, code: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                if code:
                    self.send_header("X-Error-Code", code)
                if hub.error_message:
                    self.send_header("X-Error-Message", hub.error_message)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FakeHub:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    def asked_for(self, name: str) -> list[Request]:
        """The requests whose path ends with ``name``."""
        return [request for request in self.requests if request.path.endswith(name)]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        # Clients that die or hang up are what the tests are about.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _entry(name: str, data: bytes) -> dict[str, object]:
    blob = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
    entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": blob}
    if name.endswith((".safetensors", ".pt", ".gguf", ".bin")):
        sha256 = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"size": len(data), "sha256": sha256, "pointerSize": 134}
    return entry
