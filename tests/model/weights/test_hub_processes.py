"""Pulls at once, killed, and on a full disk."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from model.errors import WeightsError
from model.weights.files import PullProgress, WeightState
from model.weights.hub import store as store_module
from model.weights.hub.store import HubStore, find_model
from tests.fakes.hub import COMMIT, FakeHub, tiny_model
from tests.model.weights.hub_tools import CODEC, LAYOUT, NAME, SHARD, files_in, store_of


def test_two_pulls_at_once(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    hub.stall = SHARD
    first_failed: list[WeightsError] = []

    def first() -> None:
        try:
            store.pull(NAME)
        except WeightsError as error:
            first_failed.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    assert hub.stalled.wait(30)
    with pytest.raises(WeightsError, match="is being pulled by another process"):
        store.remove(NAME)
    hub.stall = ""

    def go_on(progress: PullProgress) -> None:
        if progress.package == "waiting for another pull":
            hub.release.set()

    second = HubStore(tmp_path, (tiny_model(),), hub.address, hub.address)
    assert second.pull(NAME, go_on) == []
    assert hub.release.is_set()  # the second did wait
    thread.join()
    assert not first_failed
    assert len([r for r in hub.asked_for(SHARD) if "range" not in r.headers]) == 1
    assert store.verify(NAME).state is WeightState.READY


PULL = """
import sys
from pathlib import Path
import huggingface_hub.constants as constants
from model.weights.hub.store import HubStore
from tests.fakes.hub import tiny_model
constants.DOWNLOAD_CHUNK_SIZE = 1000
root, address, limit = sys.argv[1:]
if int(limit):
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
from model.errors import WeightsError
try:
    HubStore(Path(root), (tiny_model(),), address, address).pull("covo-audio-chat")
except WeightsError as error:
    sys.exit(str(error))
"""


def start_pull(root: Path, hub: FakeHub, limit: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PULL, str(root), hub.address, str(limit)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_pull_that_was_killed_goes_on(hub: FakeHub, tmp_path: Path) -> None:
    hub.stall = SHARD
    store = store_of(tmp_path, hub)
    process = start_pull(tmp_path, hub)
    assert hub.stalled.wait(60)
    folder = tmp_path / NAME
    part = folder / ".downloads" / f"{hashlib.sha256(hub.commits[COMMIT][SHARD]).hexdigest()}.part"
    while not part.exists() or part.stat().st_size < 15_000:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    come = part.stat().st_size
    hub.stall = ""
    assert SHARD not in files_in(folder)
    status = store.status()[0]
    assert status.state is WeightState.PARTIAL
    assert come < status.have < status.size
    with pytest.raises(WeightsError, match="incomplete"):
        find_model_in(tmp_path)
    hub.requests.clear()
    store.pull(NAME)
    assert [r.headers.get("range") for r in hub.asked_for(SHARD)] == [f"bytes={come}-"]
    assert store.verify(NAME).state is WeightState.READY
    assert files_in(folder) == LAYOUT


def find_model_in(root: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "hub_models", lambda: (tiny_model(),))
        return find_model(NAME, root)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_disk_that_becomes_full_leaves_nothing_half_named(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    process = start_pull(tmp_path, hub, limit=30_000)
    assert "the disk became full while" in process.communicate(timeout=60)[1]
    assert process.returncode == 1
    names = files_in(tmp_path / NAME)
    assert not names & {SHARD, CODEC}
    assert {name for name in names if name not in LAYOUT} == {
        f".downloads/{hashlib.sha256(hub.commits[COMMIT][SHARD]).hexdigest()}.part"
    }
    assert store.status()[0].state is WeightState.PARTIAL
    store.pull(NAME)
    assert files_in(tmp_path / NAME) == LAYOUT
