"""``covo sessions search``: what is found, where, and how it is shown."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.errors import SessionError, message_for
from covo_cli.sessions.event_log import encode_events
from covo_cli.sessions.search import search
from covo_cli.sessions.store import SessionStore
from model.events import UserTranscript
from tests.fakes.session_factory import QUESTION, STARTED, record_session

NAME = "2026-11-23_21-04-51"
LATER = "2026-11-23_22-04-51"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    return tmp_path / "data" / "sessions"


def session_saying(root: Path, *said: str) -> None:
    folder = root / NAME
    folder.mkdir(parents=True)
    turns = [
        UserTranscript(16_000 * (n + 2), n, text, True, 16_000 * (n + 1), 16_000 * (n + 2))
        for n, text in enumerate(said)
    ]
    (folder / "events.jsonl").write_text(encode_events(turns))


def test_words_are_found_whatever_their_case_accents_and_script(root: Path) -> None:
    cases = [
        ("What is the capital of Australia?", ["CAPITAL"], ["capital"]),
        ("What is the capital of Australia?", ["austr", "what"], ["What", "Austr"]),
        ("What is the capital of Australia?", ["capital of"], ["capital of"]),
        ("What is the capital of Australia?", ["of capital"], None),
        ("It fell apart", ["a part"], None),  # words are apart
        ("What is the capital of Australia?", ["capital", "Austria"], None),
        ("A concatenation", ["cat"], None),  # where words begin
        ("The cat's cats", ["cat"], ["cat", "cat"]),
        ("It’s fine", ["it's"], ["It’s"]),
        ("Un café crème", ["CREME", "cafe"], ["café", "crème"]),
        ("Un cafe\u0301 noir", ["café"], ["cafe"]),
        ("Die Straße", ["strasse"], ["Straße"]),
        ("Żółw", ["zołw"], ["Żółw"]),
        ("澳大利亚的首都是哪里？", ["首都"], ["首都"]),
        ("澳大利亚的首都是哪里？", ["首都", "澳大利亚"], ["澳大利亚", "首都"]),
        ("澳大利亚的首都是哪里？", ["首 都"], ["首都"]),
        ("我用Python写", ["python"], ["Python"]),
        ("ガラスとカラス", ["カラス"], ["カラス"]),  # voicing is no accent
        ("강아지", ["가"], None),  # part of a character
        ("a.b*c", ["b*"], ["b*"]),
    ]
    session_saying(root, *dict.fromkeys(said for said, _, _ in cases))
    sessions = SessionStore(root).list()
    for said, wanted, expected in cases:
        hits = [hit for hit in search(sessions, wanted, all) if hit.text == said]
        found = [hits[0].text[begin:end] for begin, end in hits[0].places] if hits else None
        assert found == expected, (said, wanted)


@pytest.mark.parametrize("empty", ["", "  ", "\u0301"])
def test_nothing_cannot_be_searched_for(root: Path, empty: str) -> None:
    with pytest.raises(SessionError, match="give one word or more"):
        list(search((), [empty], all))


def covo(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["sessions", "search", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_places_are_shown_by_session_newest_first(root: Path) -> None:
    record_session(root)
    record_session(root, started=STARTED + timedelta(hours=1), finish=False)
    headed, *said, headed_too = covo("koala", "--any", "planned").splitlines()[:4]
    assert headed.split()[0] == LATER
    assert [line.rstrip() for line in said] == [
        "00:02  Covo  Canberra. It is a planned city.",
        "00:04  You   And koalas?",
    ]
    assert headed_too.startswith("00:05  Covo  A koala sleeps")
    records = json.loads(covo("CAPITAL", "--json"))
    assert [record["session"] for record in records] == [LATER, NAME]
    assert records[1] == {
        "session": NAME,
        "started": STARTED.isoformat(),
        "speaker": "user",
        "start": 0.5,
        "end": 1.7,
        "text": QUESTION,
        "matches": [[12, 19]],
    }


def test_a_terminal_shows_the_words_around_a_match_in_colour(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = " ".join(["before"] * 50 + ["here"] + ["after"] * 50)
    session_saying(root, long, "在" * 100 + "这里" + "在" * 100)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    _, line = covo("here").splitlines()
    assert "\x1b[1;33mhere\x1b[0m after" in line
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    for word, place in (("here", "efore here after"), ("这里", "在在这里在在")):
        _, line = covo(word).splitlines()
        assert place in line
        assert line.startswith("00:0")
        assert "…" in line.split("You")[1][:5]
        assert line.rstrip().endswith("…")


def test_finding_nothing_is_one_line_and_code_1(root: Path) -> None:
    record_session(root)
    for arguments, out in ((("koalas", "canberra"), ""), (("emu", "--json"), "[]\n")):
        result = CliRunner().invoke(app, ["sessions", "search", *arguments])
        assert result.exit_code == 1
        assert result.stdout == out
        assert isinstance(result.exception, SessionError)
        assert "in any session in" in message_for(result.exception)
