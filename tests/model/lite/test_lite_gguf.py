"""Chat models of the user's own: what crashes llama.cpp ends a trial, not this process."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from covo_cli.settings.settings import load_settings, models_dir
from model.errors import ChatError
from model.lite import CHAT_FILE, choose_chat, gguf, llama
from model.lite.chat import ChatSampling, LlamaChat, Message
from model.lite.llama import LlamaModel
from model.weights.packages import WeightStore
from tests.fuzz.inputs import gguf_file

ABORTING = {"no block": 0, "too many blocks": 513, "all ones": 0xFFFF_FFFF}


def write(folder: Path, content: bytes) -> Path:
    path = folder / "own.gguf"
    path.write_bytes(content)
    return path


@pytest.fixture
def xllamacpp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
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
            LlamaChat(LlamaModel(path), ChatSampling()).load()
        assert "\n" not in str(error.value)
    assert "llama.cpp ended over" in caplog.text


@pytest.mark.parametrize(
    ("ending", "told"),
    [("os.kill(os.getpid(), 11)", "ended with SIGSEGV"), ("os._exit(3)", "exit status 3")],
)
def test_every_way_to_end_is_told(tmp_path, xllamacpp, ending: str, told: str) -> None:
    xllamacpp(f"import os\n{ending}")
    with pytest.raises(ChatError, match=told):
        LlamaChat(LlamaModel(write(tmp_path, b"GGUF")), ChatSampling()).load()


def test_a_trial_that_hangs_is_ended(tmp_path, xllamacpp, monkeypatch) -> None:
    monkeypatch.setattr(gguf, "_TRIAL_S", 0.3)
    xllamacpp("import threading\nthreading.Event().wait()")
    with pytest.raises(ChatError, match=r"not done after 0 s"):
        LlamaChat(LlamaModel(write(tmp_path, b"GGUF")), ChatSampling()).load()


def test_closing_ends_a_trial(tmp_path, xllamacpp) -> None:
    fifo = tmp_path / "begun"
    os.mkfifo(fifo)
    xllamacpp(f"import threading\nopen({str(fifo)!r}, 'w').close()\nthreading.Event().wait()")
    chat = LlamaChat(LlamaModel(write(tmp_path, b"GGUF")), ChatSampling())
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
        LlamaChat(LlamaModel(write(tmp_path, b"GGUF" + b"\0" * 400)), ChatSampling()).load()


@pytest.mark.weights
def test_a_good_file_is_tried_once_and_a_pinned_one_never(tmp_path, monkeypatch) -> None:
    path = WeightStore(models_dir(load_settings())).path("smollm2-135m", CHAT_FILE)
    trials: list[Path] = []
    run = gguf._run_trial
    monkeypatch.setattr(gguf, "_survived", set())
    monkeypatch.setattr(gguf, "_run_trial", lambda *a: trials.append(a[0]) or run(*a))
    pinned = LlamaChat(LlamaModel(path, pinned=True), ChatSampling())
    pinned.prepare([Message("user", "Hello.")])
    pinned.close()
    assert trials == []
    said: list[str] = []
    for _ in range(2):
        chat = LlamaChat(LlamaModel(path), ChatSampling(max_tokens=3))
        chat.load(said.append)
        assert list(chat.stream([Message("user", "Hello.")], lambda: False))
        chat.close()
    assert trials == [path]
    assert said[:2] == [f"trying {path.stem}", f"loading {path.stem}"]


def test_a_model_of_ones_own_uses_the_physical_cores(tmp_path, monkeypatch) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(gguf, "_QUOTA", quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(12), raising=False)
    table = (
        # physical cores, the container's quota, cores to use
        (6, None, 6),
        (6, "max 100000", 6),
        (64, None, 8),
        (1, None, 1),
        (6, "250000 100000", 2),
        (6, "50000 100000", 1),
        (None, "300000 100000", 3),
    )
    for physical, allowed, cores in table:
        quota.unlink(missing_ok=True)
        if allowed:
            quota.write_text(allowed)
        monkeypatch.setattr("psutil.cpu_count", lambda logical, n=physical: n)
        monkeypatch.setattr(os, "cpu_count", lambda: 16)
        assert gguf.own_cores() == cores, (physical, allowed)
    started: list[int] = []
    monkeypatch.setattr(gguf, "_QUOTA", tmp_path / "none")
    monkeypatch.setattr("psutil.cpu_count", lambda logical: 6)
    monkeypatch.setattr(
        llama, "start_server", lambda path, **about: started.append(about["threads"])
    )
    monkeypatch.setattr(llama, "try_gguf", lambda *_, **__: None)
    own = write(tmp_path, b"GGUF")
    monkeypatch.setattr(WeightStore, "path", lambda self, piece, file: own)
    for model in (str(own), ""):
        choose_chat(WeightStore(tmp_path), model, "", None)[0].load()
    assert started == [6, 2]


def test_how_fast_a_model_writes_is_counted_in_tokens(tmp_path, monkeypatch) -> None:
    clock = iter(0.25 * n for n in range(100))

    class Server:
        def __init__(self, written: range) -> None:
            self.written = written

        def handle_completions(self, request, receive) -> None:
            for count in self.written:
                if receive({"timings": {"predicted_n": count}}):
                    return
                assert count < 20, "it goes on writing after 1.5 s"

    monkeypatch.setattr(gguf.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(gguf, "start_server", lambda *_, **__: Server(range(1, 99, 2)))
    assert gguf.writing_speed(tmp_path, threads=2) == 8.0
    monkeypatch.setattr(gguf, "start_server", lambda *_, **__: Server(range(1, 2)))
    with pytest.raises(ChatError, match="it wrote nothing"):
        gguf.writing_speed(tmp_path, threads=2)
