"""Where covo's files are, and what it says where there is no such place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from covo_cli.errors import SettingsError
from covo_cli.process.log import begin_log, log_dir
from covo_cli.settings.settings import config_path, data_dir, load_settings, sessions_dir
from voices.folders import expanded

PLACES = {"COVO_CONFIG": config_path, "COVO_DATA_DIR": data_dir, "COVO_LOG_DIR": log_dir}


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home folder, as in a container that runs under an unknown number."""
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", *PLACES):
        monkeypatch.delenv(name, raising=False)
    if sys.platform == "win32":
        pytest.skip("Windows asks the registry")
    import pwd

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("variable", PLACES)
def test_without_a_home_folder_the_remedy_is_told(variable, monkeypatch, tmp_path) -> None:
    with pytest.raises(SettingsError, match="set HOME, or COVO_DATA_DIR and COVO_CONFIG"):
        PLACES[variable]()
    monkeypatch.setenv(variable, str(tmp_path))
    assert PLACES[variable]() == tmp_path


@pytest.mark.usefixtures("nobody")
def test_the_log_is_left_out_without_a_home_folder(monkeypatch) -> None:
    added: list[object] = []
    monkeypatch.setattr("logging.Logger.addHandler", lambda logger, one: added.append(one))
    begin_log(["chat"])
    assert not added


@pytest.mark.parametrize("variable", PLACES)
def test_the_home_of_nobody_is_no_place(variable, monkeypatch) -> None:
    monkeypatch.setenv(variable, "~no-such-user/covo")
    with pytest.raises(SettingsError, match=f"^{variable} cannot be ~no-such-user/covo: "):
        PLACES[variable]()


def test_a_setting_may_name_it_too(monkeypatch) -> None:
    monkeypatch.setenv("COVO_SESSION_DIR", "~no-such-user/sessions")
    with pytest.raises(SettingsError, match=r"^session\.dir cannot be ~no-such-user"):
        sessions_dir(load_settings())


def test_a_file_in_it_is_looked_for_as_it_is() -> None:
    assert expanded("~no-such-user/x") == Path("~no-such-user/x")
    assert expanded("~/x") == Path.home() / "x"
