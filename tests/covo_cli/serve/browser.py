"""A headless Chromium with a file as its microphone, driven by the DevTools protocol.

The few commands that are needed are stable, and the protocol is JSON over a WebSocket, for which
covo has a client; so no browser driver needs to be installed and kept in step with the browser.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from websockets.sync.client import connect

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--remote-debugging-port=0", "--autoplay-policy=user-gesture-required"),
    "--use-fake-device-for-media-stream",
)
_START_S = 60.0


def chromium() -> str:
    """The browser's program; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("needs Chromium")
    return found


class Browser:
    """One page of a running browser. ``messages``: what it wrote on its console."""

    def __init__(self, devtools: str) -> None:
        self._socket = connect(devtools, proxy=None, max_size=None)
        self._asked = 0
        self.messages: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Carry out a command of the protocol."""
        self._asked += 1
        self._socket.send(json.dumps({"id": self._asked, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._socket.recv(_START_S))
            if told.get("id") == self._asked:
                assert "error" not in told, told
                return dict(told["result"])
            self._note(told)

    def _note(self, told: dict[str, Any]) -> None:
        given = told.get("params", {})
        match told.get("method"):
            case "Runtime.exceptionThrown":
                details = given["exceptionDetails"]
                self.messages.append(details.get("exception", {}).get("description", str(details)))
            case "Runtime.consoleAPICalled":
                self.messages.append(str([a.get("value") for a in given["args"]]))
            case "Log.entryAdded":
                self.messages.append(given["entry"]["text"])

    def run(self, script: str) -> Any:
        """Evaluate ``script``, waiting for a promise, as if the user had pressed something."""
        options = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        told = self.do("Runtime.evaluate", expression=script, **options)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, script: str, seconds: float = 20.0) -> None:
        """Wait until ``script`` is true."""
        end = time.monotonic() + seconds
        while not self.run(f"!!({script})"):
            if time.monotonic() > end:
                shown = self.run("document.body?.innerText")
                raise AssertionError(f"never: {script}\n{shown}\n{self.messages}")
            time.sleep(0.05)

    def open(self, link: str) -> None:
        self.do("Page.navigate", url="about:blank")
        self.do("Page.navigate", url=link)
        self.until("document.readyState === 'complete' && document.body?.dataset.phase")

    def press(self, key: str, *, times: int = 1) -> None:
        """Press a key of the keyboard."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "Space": 32}
        name = " " if key == "Space" else key
        typed = {"Enter": "\r", "Space": " "}.get(key)
        for _ in range(times):
            more = {"text": typed} if typed else {}
            code = {"key": name, "code": key, "windowsVirtualKeyCode": codes[key]}
            self.do("Input.dispatchKeyEvent", type="keyDown", **code, **more)
            self.do("Input.dispatchKeyEvent", type="keyUp", **code)

    def type(self, text: str) -> None:
        self.do("Input.insertText", text=text)

    def look(self, width: int, height: int, scheme: str = "light", *, still: bool = False) -> None:
        """Make it a screen of ``width`` x ``height``; ``still``: the user wants less motion."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.do("Emulation.setDeviceMetricsOverride", **size)
        motion = "reduce" if still else "no-preference"
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        told = [{"name": name, "value": value} for name, value in features.items()]
        self.do("Emulation.setEmulatedMedia", features=told)

    def picture(self, path: Path) -> None:
        """Save what is seen."""
        data = self.do("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        self._socket.close()


@contextmanager
def browsing(sound: Path | None = None, *flags: str, allows: bool = True) -> Iterator[Browser]:
    """A browser whose microphone plays ``sound`` once. ``allows``: its user allows that."""
    program = chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        more = [*flags, f"--user-data-dir={home}"]
        if sound is not None:
            more.append(f"--use-file-for-fake-audio-capture={sound}%noloop")
        more.append("--use-fake-ui-for-media-stream" if allows else "--deny-permission-prompts")
        command = [program, *_FLAGS, *more, "about:blank"]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, stdout=quiet, stderr=quiet)
        try:
            browser = Browser(_devtools(Path(home) / "DevToolsActivePort", process))
            yield browser
            browser.close()
        finally:
            process.terminate()
            process.wait(20)


def _devtools(port_file: Path, process: subprocess.Popen[bytes]) -> str:
    end = time.monotonic() + _START_S
    while not (port_file.exists() and port_file.read_text().count("\n")):
        assert process.poll() is None, f"the browser ended with {process.returncode}"
        assert time.monotonic() < end, "the browser does not start"
        time.sleep(0.05)
    port = port_file.read_text().splitlines()[0]
    pages = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()
    return str(next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"))
