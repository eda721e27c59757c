"""What goes wrong in a pull, and what the user is told."""

from __future__ import annotations

import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from model.errors import WeightsError
from model.weights.files import WeightState
from model.weights.hub.store import HubStore
from tests.fakes.hub import CODE_COMMIT, COMMIT, LATER, FakeHub, code_files, tiny_model
from tests.model.weights.hub_tools import CODEC, NAME, store_of


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
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        store.pull(NAME)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9"),  # which needs a package
        ("HTTPS_PROXY", "::bad::"),
        ("HTTP_PROXY", "ftp://127.0.0.1:9"),
        ("SSL_CERT_FILE", "/no/such/file"),
    ],
)
def test_what_the_environment_says_of_the_network_is_no_bug(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    import huggingface_hub

    store = store_of(tmp_path, hub)
    monkeypatch.setenv(variable, value)
    monkeypatch.setitem(sys.modules, "socksio", None)
    huggingface_hub.close_session()  # it is made once, with the environment of that time
    try:
        with pytest.raises(WeightsError, match=rf"^no connection .*{variable}"):
            store.pull(NAME)
    finally:
        huggingface_hub.close_session()
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
    assert store.verify(NAME).state is WeightState.READY


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
    assert store.verify(NAME).state is WeightState.READY


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
    with pytest.raises(WeightsError, match=r"0\.0 MB are free; make room, or set models\.dir"):
        store.pull(NAME)
    assert not (tmp_path / NAME).exists()


def test_a_folder_that_cannot_be_written(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    (tmp_path / NAME).write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match="cannot write"):
        store.pull(NAME)


def test_without_the_library_its_package_is_named(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path, hub)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError, match=r"install .* huggingface_hub"):
        store.pull(NAME)
    assert store.status()[0].state is WeightState.MISSING
