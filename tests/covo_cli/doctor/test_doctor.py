"""``covo doctor``: every check is shown a healthy machine and a broken one."""

from __future__ import annotations

import dataclasses
import errno
import importlib.machinery
import importlib.metadata
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from audio_io.errors import DeviceError
from audio_io.live.devices import Device
from covo_cli.app import app
from covo_cli.doctor import machine, sound, wiring
from covo_cli.doctor.check import Check, Status
from covo_cli.doctor.network_memory import fit_rows, shown_minutes
from covo_cli.errors import CliError, SettingsError
from covo_cli.settings.settings import Settings, load_settings
from model.covo.config.precision import SPEECH_AUTO, SPEECH_BF16
from model.weights.files import WeightState
from model.weights.manifest import Package, Piece
from model.weights.packages import PieceStatus
from tests.fakes.voices import COVO, make_pack
from voices.store import VoiceStore

GB = 1_000_000_000
MIC = Device(0, "Desk", "ALSA", 1, 0, 16_000, default_input=True)
SPEAKER = Device(1, "Box", "ALSA", 0, 2, 48_000, default_output=True)


class Devices:
    """A sound system with these devices; its microphone hears ``heard``."""

    def __init__(self, *present: Device, heard: np.ndarray | None = None) -> None:
        self.present = present
        self.heard = heard
        self.closed = False

    def devices(self) -> tuple[Device, ...]:
        return self.present

    def open(self, device: Device, kind: str, callback: Callable[[np.ndarray], None]) -> Devices:
        self._callback = callback
        return self

    def rescan(self) -> None:
        raise NotImplementedError

    rate = 16_000
    channels = 1
    latency = 0.0
    active = True

    def start(self) -> None:
        if self.heard is None:
            raise DeviceError("the microphone refuses")
        for block in np.array_split(self.heard[:, None], 20):
            self._callback(block)

    def close(self) -> None:
        self.closed = True


def fails(check: Check, *words: str) -> None:
    assert check.status is Status.FAILED, check
    assert check.fix
    for word in words:
        assert word in check.detail + check.fix


def test_packages() -> None:
    assert machine.check_packages().status is Status.OK
    check = machine.check_packages(["numpy>=1", "nothing-such>=2; python_version > '3'"])
    fails(check, "nothing-such is not installed", "install nothing-such")
    assert machine.check_packages(["x>=1; extra == 'dev'"]).status is Status.OK

    def broken(name: str) -> object:
        raise ImportError("libgomp.so.1: cannot open shared object file")

    fails(machine.check_packages(["ctranslate2>=4"], load=broken), "ctranslate2", "libgomp.so.1")
    loaded: list[str] = []
    machine.check_packages(["webrtcvad-wheels>=2", "rich"], load=loaded.append)
    assert loaded == ["webrtcvad"]


def test_covo_itself_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    fails(machine.check_packages(), "covo is not installed", "pip install")


def test_every_compiled_package_is_one_that_covo_declares() -> None:
    declared = " ".join(importlib.metadata.requires("covo") or ())
    assert [name for name in machine._COMPILED if name not in declared] == []


def test_memory_and_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def disk(free: int) -> None:
        usage = types.SimpleNamespace(free=free)
        monkeypatch.setattr("shutil.disk_usage", lambda path: asked.append(path) or usage)

    assert machine.check_memory(4 * GB, 8 * GB, 2).status is Status.OK
    short = machine.check_memory(GB, 8 * GB, None)
    assert short.status is Status.WARNING
    assert "1.0 of 8.0 GB free" in short.detail
    folder = tmp_path / "not" / "yet"
    disk(5 * GB)
    assert machine.check_disk(folder).status is Status.OK
    assert asked == [tmp_path]
    disk(GB // 2)
    assert machine.check_disk(folder).status is Status.WARNING
    disk(GB // 100)
    fails(machine.check_disk(folder), "--no-record")
    assert machine.check_disk(folder, record=False).status is Status.WARNING
    disk(GB)
    (tmp_path / "file").touch()
    fails(machine.check_disk(tmp_path / "file" / "data"), "COVO_DATA_DIR")
    too_long = tmp_path / ("x" * 300)  # as unreadable as one in a forbidden folder
    fails(machine.check_disk(too_long), "COVO_DATA_DIR")


def test_a_link_to_a_disk_that_is_not_mounted_is_told(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.symlink_to(tmp_path / "disk")
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    for link in (gone, circle):
        check = machine.check_disk(link / "covo" / "sessions")
        fails(check, "COVO_DATA_DIR")
        assert f"{link} is a link to" in check.detail
        assert "mount its disk" in check.detail
    folders = {"voices": gone / "voices", "weights": gone / "models", "logs": tmp_path / "logs"}
    (check,) = machine.check_folders(folders)
    assert check.status is Status.WARNING
    assert "voices, weights" in check.fix


def test_a_disk_that_takes_no_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    check = machine.check_disk(tmp_path / "sessions")
    fails(check, "session.dir")
    assert "Read-only file system" in check.detail
    assert machine.check_disk(tmp_path, record=False).status is Status.WARNING


def test_the_files_of_the_chat_settings_are_looked_into(tmp_path: Path) -> None:
    page = tmp_path / "model.gguf"
    page.write_text("<!DOCTYPE html>")
    empty = tmp_path / "persona.txt"
    empty.touch()
    chosen = load_settings({"chat.model": str(page), "chat.persona": str(empty)})
    model, persona = wiring.check_chat(chosen)
    fails(model, "covo config set chat.model")
    assert "is not a GGUF file" in model.detail
    fails(persona, "covo config set chat.persona")
    page.write_bytes(b"GGUF")
    empty.write_text("You are a pirate.")
    assert {check.status for check in wiring.check_chat(chosen)} == {Status.OK}
    assert list(wiring.check_chat(Settings())) == []


def test_what_a_conversation_refuses_at_its_start_is_told(
    machine_without_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = {"chat.url": "http://localhost:1", "chat.model": "tiny"}
    assert list(wiring.check_tools(load_settings(endpoint), "lite")) == []
    monkeypatch.setenv("COVO_TOOLS_ENABLED", "true")
    (check,) = wiring.check_tools(load_settings(endpoint), "lite")
    assert (check.status, check.detail) == (Status.OK, "time, timer, notes")
    (machine_without_weights / "tools.toml").write_text("[[tool")
    (check,) = wiring.check_tools(load_settings(endpoint), "lite")
    fails(check, "tools.toml is not valid TOML", "covo config unset tools.enabled")
    (machine_without_weights / "tools.toml").unlink()
    (check,) = wiring.check_tools(load_settings(), "lite")
    fails(check, "the embedded chat model cannot use tools")
    (check,) = wiring.check_chat(load_settings({"chat.url": "http://me:word@localhost:1"}))
    fails(check, "no model chosen at http://localhost:1/v1")
    (check,) = wiring.check_chat(load_settings(endpoint))
    assert check.status is Status.OK
    monkeypatch.setenv("COVO_COVO_TEXT_ONLY", "true")
    check, _ = wiring.check_engine(load_settings({"engine.name": "lite"}))
    fails(check, "COVO_COVO_TEXT_ONLY has no effect with the engine lite")


def test_a_gpu_is_reported_and_none_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.check_gpu(()).status is Status.OK
    card = machine.Gpu("Some card", 10 * GB, 24 * GB, (8, 9))
    assert machine.check_gpu((card,)).detail == "Some card, 10.0 of 24.0 GB free"
    cuda = types.SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 2,
        mem_get_info=lambda index: ((10 - index) * GB, 24 * GB),
        get_device_name=lambda index: "Some card",
        get_device_capability=lambda index: (8, 9 - index),
    )
    torch = types.ModuleType("torch")
    torch.cuda = cuda  # type: ignore[attr-defined]
    torch.__spec__ = importlib.machinery.ModuleSpec("torch", None)
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert machine.find_gpus() == (card, machine.Gpu("Some card", 9 * GB, 24 * GB, (8, 8)))
    cuda.is_available = lambda: False
    assert machine.find_gpus() == ()

    def broken(index: int) -> None:
        raise RuntimeError("CUDA error: device busy")

    cuda.is_available, cuda.mem_get_info = lambda: True, broken
    monkeypatch.setattr(
        subprocess, "run", lambda query, **_: subprocess.CompletedProcess(query, 0, "Card, 1, 2")
    )
    assert machine.find_gpus() == (machine.Gpu("Card", 2**20, 2 * 2**20),)


def test_an_older_gpu_is_told_what_it_lacks() -> None:
    old = machine.Gpu("Tesla T4", 22 * GB, 24 * GB, (7, 5))
    check = machine.check_gpu((old,))
    assert check.status is Status.WARNING
    assert "Tesla T4: compute capability 7.5: no bf16, FlashAttention" in check.detail
    assert "covo.precision fp16" in check.fix
    new = dataclasses.replace(old, capability=(8, 0))
    assert machine.check_gpu((new,)).status is Status.OK
    # Without FlashAttention, attention over ten minutes needs 0.2 GB more.
    less, more = (next(iter(fit_rows((gpu,), GB))).fits[0].total for gpu in (new, old))
    assert 0.15 * GB < more - less < 0.3 * GB


def test_without_torch_nvidia_smi_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    answers = iter(["Card A, 1, 2\nCard B, 3, 4\n", "Card A, [N/A], [N/A]\n"])

    def answer(query: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert query[0] == "nvidia-smi"
        return subprocess.CompletedProcess(query, 0, next(answers))

    monkeypatch.setattr(subprocess, "run", answer)
    mib = 2**20
    assert machine.find_gpus() == (
        machine.Gpu("Card A", 1 * mib, 2 * mib),
        machine.Gpu("Card B", 3 * mib, 4 * mib),
    )
    assert machine.find_gpus() == ()

    def missing(query: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        raise FileNotFoundError(query[0])

    monkeypatch.setattr(subprocess, "run", missing)
    assert machine.find_gpus() == ()


def test_where_the_network_would_fit() -> None:
    card = machine.Gpu("Some card", 22 * GB, 24 * GB)
    rows = {row.device: row for row in fit_rows((card,), 2 * GB)}
    shown = {name: [shown_minutes(fit) for fit in row.fits] for name, row in rows.items()}
    assert list(shown)[:2] == ["this machine: Some card", "this machine: CPU"]
    assert shown["this machine: CPU"] == ["-", "-", "-"]
    assert shown["a card of 8 GB"] == ["-", "-", "-"]
    assert shown["a card of 12 GB"][:2] == ["-", "-"]
    assert shown["a card of 80 GB"] == ["> 60 min"] * 3
    for row in rows.values():
        for fit in row.fits:
            assert (fit.minutes >= fit.wanted) == (fit.total <= row.free)
    bf16 = rows["this machine: Some card"].fits[0]
    assert (bf16.precision, bf16.token2wav) == ("bf16", SPEECH_AUTO)
    assert rows["a card of 8 GB"].fits[2].token2wav == SPEECH_BF16


def test_without_portaudio_files_still_work() -> None:
    def missing() -> Devices:
        raise DeviceError("PortAudio is missing")

    check, backend = sound.check_portaudio(missing)
    assert check.status is Status.WARNING
    assert backend is None
    assert check.detail == "PortAudio is missing"
    assert "covo chat --input FILE" in check.fix
    check, backend = sound.check_portaudio(lambda: Devices(MIC))
    assert check.status is Status.OK
    assert backend is not None


def test_devices() -> None:
    both = Devices(MIC, SPEAKER)
    check, device = sound.check_device(both, "input", "")
    assert check.status is Status.OK
    assert device == MIC
    assert "system default" in check.detail
    assert list(sound.check_channels(MIC, "")) == list(sound.check_channels(MIC, "1")) == []
    (check,) = sound.check_channels(MIC, "1, 2")
    fails(check, "names channel 2, but there are only 1", "covo config unset audio.channels")
    check, device = sound.check_device(both, "output", "box")
    assert device == SPEAKER
    assert "audio.output = box" in check.detail
    check, device = sound.check_device(Devices(SPEAKER), "input", "")
    assert check.status is Status.WARNING
    assert device is None
    check, device = sound.check_device(both, "input", "headset")
    fails(check, "headset", "covo config unset audio.input")
    assert device is None


def test_the_microphone_is_listened_to() -> None:
    tone = (0.1 * np.sin(np.arange(17_000) / 5)).astype(np.float32)
    devices = Devices(MIC, heard=tone)
    name, recorded = sound.record(devices, "desk", 1.0)
    assert (name, devices.closed) == ("Desk", True)
    np.testing.assert_array_equal(recorded, tone[:16_000])
    check = sound.check_microphone(lambda: recorded)
    assert (check.status, check.detail) == (Status.OK, "mean -23 dBFS")

    silent = Devices(MIC, heard=np.zeros(17_000, np.float32))
    fails(sound.check_microphone(lambda: sound.record(silent, "", 1.0)[1]), "only zeros")
    refusing = Devices(MIC)
    fails(sound.check_microphone(lambda: sound.record(refusing, "", 1.0)[1]), "refuses")
    assert refusing.closed


def test_settings() -> None:
    check, settings = wiring.check_settings(Settings)
    assert check.status is Status.OK

    def broken() -> Settings:
        raise SettingsError("config.toml, line 3: no")

    check, settings = wiring.check_settings(broken)
    fails(check, "line 3", "covo config edit")
    assert settings == Settings()


def test_voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = VoiceStore(tmp_path)
    check, synthesizer = wiring.check_voice(store, "emma", "lite")
    assert check.status is Status.OK
    assert synthesizer == "kokoro"
    fails(wiring.check_voice(store, "emmma", "lite")[0], "did you mean emma?")
    monkeypatch.setattr("model.lite.text.mandarin.find_spec", lambda name: None)
    check, synthesizer = wiring.check_voice(store, "xiaoxiao", "lite")
    fails(check, "pip install 'covo[chinese]'")
    assert synthesizer == "kokoro"
    monkeypatch.setattr("model.lite.text.spanish.phonemizer.find_spec", lambda name: None)
    fails(wiring.check_voice(store, "dora", "lite")[0], "pip install 'covo[spanish]'")
    make_pack(tmp_path, "anna", parts=COVO)
    fails(wiring.check_voice(store, "anna", "lite")[0], "anna is a voice for covo")
    (tmp_path / "wreck").mkdir()
    check, _ = wiring.check_voice(store, "emma", "lite")
    assert check.status is Status.WARNING
    assert "the voice wreck is broken" in check.detail


def test_weights() -> None:
    def status(name: str, state: WeightState, module: str = "") -> PieceStatus:
        piece = Piece(name, "a part", "MIT", "someone", (Package("pkg", "1.0"),), (), module)
        return PieceStatus(piece, Path(), state, "gone")

    (ready,) = wiring.check_weights([status("ears", WeightState.READY)], {})
    assert ready.status is Status.OK
    (missing,) = wiring.check_weights([status("ears", WeightState.MISSING)], {})
    fails(missing, "covo models pull lite", "gone")
    (module,) = wiring.check_weights([status("mouth", WeightState.DAMAGED, "pkg")], {})
    fails(module, "pip install", "pkg==1.0")
    (spare,) = wiring.check_weights([status("ears", WeightState.MISSING)], {"ears": "deaf"})
    assert spare.status is Status.WARNING
    assert "deaf" in spare.detail


def test_only_what_the_settings_need_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(wiring.unneeded_pieces(Settings(), "hibari", "lite")) == {"kokoro-82m"}
    for variable in [v for v in os.environ if v.startswith("COVO_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("COVO_CONFIG", "/nonexistent/config.toml")
    endpoint = {"chat.url": "http://localhost:1/v1", "audio.vad": "webrtc"}
    unneeded = wiring.unneeded_pieces(load_settings(endpoint), "kokoro", "lite")
    assert set(unneeded) == {"silero-vad"}
    settings = load_settings({**endpoint, "turns.end_of_turn": "none", "turns.only_user": False})
    unneeded = wiring.unneeded_pieces(settings, "kokoro", "lite")
    assert set(unneeded) == {"silero-vad", "smollm2-135m", "smart-turn", "campplus"}
    settings = load_settings({"covo.transcript": False})
    unneeded = wiring.unneeded_pieces(settings, "", "covo")
    assert set(unneeded) == {"smollm2-135m", "kokoro-82m", "whisper-base"}


@pytest.fixture
def machine_without_weights(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "160")
    return home


def test_the_command_fails_without_weights_and_says_what_to_do(
    machine_without_weights: Path,
) -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "covo models pull lite" in result.output
    assert "Not ready" in result.output


def test_json(machine_without_weights: Path) -> None:
    (machine_without_weights / "config.toml").write_text("[voice]\nname = 3\n")
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 1
    report = json.loads(result.output)
    checks = {check["name"]: check for check in report["checks"]}
    assert report["ready"] is False
    assert "line 2" in checks["settings"]["detail"]
    assert checks["weights: kokoro-82m"]["status"] == "warning"
    assert checks["weights: whisper-base"]["status"] == "failed"
    assert checks["weights: hibari"]["status"] == "ok"
    assert len(report["covo_memory"]) >= 7
    assert {"Python", "packages", "engine", "voice", "memory", "GPU", "disk", "PortAudio"} <= {
        *checks
    }


def test_the_disk_is_that_of_the_recordings(machine_without_weights: Path) -> None:
    (machine_without_weights / "file").touch()
    folder = machine_without_weights / "file" / "sessions"
    (machine_without_weights / "config.toml").write_text(f"[session]\ndir = '{folder}'\n")
    report = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).output)
    (disk,) = [check for check in report["checks"] if check["name"] == "disk"]
    assert (disk["status"], "session.dir" in disk["fix"]) == ("failed", True)


def test_a_ready_machine_exits_with_0(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [Check("a", Status.OK, "fine"), Check("b", Status.WARNING, "so so", "wait")]
    monkeypatch.setattr("covo_cli.doctor.run_checks", lambda gpus, *, microphone: iter(checks))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert "Ready (1 warning)" in result.output
    assert "a card of 24 GB" in result.output


@pytest.fixture
def one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [Check("a part", Status.FAILED, f"{Path.home()}/x is missing", "mend it")]
    monkeypatch.setattr("covo_cli.doctor.run_checks", lambda gpus, *, microphone: iter(checks))
    monkeypatch.setattr("covo_cli.doctor.find_gpus", tuple)


def test_a_report_holds_the_log_and_the_settings_but_nothing_private(
    machine_without_weights: Path, one_check: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = machine_without_weights
    (folder / "config.toml").write_text(
        "[chat]\nurl = 'http://secret.example/v1'\n[turns]\npatience = 'eager'\n"
    )
    monkeypatch.setenv("COVO_LOG_DIR", str(folder / "logs"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    (folder / "logs").mkdir()
    (folder / "logs" / "covo.log").write_text(
        "ValueError: a bug at http://secret.example/v1 with sk-very-secret in /home/ada/talks\n"
    )
    result = CliRunner().invoke(app, ["doctor", "--report", str(folder / "report.txt")])
    assert result.exit_code == 1
    assert f"Report: {folder / 'report.txt'}" in result.output.replace("\n", "")
    text = (folder / "report.txt").read_text()
    for wanted in ("covo 0", "python 3", "failed a part", "-> mend it", "turns.patience = 'eager'"):
        assert wanted in text
    assert "ValueError: a bug at (hidden) with (hidden) in ~/talks" in text
    for private in ("secret", "ada", str(Path.home())):
        assert private not in text


def test_a_report_hides_only_what_can_identify_somebody(
    machine_without_weights: Path, one_check: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = machine_without_weights
    (folder / "config.toml").write_text(
        "[hearing]\nlanguage = 'en'\n[audio]\ninput = 'hid'\noutput = 'Ada Lovelace'\n"
        "[voice]\nname = 'hidden'\n[session]\ndir = '/talks/of/ada'\n"
    )
    monkeypatch.setenv("COVO_LOG_DIR", str(folder / "logs"))
    monkeypatch.setenv("CHECK_TOKENS", "true")
    (folder / "logs").mkdir()
    log = "then en: true; at Ada Lovelace, not Ada Lovelaces; /talks/of/ada/1"
    (folder / "logs" / "covo.log").write_text(log)
    CliRunner().invoke(app, ["doctor", "--report", str(folder / "report.txt")])
    text = (folder / "report.txt").read_text()
    assert "then en: true; at (hidden), not Ada Lovelaces; (hidden)/1" in text
    assert "hearing.language = 'en'" in text
    for key in ("audio.input", "audio.output", "voice.name", "session.dir"):
        assert f"{key} = (" in text
    assert "tools.enabled = False" in text


def test_a_report_that_cannot_be_written(machine_without_weights: Path, one_check: None) -> None:
    target = machine_without_weights / "no folder" / "report.txt"
    result = CliRunner().invoke(app, ["doctor", "--report", str(target)])
    assert isinstance(result.exception, CliError)
    assert "No such file" in str(result.exception)
    result = CliRunner().invoke(app, ["doctor", "report.txt"])
    assert "--report" in str(result.exception)
