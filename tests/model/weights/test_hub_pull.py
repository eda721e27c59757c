"""Pulling a model from a local server that plays the hub."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from model.errors import WeightsError
from model.weights.files import PullProgress, WeightState
from model.weights.hub.store import HubStore
from tests.fakes.hub import CODE_COMMIT, COMMIT, LATER, LICENCE, FakeHub, tiny_model
from tests.model.weights.hub_tools import CODEC, LAYOUT, NAME, SHARD, files_in, store_of


def test_a_pull_makes_the_layout_that_the_engine_reads(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    assert store.status()[0].state is WeightState.MISSING
    told: list[PullProgress] = []
    fetched = store.pull(NAME, told.append)
    folder = tmp_path / NAME
    assert files_in(folder) == LAYOUT
    assert set(fetched) == LAYOUT - {"covo.json"}
    assert (folder / SHARD).read_bytes() == hub.commits[COMMIT][SHARD]
    assert (folder / "LICENSE").read_bytes() == LICENCE
    status = store.status()[0]
    assert status.state is WeightState.READY
    assert status.have == status.size == sum((folder / name).stat().st_size for name in fetched)
    assert store.verify(NAME).state is WeightState.READY
    bars = [progress for progress in told if progress.total]
    assert [bar.done for bar in bars] == sorted(bar.done for bar in bars)
    assert bars[-1].done == bars[-1].total


def test_the_manifest_says_what_came_from_where(hub: FakeHub, tmp_path: Path) -> None:
    store_of(tmp_path, hub).pull(NAME)
    manifest = json.loads((tmp_path / NAME / "covo.json").read_text())
    assert manifest["hub"] == {"repo": "someone/tiny", "revision": COMMIT}
    assert manifest["code"] == {"repo": "Someone/Code", "revision": CODE_COMMIT}
    assert manifest["licence"]["sha256"] == hashlib.sha256(LICENCE).hexdigest()
    digests = {file["name"]: file["digest"] for file in manifest["files"]}
    assert digests[SHARD] == f"sha256:{hashlib.sha256(hub.commits[COMMIT][SHARD]).hexdigest()}"
    assert digests["config.json"].startswith("git-sha1:")


def test_a_second_pull_asks_nobody(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    store.pull(NAME)
    hub.requests.clear()
    assert store.pull(NAME) == []
    assert hub.requests == []


def test_only_the_two_servers_are_asked_and_only_the_hub_gets_the_token(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    store = store_of(tmp_path, hub, accepted=False)
    store.accept_licence(NAME, lambda model, text: True)
    store.pull(NAME)
    for request in hub.requests:
        sent = request.headers.get("authorization")
        assert sent == (None if request.path.startswith("/Someone/Code") else "Bearer hf_secret")
        assert "torch" not in request.headers["user-agent"]
        assert "agent/" not in request.headers["user-agent"]
    assert not hub.asked_for("modeling_tiny.py")
    assert not hub.asked_for(".gitattributes")


def test_the_mirror_is_the_settings_or_the_variables(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_of(tmp_path, hub)
    monkeypatch.setenv("HF_ENDPOINT", hub.address + "/")
    HubStore(tmp_path, (tiny_model(),), code_host=hub.address).pull(NAME)
    assert find_status(tmp_path) is WeightState.READY
    with pytest.raises(WeightsError, match=r"'mirror' is no address.*models\.hub"):
        HubStore(tmp_path, (tiny_model(),), "mirror").pull(NAME)


def find_status(root: Path) -> WeightState:
    return HubStore(root, (tiny_model(),)).status()[0].state


@pytest.mark.parametrize("no_ranges", [False, True])
def test_a_cut_connection_is_taken_up_again(hub: FakeHub, tmp_path: Path, no_ranges: bool) -> None:
    hub.cut, hub.cuts, hub.no_ranges = 20_500, 2, no_ranges
    store = store_of(tmp_path, hub)
    told: list[PullProgress] = []
    store.pull(NAME, told.append)
    assert store.verify(NAME).state is WeightState.READY
    assert hub.cuts == 0
    asked = [request.headers.get("range") for request in hub.asked_for(SHARD)]
    assert asked == [None, "bytes=20000-", "bytes=40000-"] or no_ranges
    assert told[-1].done == told[-1].total


def test_a_connection_that_is_reset_is_taken_up_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut, hub.cuts, hub.reset = 20_500, 3, True
    store = store_of(tmp_path, hub)
    store.pull(NAME)
    assert hub.cuts == 0
    assert store.verify(NAME).state is WeightState.READY


def test_weights_that_lie_elsewhere_are_fetched_there_without_the_token(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with FakeHub() as cdn:
        hub.cdn = cdn.address
        cdn.cut, cdn.cuts = 20_500, 1
        store = store_of(tmp_path, hub)
        store.pull(NAME)
        assert store.verify(NAME).state is WeightState.READY
        asked = [request.headers.get("range") for request in cdn.asked_for(SHARD)]
        assert asked == [None, "bytes=20000-"]
        assert not [r for r in cdn.requests if "authorization" in r.headers]
        assert [r for r in hub.asked_for(SHARD) if r.headers["authorization"]]


def test_a_server_that_always_starts_anew_is_given_up(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut, hub.no_ranges = 20_500, True
    store = store_of(tmp_path, hub)
    with pytest.raises(WeightsError, match="cut off again and again"):
        store.pull(NAME)
    assert len(hub.asked_for(SHARD)) == 5
    assert store.status()[0].state is WeightState.PARTIAL


def test_a_pull_that_failed_goes_on_at_the_byte(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut, hub.cuts, hub.gone = 20_500, 1, True
    store = store_of(tmp_path, hub)
    with pytest.raises(WeightsError, match=r"HTTP 503.*run the same pull again"):
        store.pull(NAME)
    folder = tmp_path / NAME
    assert SHARD not in files_in(folder)
    status = store.status()[0]
    assert status.state is WeightState.PARTIAL
    assert status.size - status.have == 2 * 50_000 + len(b"\x93NUMPY and so on") - 20_000
    hub.cut, hub.gone = 0, False
    hub.requests.clear()
    fetched = store.pull(NAME)
    assert [r.headers.get("range") for r in hub.asked_for(SHARD)] == ["bytes=20000-"]
    assert not hub.asked_for("config.json")
    assert fetched == [SHARD, CODEC, "token2wav/global_mean_var.npy"]
    assert files_in(folder) == LAYOUT
    assert store.verify(NAME).state is WeightState.READY


def test_a_part_that_was_spoiled_is_fetched_anew(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    digest = hashlib.sha256(hub.commits[COMMIT][SHARD]).hexdigest()
    part = tmp_path / NAME / ".downloads" / f"{digest}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(30_000))
    store.pull(NAME)
    asked = [request.headers.get("range") for request in hub.asked_for(SHARD)]
    assert asked == ["bytes=30000-", None]
    assert store.verify(NAME).state is WeightState.READY


@pytest.mark.parametrize("name", [SHARD, "config.json"])
def test_other_bytes_than_published_are_refused(hub: FakeHub, tmp_path: Path, name: str) -> None:
    hub.spoil = {name}
    store = store_of(tmp_path, hub)
    with pytest.raises(WeightsError, match="other bytes than published"):
        store.pull(NAME)
    assert name not in files_in(tmp_path / NAME)
    assert store.status()[0].state is WeightState.PARTIAL


def test_the_commit_of_the_first_pull_is_kept(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    store.pull(NAME)
    hub.commits[LATER] = {**hub.commits[COMMIT], SHARD: b"new" * 9_000, "extra.json": b"{}"}
    del hub.commits[LATER]["token2wav/global_mean_var.npy"]
    hub.branches["main"] = LATER
    (tmp_path / NAME / "config.json").unlink()
    assert store.pull(NAME) == ["config.json"]
    assert store.status()[0].manifest.hub.revision == COMMIT  # type: ignore[union-attr]
    hub.requests.clear()
    assert sorted(store.pull(NAME, revision="main")) == ["extra.json", SHARD]
    assert not hub.asked_for(CODEC)  # the same digest in both commits
    status = store.verify(NAME)
    assert (status.state, status.manifest.hub.revision) == (WeightState.READY, LATER)  # type: ignore[union-attr]
    gone = LAYOUT - {"token2wav/global_mean_var.npy"} | {"extra.json"}
    assert files_in(tmp_path / NAME) == gone


def test_a_change_of_commit_that_is_cut_off_is_not_taken_for_whole(
    hub: FakeHub, tmp_path: Path
) -> None:
    store = store_of(tmp_path, hub)
    store.pull(NAME)
    # The same sizes, other bytes; and a name that the later commit does not have.
    later = {**hub.commits[COMMIT], SHARD: bytes(50_000), CODEC: bytes(50_000)}
    later["renamed.safetensors"] = later.pop(SHARD)
    hub.commits[LATER] = later
    hub.gone = True
    hub.cut, hub.cuts = 20_500, 1
    with pytest.raises(WeightsError, match="HTTP 503"):
        store.pull(NAME, revision=LATER)
    assert store.status()[0].state is WeightState.PARTIAL
    assert not files_in(tmp_path / NAME) & {SHARD, CODEC, "renamed.safetensors"}
    hub.gone, hub.cut = False, 0
    assert sorted(store.pull(NAME)) == ["renamed.safetensors", CODEC]
    assert files_in(tmp_path / NAME) == LAYOUT - {SHARD} | {"renamed.safetensors"}
    assert store.verify(NAME).state is WeightState.READY
