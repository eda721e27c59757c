"""Settings: four layers, provenance, and every way in which a value can be wrong."""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.engines.engines import turn_settings
from covo_cli.engines.persona import read_persona
from covo_cli.errors import SettingsError
from covo_cli.sessions.files import try_lock
from covo_cli.settings import settings_file
from covo_cli.settings.settings import (
    FILE_INPUT,
    OPTIONS,
    SettingOrigin,
    Settings,
    SettingSource,
    data_dir,
    load_settings,
    models_dir,
    parse_setting,
    save_setting,
    sessions_dir,
    unset_setting,
)
from model.turns.turn_settings import PATIENCE
from tests.permissions import out_of_reach


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file that is not there yet, and no COVO_ variables but those of this test."""
    for variable in [v for v in os.environ if v.startswith("COVO_")]:
        monkeypatch.delenv(variable)
    path = tmp_path / "config" / "config.toml"
    monkeypatch.setenv("COVO_CONFIG", str(path))
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    return path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_every_layer_wins_over_the_next(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().turns.silence == 0.7
    assert load_settings().origins["turns.silence"] == SettingOrigin(
        SettingSource.DEFAULT, "default"
    )
    write(file, "# mine\n\n[turns]\nsilence = 1\n")
    assert load_settings().turns.silence == 1.0
    assert load_settings().origins["turns.silence"] == SettingOrigin(
        SettingSource.FILE, f"{file}, line 4"
    )
    monkeypatch.setenv("COVO_TURNS_SILENCE", "1.5")
    assert load_settings().turns.silence == 1.5
    assert load_settings().origins["turns.silence"] == SettingOrigin(
        SettingSource.ENVIRONMENT, "COVO_TURNS_SILENCE"
    )
    settings = load_settings({"turns.silence": 2.0, "audio.input": None})
    assert settings.turns.silence == 2.0
    assert settings.origins["turns.silence"] == SettingOrigin(SettingSource.FLAG, "--silence")
    assert settings.origins["audio.input"].source is SettingSource.DEFAULT


def test_without_anything_the_defaults_hold(file: Path) -> None:
    assert load_settings() == Settings()
    assert all(option.check(option.default) == option.default for option in OPTIONS.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[turns]\nsilense = 1.0\n", "line 2: no setting 'turns.silense'; did you"),
        ("[tuns]\nsilence = 1.0\n", "did you mean turns.silence?"),
        ("voice = 'emma'\n", "line 1: no setting 'voice'"),
        ("[turns]\n\nsilence = '1'\n", "line 3: turns.silence cannot be '1': it must be a number"),
        ("[turns]\nsilence = 60\n", "it must be a number from 0.2 to 5"),
        ("[turns]\nsilence = nan\n", "it must be a number from 0.2 to 5"),
        ("[turns]\nsilence = true\n", "turns.silence cannot be true"),
        ("[turns]\nbarge_in = 1\n", "it must be true or false"),
        ("[turns]\nbarge_in = 'yes'\n", "it must be true or false"),
        ("[voice]\nname = 3\n", "it must be text in quotes"),
        ("[covo]\ntop_k = 2.5\n", "line 2: covo.top_k cannot be 2.5: it must be a whole number"),
        ("[covo]\nseed = -1\n", "it must be a whole number from 0 to 2147483647"),
        ("[covo]\nseed = true\n", "covo.seed cannot be true"),
        ("[audio]\nvad = 'sliero'\n", "silero or webrtc; did you mean silero?"),
        ("turns.silence = 99\n", "line 1: turns.silence cannot be 99"),
        (
            "[hearing]\nlanguage = 'english'\n",
            "it must be auto or a code such as en, zh or de; did",
        ),
        ("[audio]\nchannels = '0'\n", "line 2: audio.channels cannot be '0': it must be numbers"),
        ("[covo]\ndevice = 'gpu'\n", "it must be auto, cuda, cuda:1, mps or cpu"),
        ("[covo]\nguidance = '10.5'\n", "it must be off, or from 0 to 10"),
        ("[chat]\nurl = 'localhost:11434'\n", "it must be auto or an address such as http://"),
        ("[chat]\nurl = 'ftp://me:word@there'\n", "chat.url cannot be 'ftp://***@there'"),
        ("[remote]\nurl = 'http://[::1'\n", "it must be an address such as ws://HOST:8765 or"),
        ("[turns\nsilence = 1\n", "is not valid TOML"),
        (f"turns = {'[' * 10_000}", "is not valid TOML"),
        (f"turns = {'1' * 10_000}", "is not valid TOML"),
        ("[audio]\ninput = \n", "at line 2"),
        ('[session]\ndir = "a\\u0000"\n', "line 2: session.dir cannot be"),
    ],
)
def test_a_bad_file_is_an_error_that_names_place_and_remedy(
    file: Path, text: str, message: str
) -> None:
    write(file, text)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_is_no_text(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"[audio]\ninput = '\xff\xfe'\n")
    with pytest.raises(SettingsError, match="is not UTF-8"):
        load_settings()
    file.unlink()
    file.mkdir()
    with pytest.raises(SettingsError, match="cannot read the settings file"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("COVO_TURNS_SILENCE", "long", "COVO_TURNS_SILENCE: turns.silence cannot be 'long'"),
        ("COVO_TURNS_SILENCE", "inf", "a number from 0.2 to 5"),
        ("COVO_SESSION_RECORD", "maybe", "true or false"),
        (
            "COVO_AUDIO_INPT",
            "usb",
            "COVO_AUDIO_INPT is not a setting; did you mean COVO_AUDIO_INPUT?",
        ),
    ],
)
def test_a_bad_variable_is_an_error(
    file: Path, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, message: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert message in str(caught.value)


@pytest.mark.parametrize("stray", ["\r", " ", "\t\r\n"])
def test_stray_white_space_in_a_variable_does_not_count(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stray: str
) -> None:
    monkeypatch.setenv("COVO_VOICE_NAME", f"george{stray}")
    monkeypatch.setenv("COVO_CHAT_URL", f"http://localhost:11434/v1{stray}")
    monkeypatch.setenv("COVO_ENGINE_NAME", f"lite{stray}")
    monkeypatch.setenv("COVO_TURNS_SILENCE", stray)
    monkeypatch.setenv("COVO_DATA_DIR", f"{tmp_path / 'elsewhere'}{stray}")
    settings = load_settings()
    assert (settings.voice.name, settings.engine.name) == ("george", "lite")
    assert settings.chat.url == "http://localhost:11434/v1"
    assert settings.origins["turns.silence"].source is SettingSource.DEFAULT
    assert data_dir() == tmp_path / "elsewhere"


def test_variables_are_read_by_type(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVO_SESSION_RECORD", "off")
    monkeypatch.setenv("COVO_AUDIO_INPUT", "2")
    monkeypatch.setenv("COVO_TURNS_SILENCE", "")
    settings = load_settings()
    assert settings.session.record is False
    assert settings.audio.input == "2"
    assert settings.origins["turns.silence"] == SettingOrigin(SettingSource.DEFAULT, "default")


def test_texts_of_a_form_are_taken() -> None:
    taken = {
        "hearing.language": ("auto", "haw"),
        "audio.channels": ("", "3", "1, 2"),
        "covo.device": ("auto", "cpu", "mps", "cuda", "cuda:1"),
        "covo.guidance": ("", "off", "0", "2.5"),
        "chat.url": ("", "auto", "http://localhost:11434/v1", "https://me:word@[::1]:80/?a=b"),
        "remote.url": ("", "ws://there", "wss://there/v1/realtime?duplex=1", "http://there"),
    }
    for key, texts in taken.items():
        for text in texts:
            assert OPTIONS[key].parse(text) == text


def test_a_persona_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    persona = tmp_path / "pirate.txt"
    persona.write_text("You are a pirate.", encoding="utf-8-sig")
    assert read_persona(str(persona)) == "You are a pirate."


def test_flags_are_checked_too(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"no setting 'voice\.nam'; did you mean"):
        load_settings({"voice.nam": "emma"})
    with pytest.raises(SettingsError, match="auto or covo or covo-fd or lite"):
        load_settings({"engine.name": "gpt"})


def test_saving_keeps_comments_and_what_else_is_there(file: Path) -> None:
    write(file, "# top\n[audio]\ninput = 'old'  # the desk\n# below\n\n[turns]\nsilence = 1.0\n")
    save_setting("audio.input", "USB mic")
    save_setting("session.record", False)
    text = file.read_text(encoding="utf-8")
    for comment in ("# top", "# the desk", "# below"):
        assert comment in text
    settings = load_settings()
    assert settings.audio.input == "USB mic"
    assert settings.turns.silence == 1.0
    assert settings.session.record is False
    assert [p.name for p in file.parent.iterdir()] == ["config.toml"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("turns.silence", "0.9"), ("turns.silence", 0.0), ("audio.inptu", "x")),
        ("hearing.language", "english"),
    ],
)
def test_nothing_wrong_is_saved(file: Path, key: str, value: object) -> None:
    with pytest.raises(SettingsError):
        save_setting(key, value)
    assert not file.exists()


def test_saving_follows_a_link(file: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text("# dots\n", encoding="utf-8")
    file.parent.mkdir()
    file.symlink_to(real)
    save_setting("voice.name", "emma")
    assert file.is_symlink()
    assert "# dots" in real.read_text(encoding="utf-8")
    assert load_settings().voice.name == "emma"


def test_saving_keeps_who_may_read_the_file(file: Path) -> None:
    write(file, "# mine\n")
    for mode in (0o600, 0o644):
        file.chmod(mode)
        save_setting("voice.name", "emma")
        assert file.stat().st_mode & 0o777 == mode


def test_saving_keeps_the_ends_of_lines(file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(b"# mine\r\n[turns]\r\nsilence = 0.5 # short\r\n")
    save_setting("turns.silence", 0.6)
    save_setting("voice.name", "george")
    written = file.read_bytes()
    assert written.startswith(b"# mine\r\n[turns]\r\nsilence = 0.6 # short\r\n")
    assert written.count(b"\n") == written.count(b"\r\n")
    assert unset_setting("voice.name")
    assert file.read_bytes().count(b"\n") == file.read_bytes().count(b"\r\n")
    assert load_settings().turns.silence == 0.6


def test_what_is_not_set_is_unset_without_making_a_folder(file: Path) -> None:
    assert not unset_setting("voice.name")
    assert not file.parent.exists()


def test_of_two_that_save_at_once_neither_is_lost(file: Path) -> None:
    keys = [f"turns.{name}" for name in ("silence", "silence_finished", "min_speech")]
    keys += ["covo.temperature", "voice.speed", "chat.timeout"]
    starting = threading.Barrier(len(keys))

    def save(key: str) -> None:
        starting.wait(20)
        for value in (1.0, 1.2, 1.1):
            save_setting(key, value)

    threads = [threading.Thread(target=save, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    settings = load_settings()
    assert [settings.value(key) for key in keys] == [1.1] * len(keys)
    assert [p.name for p in file.parent.iterdir()] == ["config.toml"]


@pytest.mark.skipif(sys.platform == "win32", reason="there folders are not locked")
@pytest.mark.skipif(sys.platform == "win32", reason="has no such device")
def test_a_device_without_end_is_no_settings_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVO_CONFIG", "/dev/zero")
    with pytest.raises(SettingsError, match="larger than 1 MB"):
        load_settings()


def test_a_folder_out_of_reach_is_told(file: Path) -> None:
    write(file, "")
    with (
        out_of_reach(file.parent),
        pytest.raises(SettingsError, match=r"cannot write the settings file .*: Permission denied"),
    ):
        save_setting("voice.name", "george")


def test_a_program_that_never_ends_its_change_is_told(file: Path, monkeypatch) -> None:
    monkeypatch.setattr(settings_file, "_LOCK_LIMIT_S", 0.0)
    file.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    assert try_lock(folder)
    with pytest.raises(SettingsError, match="another program is changing"):
        save_setting("turns.silence", 0.5)
    os.close(folder)
    save_setting("turns.silence", 0.5)


def test_a_failed_write_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_setting("voice.name", "emma")
    before = file.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SettingsError, match="No space left on device"):
        save_setting("voice.name", "george")
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == ["config.toml"]


def test_a_broken_file_is_not_written_over(file: Path) -> None:
    write(file, "[audio\n")
    with pytest.raises(SettingsError, match="not valid TOML"):
        save_setting("audio.input", "x")
    assert file.read_text(encoding="utf-8") == "[audio\n"


def test_a_bad_value_can_be_repaired_by_setting_and_unsetting(file: Path) -> None:
    write(file, "[turns]\nsilence = 99\nsilense = 1\n")
    save_setting("turns.silence", 0.9)
    assert unset_setting("turns.silense")
    assert load_settings().turns.silence == 0.9
    assert unset_setting("turns.silence")
    assert not unset_setting("turns.silence")
    assert load_settings() == Settings()
    with pytest.raises(SettingsError, match="no setting"):
        unset_setting("turns.silense")


def test_text_from_the_shell_is_parsed_by_the_settings_type(file: Path) -> None:
    assert parse_setting("turns.barge_in", "No") is False
    assert parse_setting("turns.silence", "1") == 1.0
    assert parse_setting("audio.input", "1") == "1"
    with pytest.raises(SettingsError, match="cannot be -1:"):
        parse_setting("turns.silence", "-1")


def test_whole_numbers_stay_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [key for key, option in OPTIONS.items() if option.type is int]
    lite = ["chat.max_tokens", "chat.context"]
    assert whole == [*lite, "covo.reply_tokens", "covo.flow_steps", "covo.top_k", "covo.seed"]
    save_setting("covo.reply_tokens", parse_setting("covo.reply_tokens", "512"))
    assert file.read_text() == "[covo]\nreply_tokens = 512\n"
    monkeypatch.setenv("COVO_COVO_TOP_K", "20.0")
    covo = load_settings({"covo.seed": 7}).covo
    assert [repr(n) for n in (covo.reply_tokens, covo.top_k, covo.seed)] == ["512", "20", "7"]
    assert repr(parse_setting("turns.silence", "1")) == "1.0"
    for text in ("2.5", "1e400", "1" + "0" * 400, "nan", "many"):
        with pytest.raises(SettingsError, match="it must be a whole number from 20 to 8192"):
            parse_setting("covo.reply_tokens", text)


def test_folders(file: Path, tmp_path: Path) -> None:
    assert data_dir() == tmp_path / "data"
    settings = load_settings()
    assert models_dir(settings) == tmp_path / "data" / "models"
    assert sessions_dir(settings) == tmp_path / "data" / "sessions"
    settings = load_settings({"models.dir": "~/weights", "session.dir": str(tmp_path / "s")})
    assert models_dir(settings) == Path.home() / "weights"
    assert sessions_dir(settings) == tmp_path / "s"


def test_patience_is_resolved_in_loading(file: Path) -> None:
    assert turn_settings(load_settings()) == PATIENCE["normal"]
    assert turn_settings(load_settings({"turns.patience": "patient"})) == PATIENCE["patient"]
    mixed = load_settings({"turns.patience": "eager", "turns.silence_unfinished": 2.0})
    assert mixed.turns.silence_unfinished == 2.0
    assert mixed.origins["turns.silence_unfinished"].source is SettingSource.FLAG
    assert mixed.turns.silence_statement == PATIENCE["eager"].silence_statement
    assert mixed.origins["turns.silence_statement"] == SettingOrigin(
        SettingSource.PRESET, "turns.patience = eager"
    )
    slow = load_settings({"turns.silence": 1.5})
    assert (slow.turns.silence, slow.turns.silence_finished) == (1.5, 1.5)
    assert slow.origins["turns.silence_finished"] == SettingOrigin(
        SettingSource.PRESET, "turns.silence"
    )


def test_full_duplex_uses_three_seconds_of_the_prompt_unless_it_is_set(file: Path) -> None:
    assert load_settings({"engine.name": "covo"}).covo.voice_prompt_seconds == 0
    duplex = load_settings({"engine.name": "covo-fd"})
    assert duplex.covo.voice_prompt_seconds == 3
    assert duplex.origins["covo.voice_prompt_seconds"] == SettingOrigin(
        SettingSource.PRESET, "engine.name = covo-fd"
    )
    for seconds in (0.0, 5.0):
        chosen = {"engine.name": "covo-fd", "covo.voice_prompt_seconds": seconds}
        assert load_settings(chosen).covo.voice_prompt_seconds == seconds


@pytest.mark.parametrize("patience", ["eager", "normal", "patient"])
@pytest.mark.parametrize("silence", [None, "1.3"])
def test_shown_recorded_and_in_force_are_equal(
    file: Path, monkeypatch: pytest.MonkeyPatch, patience: str, silence: str | None
) -> None:
    monkeypatch.setenv("COVO_TURNS_PATIENCE", patience)
    monkeypatch.setenv("COVO_TURNS_SILENCE", silence or "")
    settings = load_settings()
    in_force = asdict(turn_settings(settings))
    recorded = settings.record()["turns"]
    shown = json.loads(CliRunner().invoke(app, ["config", "show", "--json"]).output)["settings"]
    names = in_force.keys() & recorded.keys()
    assert len(names) == 8
    for name in names:
        assert in_force[name] == recorded[name] == shown[f"turns.{name}"]["value"], name
    assert settings.turns.silence == (1.3 if silence else PATIENCE[patience].silence)


def test_a_sound_file_has_no_echo_unless_it_is_set(file: Path) -> None:
    assert load_settings().audio.echo_cancellation
    assert not load_settings(defaults=FILE_INPUT).audio.echo_cancellation
    assert load_settings({"audio.echo_cancellation": True}, FILE_INPUT).audio.echo_cancellation


def test_the_defaults_shown_are_those_of_normal_patience() -> None:
    normal = PATIENCE["normal"]
    for key, option in OPTIONS.items():
        section, _, name = key.partition(".")
        if section == "turns" and hasattr(normal, name):
            assert option.default == getattr(normal, name), key
