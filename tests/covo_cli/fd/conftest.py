"""A tiny work, begun and with its dialogues; tests change copies of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from covo_cli.fd.init import begin
from covo_cli.fd.recipe import Size
from covo_cli.settings.settings import load_settings
from tests.covo_cli.fd.small_work import STAGES, small_recipe, teacher_folder
from tests.model.covo.covo_model import VOICE


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return teacher_folder(tmp_path_factory.mktemp("fd") / "model")


@pytest.fixture(scope="session")
def begun(model, tmp_path_factory) -> Path:
    """A work that was only begun."""
    folder = tmp_path_factory.mktemp("begun") / "work"
    begin(folder, load_settings(), Size.S, str(model), VOICE, lambda terms: True)
    small_recipe(folder)
    return folder


@pytest.fixture(scope="session")
def work(begun, tmp_path_factory) -> Path:
    """A work whose dialogues are there."""
    folder = tmp_path_factory.mktemp("done") / "work"
    shutil.copytree(begun, folder)
    for stage in STAGES.values():
        list(stage(folder).run())
    return folder
