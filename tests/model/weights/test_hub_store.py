"""The store of hub models, against a local server that plays the hub."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

constants = pytest.importorskip("huggingface_hub.constants")

from model.errors import WeightsError
from model.weights.hub import HubStore, ModelState, find_model
from model.weights.hub import store as store_module
from model.weights.hub.source import hub_models
from model.weights.packages import PullProgress
from tests.fakes.hub import CODE_COMMIT, COMMIT, LATER, LICENCE, FakeHub, code_files, tiny_model

NAME = "covo-audio-chat"
SHARD = "model-00001-of-00001.safetensors"
CODEC = "token2wav/model.pt"
LAYOUT = {
    *("LICENSE", "config.json", "covo.json", SHARD, CODEC, "token2wav/config.json"),
    *("token2wav/global_mean_var.npy", "voices/default/prompt_token.npy"),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies come in small pieces, retries do not wait, and no token of the machine is sent."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nonexistent/token")
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        yield hub


def store_of(root: Path, hub: FakeHub, *, accepted: bool = True) -> HubStore:
    store = HubStore(root, (tiny_model(),), hub.address, hub.address)
    if accepted:
        store.accept_licence(NAME, lambda model, text: True)
        hub.requests.clear()
    return store


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_pull_makes_the_layout_that_the_engine_reads(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    assert store.status()[0].state is ModelState.MISSING
    told: list[PullProgress] = []
    fetched = store.pull(NAME, told.append)
    folder = tmp_path / NAME
    assert files_in(folder) == LAYOUT
    assert set(fetched) == LAYOUT - {"covo.json"}
    assert (folder / SHARD).read_bytes() == hub.commits[COMMIT][SHARD]
    assert (folder / "LICENSE").read_bytes() == LICENCE
    status = store.status()[0]
    assert status.state is ModelState.READY
    assert status.have == status.size == sum((folder / name).stat().st_size for name in fetched)
    assert store.verify(NAME).state is ModelState.READY
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
    assert find_status(tmp_path) is ModelState.READY
    with pytest.raises(WeightsError, match=r"'mirror' is no address.*models\.hub"):
        HubStore(tmp_path, (tiny_model(),), "mirror").pull(NAME)


def find_status(root: Path) -> ModelState:
    return HubStore(root, (tiny_model(),)).status()[0].state


@pytest.mark.parametrize("no_ranges", [False, True])
def test_a_cut_connection_is_taken_up_again(hub: FakeHub, tmp_path: Path, no_ranges: bool) -> None:
    hub.cut, hub.cuts, hub.no_ranges = 20_500, 2, no_ranges
    store = store_of(tmp_path, hub)
    told: list[PullProgress] = []
    store.pull(NAME, told.append)
    assert store.verify(NAME).state is ModelState.READY
    assert hub.cuts == 0
    asked = [request.headers.get("range") for request in hub.asked_for(SHARD)]
    assert asked == [None, "bytes=20000-", "bytes=40000-"] or no_ranges
    assert told[-1].done == told[-1].total


def test_a_connection_that_is_reset_is_taken_up_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut, hub.cuts, hub.reset = 20_500, 3, True
    store = store_of(tmp_path, hub)
    store.pull(NAME)
    assert hub.cuts == 0
    assert store.verify(NAME).state is ModelState.READY


def test_weights_that_lie_elsewhere_are_fetched_there_without_the_token(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with FakeHub() as cdn:
        hub.cdn = cdn.address
        cdn.cut, cdn.cuts = 20_500, 1
        store = store_of(tmp_path, hub)
        store.pull(NAME)
        assert store.verify(NAME).state is ModelState.READY
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
    assert store.status()[0].state is ModelState.PARTIAL


def test_a_pull_that_failed_goes_on_at_the_byte(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut, hub.cuts, hub.gone = 20_500, 1, True
    store = store_of(tmp_path, hub)
    with pytest.raises(WeightsError, match=r"HTTP 503.*run the same pull again"):
        store.pull(NAME)
    folder = tmp_path / NAME
    assert SHARD not in files_in(folder)
    status = store.status()[0]
    assert status.state is ModelState.PARTIAL
    assert status.size - status.have == 2 * 50_000 + len(b"\x93NUMPY and so on") - 20_000
    hub.cut, hub.gone = 0, False
    hub.requests.clear()
    fetched = store.pull(NAME)
    assert [r.headers.get("range") for r in hub.asked_for(SHARD)] == ["bytes=20000-"]
    assert not hub.asked_for("config.json")
    assert fetched == [SHARD, CODEC, "token2wav/global_mean_var.npy"]
    assert files_in(folder) == LAYOUT
    assert store.verify(NAME).state is ModelState.READY


def test_a_part_that_was_spoiled_is_fetched_anew(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    digest = hashlib.sha256(hub.commits[COMMIT][SHARD]).hexdigest()
    part = tmp_path / NAME / ".downloads" / f"{digest}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(30_000))
    store.pull(NAME)
    asked = [request.headers.get("range") for request in hub.asked_for(SHARD)]
    assert asked == ["bytes=30000-", None]
    assert store.verify(NAME).state is ModelState.READY


@pytest.mark.parametrize("name", [SHARD, "config.json"])
def test_other_bytes_than_published_are_refused(hub: FakeHub, tmp_path: Path, name: str) -> None:
    hub.spoil = {name}
    store = store_of(tmp_path, hub)
    with pytest.raises(WeightsError, match="other bytes than published"):
        store.pull(NAME)
    assert name not in files_in(tmp_path / NAME)
    assert store.status()[0].state is ModelState.PARTIAL


def test_the_commit_of_the_first_pull_is_kept(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    store.pull(NAME)
    hub.commits[LATER] = {**hub.commits[COMMIT], SHARD: b"new" * 9_000, "extra.json": b"{}"}
    del hub.commits[LATER]["token2wav/global_mean_var.npy"]
    hub.branches["main"] = LATER
    (tmp_path / NAME / "config.json").unlink()
    assert store.pull(NAME) == ["config.json"]
    assert store.status()[0].manifest.revision == COMMIT  # type: ignore[union-attr]
    hub.requests.clear()
    assert sorted(store.pull(NAME, revision="main")) == ["extra.json", SHARD]
    assert not hub.asked_for(CODEC)  # the same digest in both commits
    status = store.verify(NAME)
    assert (status.state, status.manifest.revision) == (ModelState.READY, LATER)  # type: ignore[union-attr]
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
    assert store.status()[0].state is ModelState.PARTIAL
    assert not files_in(tmp_path / NAME) & {SHARD, CODEC, "renamed.safetensors"}
    hub.gone, hub.cut = False, 0
    assert sorted(store.pull(NAME)) == ["renamed.safetensors", CODEC]
    assert files_in(tmp_path / NAME) == LAYOUT - {SHARD} | {"renamed.safetensors"}
    assert store.verify(NAME).state is ModelState.READY


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (403, "GatedRepo", r"agreed to its conditions.*HF_TOKEN"),
        (401, "RepoNotFound", r"does not show it to you.*models\.hub"),
        (404, "RepoNotFound", r"does not have someone/tiny at main"),
        (404, "RevisionNotFound", r"choose another --revision"),
        (403, "", r"refuses someone/tiny at main \(HTTP 403\).*HF_TOKEN"),
        (503, "", r"just now \(HTTP 503\); try later"),
    ],
)
def test_what_the_hub_refuses_is_explained(
    hub: FakeHub, tmp_path: Path, status: int, code: str, says: str
) -> None:
    hub.status, hub.error_code = status, code
    with pytest.raises(WeightsError, match=says):
        store_of(tmp_path, hub).pull(NAME)
    assert not (tmp_path / NAME).exists()


def test_a_wrong_token(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    hub.status, hub.error_message = 401, "Invalid credentials in Authorization header"
    with pytest.raises(WeightsError, match=r"HTTP 401.*the token in HF_TOKEN .* is wrong"):
        store.pull(NAME)


def test_offline_mode_is_respected(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path, hub)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        store.pull(NAME)
    assert hub.requests == []


def test_nobody_answers(hub: FakeHub, tmp_path: Path) -> None:
    store_of(tmp_path, hub)
    store = HubStore(tmp_path, (tiny_model(),), "http://127.0.0.1:9", hub.address)
    with pytest.raises(WeightsError, match=r"could not be downloaded from http://127.0.0.1:9"):
        store.pull(NAME)


@pytest.mark.parametrize(
    "page",
    [
        b"<html>log in</html>",
        b"{}",
        b'{"id": "someone/tiny", "sha": "a", "siblings": [{"rfilename": "config.json"}]}',
    ],
)
def test_a_server_that_is_no_hub(hub: FakeHub, tmp_path: Path, page: bytes) -> None:
    hub.page = page
    with pytest.raises(WeightsError, match=r"does not answer like a model hub.*models\.hub"):
        store_of(tmp_path, hub).pull(NAME)
    assert not (tmp_path / NAME).exists()


def test_names_that_leave_the_folder_are_refused(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    hub.commits[COMMIT]["../escaped.json"] = b"{}"  # no pattern wants it: a star stays in a folder
    store.pull(NAME)
    hub.commits[LATER] = {**hub.commits[COMMIT], "..\\escaped.json": b"{}"}
    with pytest.raises(WeightsError, match="no name for a file of a model"):
        store.pull(NAME, revision=LATER)
    assert not list(tmp_path.rglob("*escaped*"))
    assert store.verify(NAME).state is ModelState.READY


def test_a_repository_of_another_layout(hub: FakeHub, tmp_path: Path) -> None:
    del hub.commits[COMMIT]["config.json"]
    with pytest.raises(WeightsError, match=r"has no config\.json.*choose another .*--revision"):
        store_of(tmp_path, hub).pull(NAME)


def test_a_file_that_the_hub_lists_and_does_not_have(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    store.pull(NAME)
    (tmp_path / NAME / CODEC).unlink()
    del hub.commits[COMMIT][CODEC]
    with pytest.raises(WeightsError, match=rf"has no {CODEC} \(HTTP 404\)"):
        store.pull(NAME)


@pytest.mark.parametrize(
    ("path", "data", "says"),
    [
        ("prompt/token.npy", b"<html>log in</html>", "something else"),
        ("token2wav/config.json", b"<html>log in</html>", "something else"),
        ("token2wav/config.json", b"[]", "no JSON object"),
        ("prompt/token.npy", None, r"has no prompt/token.npy \(HTTP 404\)"),
    ],
)
def test_a_page_of_another_server_is_no_voice(
    hub: FakeHub, tmp_path: Path, path: str, data: bytes | None, says: str
) -> None:
    store = store_of(tmp_path, hub)
    hub.code[CODE_COMMIT].pop(path)
    if data is not None:
        hub.code[CODE_COMMIT][path] = data
    with pytest.raises(WeightsError, match=says):
        store.pull(NAME)
    hub.code[CODE_COMMIT] = code_files()
    store.pull(NAME)
    assert store.verify(NAME).state is ModelState.READY


def test_damage_is_found_and_repaired(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    store.pull(NAME)
    shard, voice = tmp_path / NAME / SHARD, tmp_path / NAME / "voices/default/prompt_token.npy"
    shard.write_bytes(bytes(50_000))
    assert store.status()[0].state is ModelState.READY  # by the sizes
    status = store.verify(NAME)
    assert status.state is ModelState.DAMAGED
    assert status.problems == (f"{shard} has other bytes than the published ones",)
    voice.write_bytes(b"short")
    assert store.status()[0].state is ModelState.DAMAGED
    assert sorted(store.pull(NAME)) == [SHARD, "voices/default/prompt_token.npy"]
    assert store.verify(NAME).state is ModelState.READY


def test_the_licence_is_asked_for_once_per_text(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub, accepted=False)
    with pytest.raises(WeightsError, match="was not accepted yet"):
        store.pull(NAME)
    assert hub.requests == []
    asked: list[str] = []

    def answer(yes: bool) -> Callable[[object, Path], bool]:
        return lambda model, text: bool(asked.append(text.read_text())) or yes

    with pytest.raises(WeightsError, match="nothing was downloaded"):
        store.accept_licence(NAME, answer(False))
    store.accept_licence(NAME, answer(True))
    store.accept_licence(NAME, answer(True))
    assert asked == [LICENCE.decode()] * 2
    consent = store.status()[0].consent
    assert consent is not None
    assert consent.accepted.startswith("20")
    store.pull(NAME)
    assert store.remove(NAME) > 100_000
    store.accept_licence(NAME, answer(False))  # still on record
    # The same text at another commit is the same licence; another text is not.
    hub.code["d" * 40] = code_files()
    moved = HubStore(tmp_path, (tiny_model("d" * 40),), hub.address, hub.address)
    moved.accept_licence(NAME, answer(False))
    moved.pull(NAME)
    assert len(asked) == 2
    hub.code["e" * 40] = {**code_files(), "LICENSE": LICENCE + b"And no sound.\n"}
    other = HubStore(tmp_path, (tiny_model("e" * 40),), hub.address, hub.address)
    with pytest.raises(WeightsError, match="not accepted"):
        other.accept_licence(NAME, answer(False))


def test_an_error_page_is_no_licence(hub: FakeHub, tmp_path: Path) -> None:
    hub.code[CODE_COMMIT]["LICENSE"] = b"<html>log in</html>"
    store = store_of(tmp_path, hub, accepted=False)
    with pytest.raises(WeightsError, match="is not its text"):
        store.accept_licence(NAME, lambda model, text: True)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in {".txt", ".json", ".part"}]


def test_a_small_disk_is_seen_before_anything_is_fetched(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path, hub)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10_000))
    with pytest.raises(WeightsError, match=r"0\.0 GB are free; make room, or set models\.dir"):
        store.pull(NAME)
    assert not (tmp_path / NAME).exists()


def test_a_folder_that_cannot_be_written(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    (tmp_path / NAME).write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match="cannot write"):
        store.pull(NAME)


def test_a_damaged_manifest_says_so(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    store.pull(NAME)
    manifest = tmp_path / NAME / "covo.json"
    good = json.loads(manifest.read_text())
    for spoiled in ("{", "{}", '{"format": 2}'):
        manifest.write_text(spoiled)
        status = store.status()[0]
        assert status.state is ModelState.DAMAGED
        assert "pull again" in status.problems[0]
        with pytest.raises(WeightsError, match="pull again"):
            store.pull(NAME)
    good["files"][0]["name"] = "../escaped"
    manifest.write_text(json.dumps(good))
    assert "no name for a file" in store.status()[0].problems[0]
    manifest.unlink()
    assert store.status()[0].state is ModelState.PARTIAL
    hub.requests.clear()
    store.pull(NAME)
    assert not hub.asked_for(SHARD)  # what is whole is kept
    assert store.verify(NAME).state is ModelState.READY


def test_find_model(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "hub_models", lambda: (tiny_model(),))
    with pytest.raises(WeightsError, match=rf"is not here; get it with `covo models pull {NAME}`"):
        find_model(NAME, tmp_path)
    store = store_of(tmp_path, hub)
    store.pull(NAME)
    assert find_model(NAME, tmp_path) == tmp_path / NAME
    (tmp_path / NAME / SHARD).unlink()
    with pytest.raises(WeightsError, match=rf"not whole: .*{SHARD} is missing; get it with"):
        find_model(NAME, tmp_path)
    own = tmp_path / "own"
    own.mkdir()
    assert find_model(str(own), tmp_path) == own
    with pytest.raises(WeightsError, match=f"neither a folder nor a model.*{NAME}"):
        find_model("covo-audio", tmp_path)


def test_remove(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    assert store.remove(NAME) == 0
    store.pull(NAME)
    size = store.status()[0].size
    assert store.remove(NAME) >= size
    assert store.status()[0].state is ModelState.MISSING
    with pytest.raises(WeightsError, match="there is no model called 'x'; there are: covo"):
        store.remove("x")


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
    assert store.verify(NAME).state is ModelState.READY


PULL = """
import sys
from pathlib import Path
import huggingface_hub.constants as constants
from model.weights.hub import HubStore
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
    assert status.state is ModelState.PARTIAL
    assert come < status.have < status.size
    with pytest.raises(WeightsError, match="not whole"):
        find_model_in(tmp_path)
    hub.requests.clear()
    store.pull(NAME)
    assert [r.headers.get("range") for r in hub.asked_for(SHARD)] == [f"bytes={come}-"]
    assert store.verify(NAME).state is ModelState.READY
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
    assert store.status()[0].state is ModelState.PARTIAL
    store.pull(NAME)
    assert files_in(tmp_path / NAME) == LAYOUT


def test_without_the_library_the_extra_is_named(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path, hub)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError, match=r"pip install 'covo\[covo\]'"):
        store.pull(NAME)
    assert store.status()[0].state is ModelState.MISSING


def test_the_model_that_covo_knows_is_complete() -> None:
    (model,) = hub_models()
    assert model.name == NAME
    assert len(model.licence.terms) == 2
    assert len(model.code.revision) == 40
    names = {file.name for file in model.code.files}
    assert model.licence.file in names
    for array in ("prompt_token", "prompt_latent", "speaker_embed"):
        assert f"voices/default_female/{array}.npy" in names
    published = [
        *("config.json", "tokenizer.json", "model-00001-of-00004.safetensors"),
        *("token2wav/model.pt", "token2wav/global_mean_var.npy"),
    ]
    assert all(model.hub.wants(name) for name in published)
    assert model.hub.lacking(published) == []
    assert not model.hub.wants("modeling_covo_audio.py")
    without_shards = [name for name in published if not name.endswith(".safetensors")]
    # Weights of token2wav are no shard of the network.
    assert model.hub.lacking([*without_shards, "token2wav/model.safetensors"]) == ["*.safetensors"]
