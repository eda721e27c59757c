"""The notes of a session: whole lines, whatever happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import ToolError
from model.tools.notes import MOST_CHARACTERS, NOTES, notes_tool


def test_notes_are_added_as_whole_lines_and_read(tmp_path: Path) -> None:
    notes = notes_tool(lambda: tmp_path)

    def use(**arguments: str) -> str:
        return notes.run(arguments, lambda: False)

    assert use(do="read") == "there are no notes yet"
    assert use(do="add", text="Buy milk\n and eggs.") == "noted: Buy milk and eggs."
    assert use(do="add", text="Grüße an Ida") == "noted: Grüße an Ida"
    assert use(do="read") == "- Buy milk and eggs.\n- Grüße an Ida\n"
    file = tmp_path / NOTES
    file.write_bytes(file.read_bytes() + b"- torn by a cra")
    use(do="add", text="Call Bo")
    assert file.read_text() == "- Buy milk and eggs.\n- Grüße an Ida\n- Call Bo\n"
    for text in ("", " \n", "x" * (MOST_CHARACTERS + 1)):
        with pytest.raises(ToolError, match="a note has 1 to"):
            use(do="add", text=text)
    with pytest.raises(ToolError, match="do must be add or read"):
        use(do="burn")
    assert file.read_text().count("\n") == 3


def test_notes_without_a_place_are_told(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="nothing is recorded"):
        notes_tool(lambda: None).run({"do": "add", "text": "x"}, lambda: False)
    with pytest.raises(ToolError, match="the notes cannot be kept: No such file"):
        notes_tool(lambda: tmp_path / "gone").run({"do": "add", "text": "x"}, lambda: False)
