"""Chat models of the user's own: what crashes llama.cpp ends a trial, not this process."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from covo_cli.settings.settings import load_settings, models_dir
from model.errors import ChatError
from model.lite import CHAT_FILE, gguf
from model.lite.chat import ChatSampling, LlamaChat, Message
from model.weights.packages import WeightStore
from tests.fuzz.inputs import gguf_file

ABORTING = {"no block": 0, "too many blocks": 513, "all ones": 0xFFFF_FFFF}


def write(folder: Path, content: bytes) -> Path:
    path = folder / "own.gguf"
    path.write_bytes(content)
    return path


@pytest.fixture
def llama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a module of this source in xllamacpp's place in the process of a trial."""

    def replace(source: str) -> None:
        (tmp_path / "xllamacpp.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return replace


@pytest.mark.parametrize("blocks", ABORTING.values(), ids=ABORTING)
def test_a_header_that_aborts_llama_cpp_is_one_line_every_time(tmp_path, blocks, caplog) -> None:
    path = write(tmp_path, gguf_file(blocks=blocks))
    for _ in range(2):
        with pytest.raises(
            ChatError, match=r"cannot load .*own.gguf .*ended with SIGABRT"
        ) as error:
            LlamaChat(path, ChatSampling()).load()
        assert "\n" not in str(error.value)
    assert "llama.cpp ended over" in caplog.text


@pytest.mark.parametrize(
    ("ending", "told"),
    [("os.kill(os.getpid(), 11)", "ended with SIGSEGV"), ("os._exit(3)", "exit status 3")],
)
def test_every_way_to_end_is_told(tmp_path, llama, ending: str, told: str) -> None:
    llama(f"import os\n{ending}")
    with pytest.raises(ChatError, match=told):
        LlamaChat(write(tmp_path, b"GGUF"), ChatSampling()).load()


def test_a_trial_that_hangs_is_ended(tmp_path, llama, monkeypatch) -> None:
    monkeypatch.setattr(gguf, "_TRIAL_S", 0.3)
    llama("import threading\nthreading.Event().wait()")
    with pytest.raises(ChatError, match=r"not done after 0 s"):
        LlamaChat(write(tmp_path, b"GGUF"), ChatSampling()).load()


def test_closing_ends_a_trial(tmp_path, llama) -> None:
    fifo = tmp_path / "begun"
    os.mkfifo(fifo)
    llama(f"import threading\nopen({str(fifo)!r}, 'w').close()\nthreading.Event().wait()")
    chat = LlamaChat(write(tmp_path, b"GGUF"), ChatSampling())
    errors: list[ChatError] = []

    def load() -> None:
        try:
            chat.load()
        except ChatError as error:
            errors.append(error)

    loading = threading.Thread(target=load)
    loading.start()
    fifo.read_bytes()  # until the trial has begun
    chat.close()
    loading.join(10)
    assert ["cancelled" in str(error) for error in errors] == [True]


def test_a_folder_of_the_users_is_not_imported(tmp_path, monkeypatch) -> None:
    package = tmp_path / "model"
    package.mkdir()
    (package / "__init__.py").write_text("import os\nos._exit(7)")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ChatError, match=r"cannot load .*\(.*[Ff]ailed to"):
        LlamaChat(write(tmp_path, b"GGUF" + b"\0" * 400), ChatSampling()).load()


@pytest.mark.weights
def test_a_good_file_is_tried_once_and_a_pinned_one_never(tmp_path, monkeypatch) -> None:
    path = WeightStore(models_dir(load_settings())).path("smollm2-135m", CHAT_FILE)
    trials: list[Path] = []
    run = gguf._run_trial
    monkeypatch.setattr(gguf, "_survived", set())
    monkeypatch.setattr(gguf, "_run_trial", lambda *a: trials.append(a[0]) or run(*a))
    pinned = LlamaChat(path, ChatSampling(), pinned=True)
    pinned.prepare([Message("user", "Hello.")])
    pinned.close()
    assert trials == []
    said: list[str] = []
    for _ in range(2):
        chat = LlamaChat(path, ChatSampling(max_tokens=3))
        chat.load(said.append)
        assert list(chat.stream([Message("user", "Hello.")], lambda: False))
        chat.close()
    assert trials == [path]
    assert said[:2] == [f"trying {path.stem}", f"loading {path.stem}"]
