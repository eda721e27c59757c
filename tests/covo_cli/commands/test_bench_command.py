"""``covo bench``: what is refused before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.bench import startup
from covo_cli.errors import CliError

runner = CliRunner()


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stands in for the measurement of the start; how often each was asked for."""
    asked: list[int] = []

    def measure(runs: int) -> dict[str, float]:
        asked.append(runs)
        return {"help": 0.2}

    monkeypatch.setattr(startup, "measure_startup", measure)
    return asked


@pytest.mark.parametrize(
    ("place", "message"), [("", "is a folder"), ("no/such/folder.json", "No such file")]
)
def test_a_place_for_the_figures_that_cannot_be(
    measured: list[int], tmp_path: Path, place: str, message: str
) -> None:
    result = runner.invoke(app, ["bench", "startup", "--json", str(tmp_path / place)])
    assert isinstance(result.exception, CliError)
    assert message in str(result.exception)
    assert measured == []
    assert list(tmp_path.iterdir()) == []


def test_figures_are_written_over_earlier_ones_only_when_they_are_there(
    measured: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "figures.json"
    file.write_text("earlier")

    def breaks(runs: int) -> dict[str, float]:
        raise CliError("as asked")

    with monkeypatch.context() as patch:
        patch.setattr(startup, "measure_startup", breaks)
        runner.invoke(app, ["bench", "startup", "--json", str(file)])
    assert file.read_text() == "earlier"
    result = runner.invoke(app, ["bench", "startup", "--runs", "2", "--json", str(file)])
    assert result.exit_code == 0, result.output
    assert measured == [2]
    assert '"help": 0.2' in file.read_text()
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "words",
    [
        ("echo", "--minutes", "-1"),
        ("echo", "--barge-ins", "-1"),
        ("echo", "--delay", "-5"),
        ("conversation", "--idle", "-1"),
    ],
)
def test_numbers_that_cannot_be(words: tuple[str, ...]) -> None:
    result = runner.invoke(app, ["bench", *words])
    assert result.exit_code == 2
    assert words[1] in result.output
