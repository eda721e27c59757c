"""``covo models`` with models that the engine lite can use, from pull to remove."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from click.testing import Result
from typer.testing import CliRunner

pytest.importorskip("huggingface_hub")

from covo_cli.app import app
from covo_cli.doctor.check import Status
from covo_cli.doctor.wiring import check_hearing, unneeded_pieces
from covo_cli.engines import suggestion
from covo_cli.engines.model_choice import LITE_MEMORY, chat_memory
from covo_cli.engines.small_models import lite_cascade, whisper
from covo_cli.errors import CliError
from covo_cli.settings.settings import load_settings, save_setting
from model.errors import ChatError, RecognizerError, WeightsError
from model.weights.hub import store as store_module
from model.weights.hub.source import HubModel, hub_models
from model.weights.packages import WeightStore
from tests.fakes.hub import COMMIT, FakeHub
from tests.fuzz.inputs import gguf_file

NAME = "chat-small"
FILE = "some-0.5b-instruct-q4_k_m.gguf"
PUBLISHED = {
    ".gitattributes": b"*.gguf filter=lfs",
    "LICENSE": b"Apache License",
    "README.md": b"# Some",
    FILE: gguf_file(blocks=1),
    "some-0.5b-instruct-q8_0.gguf": b"GGUF" + bytes(90_000),
}


def moved(model: HubModel) -> HubModel:
    """The model as it is declared, but in the made-up hub's repository."""
    return replace(model, hub=replace(model.hub, repo="someone/tiny"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    models = tuple(map(moved, hub_models()))
    monkeypatch.setattr(store_module, "hub_models", lambda: models)
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    for variable in ("COVO_MODELS_DIR", "HF_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    free(monkeypatch, 8_000_000_000)
    with FakeHub() as hub:
        hub.commits[COMMIT] = PUBLISHED
        hub.tags = ["gguf", "license:apache-2.0"]
        monkeypatch.setenv("COVO_MODELS_HUB", hub.address)
        yield hub


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    memory = SimpleNamespace(available=size, total=2 * size)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def models(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["models", *arguments])


def chosen() -> str:
    return load_settings().chat.model


def test_a_chat_model_is_pulled_used_and_taken_back(hub: FakeHub, tmp_path: Path) -> None:
    assert "~490.0 MB" in models("list").stdout
    pulled = models("pull", NAME)
    assert pulled.exit_code == 0, pulled.output
    assert "(Apache-2.0; Qwen), about 490.0 MB to download, about 0.9 GB of memory" in pulled.stderr
    assert "lite uses chat-small (chat.model in" in pulled.stdout
    folder = tmp_path / "data" / "models" / NAME
    assert {path.name for path in folder.iterdir()} == {"covo.json", "LICENSE", FILE}
    facts = json.loads(models("info", NAME, "--json").stdout)
    assert (facts["state"], facts["revision"], facts["accepted"]) == ("ready", COMMIT, None)
    assert facts["files"][FILE].startswith("sha256:")
    assert chosen() == NAME
    assert "Qwen, in use)" in models("list").stdout
    assert "Nothing to download" in models("pull", NAME).stdout
    assert "goes back" in models("use", NAME).stdout
    assert models("use", "lite").exit_code == 0
    assert chosen() == ""
    assert models("use", NAME).exit_code == 0
    removed = models("remove", NAME, "--yes")
    assert "chat.model is no longer set" in removed.stdout
    assert (chosen(), folder.exists()) == ("", False)


def test_lite_is_built_with_the_pulled_file(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {FILE.replace(".gguf", f"-0000{n}-of-00002.gguf"): gguf_file() for n in (1, 2)}
    hub.commits[COMMIT] = {"LICENSE": b"Apache License", **parts}
    assert models("pull", NAME).exit_code == 0
    monkeypatch.setattr(WeightStore, "path", lambda self, piece, file: tmp_path / file)
    monkeypatch.setattr(WeightStore, "whole", lambda self, piece: tmp_path)
    cascade = lite_cascade(load_settings())
    assert cascade.chat.name == min(parts).removesuffix(".gguf")
    with pytest.raises(ChatError, match=r"cannot load .*-00001-of-00002.gguf as a chat model"):
        cascade.chat.load()
    (tmp_path / "data" / "models" / NAME / max(parts)).write_bytes(b"GGUF")
    with pytest.raises(WeightsError, match=r"chat-small is incomplete: .* has 4 bytes instead of"):
        lite_cascade(load_settings())


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("chat.url", "http://localhost:1/v1", "chat.url is set, so it is not used yet"),
        ("chat.model", "own.gguf", "lite goes on with own.gguf"),
    ],
)
def test_what_the_user_chose_stays(hub: FakeHub, setting: str, value: str, told: str) -> None:
    save_setting(setting, value)
    assert told in models("pull", NAME).stdout
    assert chosen() == (value if setting == "chat.model" else "")


def test_an_endpoint_keeps_its_model(hub: FakeHub) -> None:
    assert models("pull", NAME).exit_code == 0
    save_setting("chat.url", "http://localhost:1/v1")
    assert "in use" not in models("list").stdout
    save_setting("chat.model", "llama3.2")
    refused = models("use", NAME)
    assert isinstance(refused.exception, CliError)
    assert "covo config unset chat.url" in str(refused.exception)
    assert "(chat.url) still answers" in models("use", "lite").stdout
    assert chosen() == "llama3.2"


def test_a_model_that_does_not_fit_is_not_used_unasked(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(len(PUBLISHED[name]) for name in ("LICENSE", FILE))
    free(monkeypatch, chat_memory(size) + LITE_MEMORY - 1)
    pulled = models("pull", NAME)
    assert "needs about 1.5 GB of memory, and 1.5 GB are free" in pulled.stdout
    assert (pulled.exit_code, chosen()) == (0, "")
    assert models("use", NAME).exit_code == 0
    assert chosen() == NAME


def test_trouble_is_one_line_and_nothing_is_used(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: str) -> str:
        result = models(*arguments)
        assert result.exit_code == 1
        assert chosen() == ""
        message = str(result.exception)
        assert "\n" not in message
        return message

    assert "is not downloaded; get it with" in refused("use", NAME)
    assert "covo chat --engine covo" in refused("use", "covo-audio-chat")
    hub.tags = ["license:other"]
    assert "licensed under other, and not under apache-2.0" in refused("pull", NAME)
    hub.tags = ["license:apache-2.0"]
    hub.commits[COMMIT] = {"README.md": b"moved", "some-q8_0.gguf": b"GGUF"}
    assert "has no *[qQ]4_[kK]_[mM].gguf" in refused("pull", NAME)
    hub.commits[COMMIT] = PUBLISHED
    hub.spoil = {FILE}
    assert "other bytes than published" in refused("pull", NAME)
    hub.spoil = set()
    full = SimpleNamespace(free=1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: full)
        assert "needs" in (message := refused("pull", NAME))
        assert "are free; make room" in message
    monkeypatch.setenv("COVO_MODELS_HUB", "http://127.0.0.1:9")
    assert "check the network" in refused("pull", NAME)


def test_a_recogniser_is_pulled_and_used_when_asked_for(hub: FakeHub, tmp_path: Path) -> None:
    hub.tags = ["license:mit"]
    wanted = dict.fromkeys(("config.json", "model.bin", "tokenizer.json", "vocabulary.txt"), b"{}")
    hub.commits[COMMIT] = {**wanted, "model.safetensors": b"of something else"}
    pulled = models("pull", "whisper-small")
    assert pulled.exit_code == 0, pulled.output
    assert "covo chat --recognizer whisper-small once" in pulled.stdout
    folder = tmp_path / "data" / "models" / "whisper-small"
    assert {path.name for path in folder.iterdir()} == {"covo.json", *wanted}
    assert load_settings().hearing.model == ""
    assert "recognised by whisper-small (hearing.model in" in models("use", "whisper-small").stdout
    recognizer = whisper(load_settings())
    assert recognizer.name == "Whisper in whisper-small int8"
    with pytest.raises(RecognizerError, match="could not be loaded"):
        recognizer.load()
    assert "hearing.model is no longer set" in models("remove", "whisper-small", "--yes").stdout
    settings = load_settings({"hearing.model": "whisper-small"})
    with pytest.raises(WeightsError, match="get it with `covo models pull whisper-small`"):
        whisper(settings)
    (check,) = check_hearing(settings, WeightStore(tmp_path))
    assert (check.status, "is not downloaded" in check.detail) == (Status.FAILED, True)
    assert "whisper-base" in unneeded_pieces(settings, "kokoro", "lite")


def test_what_is_suggested_follows_speed_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("COVO_MODELS_DIR", raising=False)
    missing = models("suggest")
    assert isinstance(missing.exception, WeightsError)
    assert "covo models pull" in str(missing.exception)
    embedded = tmp_path / "embedded.gguf"
    embedded.touch()
    monkeypatch.setattr(WeightStore, "path", lambda self, piece, file: embedded)
    # The smallest of the models has 494 million parameters, the embedded one 135.
    speeds = {"two cores": 10 * 494 / 134.5, "a fast machine": 100 * 494 / 134.5}
    told = {}
    for name, speed in speeds.items():
        monkeypatch.setattr(suggestion, "writing_speed", lambda path, *, threads, s=speed: s)
        free(monkeypatch, 4_000_000_000)
        result = models("suggest")
        assert result.exit_code == 0, result.output
        told[name] = result.stdout.splitlines()
    small, medium, large = told["two cores"][1:4]
    assert small.endswith("10.0 tokens/s   2.1 GB  covo models pull chat-small")
    assert medium.endswith("too slow to talk with")
    assert large.endswith("does not fit the free memory")
    assert "Fast enough is 8 tokens/s: twice the rate of speech" in told["two cores"][-1]
    assert told["a fast machine"][2].endswith("covo models pull chat-medium")
    facts = json.loads(models("suggest", "--json").stdout)
    assert [(one["fast_enough"], one["fits"]) for one in facts["models"]] == [
        (True, True),
        (True, True),
        (True, False),
    ]
    assert facts["models"][0]["memory_bytes"] == chat_memory(490_000_000) + LITE_MEMORY


def test_the_declared_chat_models() -> None:
    """Names that their publishers use for Q4_K_M: one file, or parts."""
    names = {
        "chat-small": ["qwen2.5-0.5b-instruct-q4_k_m.gguf"],
        "chat-medium": ["qwen2.5-1.5b-instruct-q4_k_m-00001-of-00002.gguf"],
        "chat-large": ["Qwen3-4B-Q4_K_M.gguf"],
    }
    for model in hub_models():
        if model.name in names:
            assert model.hub.repo.startswith("Qwen/")
            # 4.8 bits for a weight, and up to 8 in a small model.
            assert 0.6 <= model.about / model.parameters <= 1.0
            assert not model.hub.lacking(names[model.name])
            assert not any(map(model.hub.wants, ["Qwen3-4B-Q4_K_S.gguf", "a/x-q4_k_m.gguf"]))
