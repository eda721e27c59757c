"""The commands that change an installation are those of its installer, and keep what it has."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from voices import installation
from voices.installation import add_extra, install_again

HUB = {"url": "https://host/covo", "vcs_info": {"vcs": "git", "requested_revision": "v2"}}
FOLDER = {"url": "file:///my%20home/covo", "dir_info": {"editable": True}}
WHEEL = {"url": "file:///tmp/covo-1-py3-none-any.whl", "archive_info": {}}


class Installed:
    """How covo was installed, and with which packages."""

    def __init__(self, origin: dict[str, object] | None, packages: tuple[str, ...]) -> None:
        self.origin = origin
        self.packages = packages

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return json.dumps(self.origin) if self.origin else None

    def version(self, name: str) -> str:
        if name not in self.packages:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Pretends to be an installation by what leaves ``receipt``."""

    def pretend(receipt: str, origin: dict[str, object] | None = None, *packages: str) -> None:
        it = Installed(origin, packages)
        monkeypatch.setattr(sys, "prefix", str(tmp_path))
        monkeypatch.setattr(importlib.metadata, "distribution", lambda name: it)
        monkeypatch.setattr(importlib.metadata, "version", it.version)
        requires = ["numpy>=1", "mcp>=2; extra == 'tools'", 'scipy; extra == "eval"']
        requires += ['jiwer>=4 ; os_name == "posix" and extra == "eval"']
        monkeypatch.setattr(importlib.metadata, "requires", lambda name: requires)
        if receipt:
            (tmp_path / receipt).touch()

    return pretend


@pytest.mark.parametrize(
    ("origin", "what"),
    [
        (HUB, "'covo[tools] @ git+https://host/covo@v2'"),
        (FOLDER, "--editable '/my home/covo[tools]'"),
        (WHEEL, "'covo[tools] @ file:///tmp/covo-1-py3-none-any.whl'"),
        (None, "'covo[tools]'"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="quotes as a POSIX shell")
def test_a_program_is_installed_anew_from_where_it_came(installed, origin, what) -> None:
    installed("uv-receipt.toml", origin)
    assert add_extra("tools") == f"uv tool install {what}"


def test_pipx_must_be_told_to_replace_it(installed) -> None:
    installed("pipx_metadata.json", HUB)
    told = shlex.split(add_extra("tools"))
    assert told == ["pipx", "install", "--force", "covo[tools] @ git+https://host/covo@v2"]


def test_the_extras_that_are_there_stay(installed) -> None:
    installed("uv-receipt.toml", WHEEL, "numpy", "scipy", "jiwer")
    assert "covo[eval,tools] @" in add_extra("tools")
    assert "--reinstall-package hibari-tts " in install_again("hibari-tts==0.2.1")
    assert "covo[eval] @" in install_again("hibari-tts==0.2.1")


def test_half_an_extra_is_none(installed) -> None:
    installed("uv-receipt.toml", WHEEL, "numpy", "scipy")
    assert "covo[tools] @" in add_extra("tools")
    assert "'covo @ " in install_again("numpy")


def test_files_of_a_package_within_pipx(installed) -> None:
    installed("pipx_metadata.json", HUB, "hibari-tts")
    told = install_again("hibari-tts==0.2.1")
    assert told == "pipx runpip covo install --force-reinstall --no-deps hibari-tts==0.2.1"


def test_a_missing_package_comes_with_those_that_it_needs(installed) -> None:
    installed("pipx_metadata.json", HUB)
    assert install_again("hibari-tts==0.2.1") == "pipx runpip covo install hibari-tts==0.2.1"


@pytest.mark.parametrize("elsewhere", [True, False])
def test_only_the_pip_of_this_environment_is_named(installed, monkeypatch, elsewhere) -> None:
    installed("", None, "x")
    here = Path(sys.executable).parent
    found = str((Path("/usr/bin") if elsewhere else here) / "pip")
    monkeypatch.setattr(installation.shutil, "which", lambda name: found)
    command = f"{shlex.quote(sys.executable)} -m pip" if elsewhere else "pip"
    assert add_extra("tools") == f"{command} install 'covo[tools]'"
    assert install_again("x==1").endswith("pip install --force-reinstall --no-deps x==1")


def test_without_covo_installed(monkeypatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    monkeypatch.setattr(importlib.metadata, "requires", missing)
    monkeypatch.setattr(installation, "_installer", lambda: "uv tool")
    assert "covo[tools]" in add_extra("tools")
