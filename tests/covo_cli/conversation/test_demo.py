"""``covo demo``: what is said when it is over. (The conversation itself: ``make demo``.)"""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from covo_cli.app import app


@pytest.mark.parametrize("record", [True, False])
def test_only_a_recorded_demo_can_be_heard_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: bool
) -> None:
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setattr(
        "covo_cli.conversation.demo.run_conversation", lambda settings, ends, stack, *, as_json: 0
    )
    result = CliRunner().invoke(app, ["demo", "--record" if record else "--no-record"])
    assert result.exit_code == 0, result.output
    assert ("sessions replay last" in result.output) is record
    assert "Talk yourself" in result.output
