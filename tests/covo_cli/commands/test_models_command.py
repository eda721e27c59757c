"""``covo models`` with a model of the hub, from pull to remove."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import Result
from typer.testing import CliRunner

pytest.importorskip("huggingface_hub")

from covo_cli.app import app
from covo_cli.commands import models as command
from model.weights.hub import store as store_module
from tests.fakes.hub import COMMIT, LATER, LICENCE, FakeHub, tiny_model

NAME = "covo-audio-chat"
SHARD = "model-00001-of-00001.safetensors"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr(store_module, "hub_models", lambda: (tiny_model(),))
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    for variable in ("COVO_MODELS_DIR", "HF_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    with FakeHub() as hub:
        monkeypatch.setenv("COVO_MODELS_HUB", hub.address)
        monkeypatch.setenv("COVO_MODELS_CODE_HOST", hub.address)
        yield hub


def models(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, ["models", *arguments], input=answer)


def ask_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))


def state() -> dict[str, object]:
    entries = {entry["name"]: entry for entry in json.loads(models("list", "--json").stdout)}
    found: dict[str, object] = entries[NAME]
    return found


def test_a_script_must_accept_the_licence_by_a_flag(hub: FakeHub, tmp_path: Path) -> None:
    refused = models("pull", NAME)
    assert refused.exit_code == 1
    text = tmp_path / "data" / "models" / "licences" / f"{NAME}.txt"
    assert "pull with --accept-license" in str(refused.exception)
    assert str(text) in str(refused.exception)
    assert text.read_bytes() == LICENCE
    assert "No use." in refused.stderr
    assert state()["state"] == "missing"
    pulled = models("pull", NAME, "--accept-license")
    assert pulled.exit_code == 0, pulled.output
    assert "No warranty." in pulled.stderr
    assert f"Downloaded {NAME} (7 files) to {text.parents[1] / NAME}" in pulled.stdout
    assert state()["state"] == "ready"
    again = models("pull", NAME)
    assert "Nothing to download" in again.stdout
    assert "No use." not in again.output


def test_a_person_is_asked_once(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_at_a_terminal(monkeypatch)
    refused = models("pull", NAME, answer="n\n")
    assert "nothing was downloaded" in str(refused.exception)
    assert not hub.asked_for(SHARD)
    assert models("pull", NAME, answer="y\n").exit_code == 0
    assert models("remove", NAME, "--yes").exit_code == 0
    assert models("pull", NAME).exit_code == 0


def test_the_license_is_shown_with_its_address_or_its_text(hub: FakeHub) -> None:
    before = models("license").stdout
    assert "No use." in before
    assert f"{hub.address}/Someone/Code/{'c' * 40}/LICENSE" in before
    models("pull", NAME, "--accept-license")
    assert LICENCE.decode().strip() in models("license", NAME).stdout
    assert "Apache-2.0" in models("license", "lite").stdout


def test_info_shows_the_revision_the_sizes_and_what_is_missing(
    hub: FakeHub, tmp_path: Path
) -> None:
    assert "not yet" in models("info", NAME).stdout
    models("pull", NAME, "--accept-license")
    whole = models("info", NAME).stdout
    assert COMMIT in whole
    assert SHARD in whole
    (tmp_path / "data" / "models" / NAME / SHARD).unlink()
    part = models("info", NAME).stdout
    assert f"{SHARD} is missing" in part
    assert f"resume with `covo models pull {NAME}`" in part
    facts = json.loads(models("info", NAME, "--json").stdout)
    assert (facts["state"], facts["revision"]) == ("partial", COMMIT)
    assert facts["download_bytes"] == 50_000
    assert "partial" in models("list").stdout
    assert json.loads(models("info", "lite", "--json").stdout)[0]["name"] == "silero-vad"


def test_verify_finds_a_changed_byte_and_says_what_to_do(hub: FakeHub, tmp_path: Path) -> None:
    models("pull", NAME, "--accept-license")
    assert models("verify", NAME).exit_code == 0
    shard = tmp_path / "data" / "models" / NAME / SHARD
    shard.write_bytes(bytes(50_000))
    wrong = models("verify", NAME)
    assert wrong.exit_code == 1
    assert "other bytes than the published ones" in wrong.stdout
    assert f"Repair it with `covo models pull {NAME}`" in wrong.stdout
    assert "silero-vad" not in wrong.stdout
    entries = json.loads(models("verify", "--json").stdout)
    assert {entry["name"]: entry["state"] for entry in entries}[NAME] == "damaged"
    assert models("pull", NAME).exit_code == 0
    assert models("verify", NAME).exit_code == 0


def test_another_revision_is_pulled_when_asked_for(hub: FakeHub) -> None:
    models("pull", NAME, "--accept-license")
    hub.commits[LATER] = {**hub.commits[COMMIT], SHARD: b"new" * 9_000}
    assert models("pull", NAME, "--revision", LATER).exit_code == 0
    assert state()["revision"] == LATER
    unknown = models("pull", NAME, "--revision", "v9")
    assert "has no someone/tiny at v9; choose another --revision" in str(unknown.exception)
    assert state()["state"] == "ready"
    assert "do not apply to lite" in str(models("pull", "lite", "--revision", LATER).exception)


def test_remove_asks(hub: FakeHub, tmp_path: Path) -> None:
    models("pull", NAME, "--accept-license")
    folder = Path(models("path", NAME).stdout.strip())
    assert folder == tmp_path / "data" / "models" / NAME
    assert models("remove", NAME, answer="n\n").exit_code == 1
    assert "not a terminal; pass --yes" in str(models("remove", NAME).exception)
    assert folder.exists()
    removed = models("remove", NAME, answer="y\n")
    assert "Freed 0 MB" in removed.stdout
    assert not folder.exists()
    assert models("path").stdout.strip() == str(folder.parent)
    assert models("path", "lite").stdout.strip() == str(folder.parent / "lite")


@pytest.mark.parametrize("verb", ["info", "pull", "verify", "path", "license", "remove"])
def test_an_unknown_name(hub: FakeHub, verb: str) -> None:
    unknown = models(verb, "covo")
    assert unknown.exit_code == 1
    assert f"known: lite, {NAME}" in str(unknown.exception)


def test_the_list_needs_no_library(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert NAME in models("list").stdout
    assert "huggingface_hub" in str(models("pull", NAME).exception)
