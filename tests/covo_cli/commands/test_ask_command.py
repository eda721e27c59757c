"""``covo ask`` where what the network is built on is not installed."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec

import pytest
from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.errors import SettingsError

find_spec = importlib.util.find_spec


def without_transformers(name: str, package: str | None = None) -> ModuleSpec | None:
    return None if name == "transformers" else find_spec(name, package)


def test_missing_packages_are_told_before_they_are_imported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", without_transformers)
    monkeypatch.delitem(sys.modules, "covo_cli.engines.run_ask", raising=False)
    result = CliRunner().invoke(app, ["ask", "interview.wav", "What does she say?"])
    assert isinstance(result.exception, SettingsError)
    assert "needs transformers" in str(result.exception)
    assert "covo_cli.engines.run_ask" not in sys.modules
