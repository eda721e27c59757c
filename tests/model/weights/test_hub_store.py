"""The states of the models in the store, and their licences."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from model.errors import WeightsError
from model.weights.files import WeightState
from model.weights.hub import store as store_module
from model.weights.hub.source import hub_models
from model.weights.hub.store import HubStore, find_model
from tests.fakes.hub import LICENCE, FakeHub, code_files, tiny_model
from tests.model.weights.hub_tools import NAME, SHARD, store_of


def test_damage_is_found_and_repaired(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    store.pull(NAME)
    shard, voice = tmp_path / NAME / SHARD, tmp_path / NAME / "voices/default/prompt_token.npy"
    shard.write_bytes(bytes(50_000))
    assert store.status()[0].state is WeightState.READY  # by the sizes
    status = store.verify(NAME)
    assert status.state is WeightState.DAMAGED
    assert status.problems == (f"{shard} has other bytes than the published ones",)
    voice.write_bytes(b"short")
    assert store.status()[0].state is WeightState.DAMAGED
    assert sorted(store.pull(NAME)) == [SHARD, "voices/default/prompt_token.npy"]
    assert store.verify(NAME).state is WeightState.READY


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


def test_a_damaged_manifest_says_so(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    store.pull(NAME)
    manifest = tmp_path / NAME / "covo.json"
    good = json.loads(manifest.read_text())
    for spoiled in ("{", "{}", '{"format": 2}'):
        manifest.write_text(spoiled)
        status = store.status()[0]
        assert status.state is WeightState.DAMAGED
        assert "pull again" in status.problems[0]
        with pytest.raises(WeightsError, match="pull again"):
            store.pull(NAME)
    good["files"][0]["name"] = "../escaped"
    manifest.write_text(json.dumps(good))
    assert "no name for a file" in store.status()[0].problems[0]
    manifest.unlink()
    assert store.status()[0].state is WeightState.PARTIAL
    hub.requests.clear()
    store.pull(NAME)
    assert not hub.asked_for(SHARD)  # what is whole is kept
    assert store.verify(NAME).state is WeightState.READY


def test_find_model(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "hub_models", lambda: (tiny_model(),))
    with pytest.raises(
        WeightsError, match=rf"is not downloaded; get it with `covo models pull {NAME}`"
    ):
        find_model(NAME, tmp_path)
    store = store_of(tmp_path, hub)
    store.pull(NAME)
    assert find_model(NAME, tmp_path) == tmp_path / NAME
    (tmp_path / NAME / SHARD).unlink()
    with pytest.raises(WeightsError, match=rf"incomplete: .*{SHARD} is missing; get it with"):
        find_model(NAME, tmp_path)
    own = tmp_path / "own"
    own.mkdir()
    assert find_model(str(own), tmp_path) == own
    with pytest.raises(WeightsError, match=f"neither a folder nor a known model.*{NAME}"):
        find_model("covo-audio", tmp_path)


def test_remove(hub: FakeHub, tmp_path: Path) -> None:
    store = store_of(tmp_path, hub)
    assert store.remove(NAME) == 0
    store.pull(NAME)
    size = store.status()[0].size
    assert store.remove(NAME) >= size
    assert store.status()[0].state is WeightState.MISSING
    with pytest.raises(WeightsError, match="there is no model called 'x'; there are: covo"):
        store.remove("x")


def test_the_model_that_covo_knows_is_complete() -> None:
    (model,) = (model for model in hub_models() if model.name == NAME)
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
