"""Finding sessions again, whatever has become of their folders."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
from datetime import timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from audio_io.clock import samples
from covo_cli.errors import SessionError
from covo_cli.sessions.audio import read_audio
from covo_cli.sessions.event_log import (
    RecordedAudio,
    RecordedBackchannel,
    encode_events,
    event_from_dict,
    event_to_dict,
    read_events,
)
from covo_cli.sessions.info import NAME_FORMAT, read_info, write_info
from covo_cli.sessions.store import SessionState, SessionStore
from covo_cli.sessions.transcript import (
    BROKEN_OFF,
    TranscriptEntry,
    TranscriptFold,
    Who,
    transcript,
)
from model.events import (
    AssistantAudio,
    AssistantText,
    Backchannel,
    Event,
    ReplyStarted,
    TurnDiscarded,
    TurnLatency,
    UserTranscript,
)
from tests.fakes.session_factory import (
    ANSWER,
    HEARD,
    QUESTION,
    STARTED,
    UNHEARD,
    conversation_events,
    record_session,
)
from tests.permissions import out_of_reach


def read_back(events: list[Event]) -> list[Event]:
    return [event_from_dict(json.loads(line)) for line in encode_events(events).splitlines()]


def test_events_come_back_as_they_were() -> None:
    for event, back in zip(conversation_events(), read_back(conversation_events()), strict=True):
        if isinstance(event, AssistantAudio):
            assert back == RecordedAudio(event.at, event.reply, len(event.samples), event.text)
        else:
            assert back == event
            assert type(back) is type(event)


def test_every_event_of_an_older_version_still_loads(tmp_path: Path) -> None:
    lines = (Path(__file__).parent / "events_of_format_1.jsonl").read_bytes()
    (tmp_path / "events.jsonl").write_bytes(lines)
    log = read_events(tmp_path)
    assert log.warnings == ()
    written = [json.loads(line) for line in lines.splitlines()]
    for event, record in zip(log.events, written, strict=True):
        name = "AssistantAudio" if isinstance(event, RecordedAudio) else type(event).__name__
        assert record.items() <= (event_to_dict(event) | {"event": name}).items()


def test_a_backchannel_comes_back_with_the_length_of_its_sound() -> None:
    hum = Backchannel(samples(1.5), -2, np.zeros(12_000, np.float32), 0, "Mm-hmm.")
    (back,) = read_back([hum])
    assert back == RecordedBackchannel(hum.at, -2, 12_000, 0, "Mm-hmm.")
    (entry,) = transcript([back])
    assert transcript([hum]) == (entry,)
    assert (entry.start_s, entry.end_s, entry.backchannel) == (1.5, 2.0, True)


def test_numpy_numbers_are_written_as_plain_ones() -> None:
    event = TurnLatency(0, 0, 0, np.float32(0.5), {"all": np.float32(0.5)})  # type: ignore[arg-type]
    assert read_back([event]) == [TurnLatency(0, 0, 0, 0.5, {"all": 0.5})]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event": "Sneeze"}, "unknown event 'Sneeze'"),
        ({"event": ["UserTranscript"]}, "unknown event"),
        ({"at": "soon"}, r"UserTranscript: Expected `int`, got `str` .*at"),
        ({"at": True}, r"UserTranscript: Expected `int`, got `bool` .*at"),
        ({"final": 1}, r"UserTranscript: Expected `bool`, got `int` .*final"),
        ({"text": None}, r"UserTranscript: Expected `str`, got `null` .*text"),
    ],
)
def test_a_record_with_a_bad_field_is_refused(change: dict[str, object], message: str) -> None:
    record = event_to_dict(UserTranscript(0, 0, "hello", True, 0, 1)) | change
    with pytest.raises(ValueError, match=message):
        event_from_dict(record)


def test_a_record_without_a_field_is_refused() -> None:
    record = event_to_dict(UserTranscript(0, 0, "hello", True, 0, 1))
    del record["end"]
    with pytest.raises(ValueError, match=r"UserTranscript: .*missing required field `end`"):
        event_from_dict(record)


def test_a_transcript_from_before_languages_were_recorded() -> None:
    event = UserTranscript(0, 0, "你好", True, 0, 1, "zh")
    record = event_to_dict(event)
    assert event_from_dict(record) == event
    assert record.pop("language") == "zh"
    assert event_from_dict(record) == UserTranscript(0, 0, "你好", True, 0, 1)


def test_transcript_of_the_conversation() -> None:
    question, answer, second, cut = transcript(read_back(conversation_events()), 8.0)
    assert question == user_entry(0, 0.5, 1.7, QUESTION)
    assert (answer.start_s, answer.end_s, answer.text, answer.turn) == (2.5, 4.0, ANSWER, 0)
    assert answer.latency is not None
    assert answer.latency.total == 0.8
    assert second == user_entry(1, 4.5, 5.0, "And koalas?")
    assert (cut.who, cut.start_s, cut.end_s) == (Who.ASSISTANT, 5.5, 6.5)
    assert (cut.text, cut.unheard, cut.cut_off) == (HEARD, UNHEARD, "interrupted by the user")
    assert (cut.turn, cut.stopped) == (1, samples(6.5))


def user_entry(turn: int, start: float, end: float, text: str) -> TranscriptEntry:
    return TranscriptEntry(Who.USER, turn, turn, samples(start), samples(end), text, final=True)


def test_what_was_thrown_away_is_not_in_the_transcript() -> None:
    events: list[Event] = [
        UserTranscript(0, 0, "uh", True, 0, 100),
        TurnDiscarded(200, 0, "too short"),
        UserTranscript(300, 1, "partial", False, 250, 300),
        AssistantText(400, 7, "never let through"),
    ]
    assert transcript(events) == ()


def test_a_reply_that_broke_off_ends_with_the_recording() -> None:
    at = samples(1.0)
    events: list[Event] = [
        ReplyStarted(at, 0, 0),
        AssistantText(at, 0, "A long story"),
        RecordedAudio(at, 0, 24_000 * 10, "A long story"),
    ]
    (entry,) = transcript(events, 3.5)
    assert (entry.start_s, entry.end_s) == (1.0, 3.5)
    assert (entry.text, entry.unheard, entry.cut_off) == ("A ", "long story", BROKEN_OFF)
    (entry,) = transcript(events)
    assert (entry.end_s, entry.text, entry.cut_off) == (11.0, "A long story", "")


def test_the_fold_of_a_live_conversation_agrees_with_that_of_its_record() -> None:
    """Event by event with sound, or from the lines of its log."""
    fold = TranscriptFold()
    for event in conversation_events():
        fold.take(event)
    assert fold.entries == transcript(read_back(conversation_events()))


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    """Three sessions, an hour apart."""
    for hours in range(3):
        record_session(tmp_path, started=STARTED + timedelta(hours=hours), seconds=0.1)
    return SessionStore(tmp_path)


def test_the_newest_come_first(store: SessionStore) -> None:
    assert [session.name for session in store.list()] == [
        "2026-11-23_23-04-51",
        "2026-11-23_22-04-51",
        "2026-11-23_21-04-51",
    ]
    for _ in range(10):
        record_session(store.root, started=STARTED, seconds=0.1)
    assert store.names()[2:5] == (
        "2026-11-23_21-04-51-11",
        "2026-11-23_21-04-51-10",
        "2026-11-23_21-04-51-9",
    )


def test_the_newest_is_the_last_to_begin_in_any_time_zone(tmp_path: Path) -> None:
    tokyo, los_angeles = (timezone(timedelta(hours=hours)) for hours in (9, -8))
    store = SessionStore(tmp_path)
    first = record_session(tmp_path, started=STARTED.astimezone(tokyo), seconds=0.1)
    later = STARTED + timedelta(minutes=5)
    second = record_session(tmp_path, started=later.astimezone(los_angeles), seconds=0.1)
    # The recorder names folders by this machine's zone; give them the names of their own.
    first = first.rename(tmp_path / STARTED.astimezone(tokyo).strftime(NAME_FORMAT))
    second = second.rename(tmp_path / later.astimezone(los_angeles).strftime(NAME_FORMAT))
    assert first.name > second.name
    assert store.names() == (second.name, first.name)
    assert store.find("last") == second


def test_a_clock_set_back_in_a_session_does_not_make_it_the_newest(tmp_path: Path) -> None:
    first = record_session(tmp_path, started=STARTED, seconds=0.1)
    info, _ = read_info(first)
    ended = STARTED - timedelta(minutes=55)
    write_info(first, dataclasses.replace(info, ended=ended))
    second = record_session(tmp_path, started=ended + timedelta(minutes=5), seconds=0.1)
    assert SessionStore(tmp_path).find("last") == second


def test_a_session_without_a_record_is_ordered_by_its_name(tmp_path: Path) -> None:
    for hours, content in ((0, "{"), (1, '{"started": 1}'), (2, None)):
        folder = record_session(tmp_path, started=STARTED + timedelta(hours=hours), seconds=0.1)
        (folder / "session.json").unlink()
        if content is not None:
            (folder / "session.json").write_text(content)
    assert [name[11:13] for name in SessionStore(tmp_path).names()] == ["23", "22", "21"]


def test_a_session_is_found_by_its_name_a_prefix_or_last(store: SessionStore) -> None:
    assert store.find("last").name == "2026-11-23_23-04-51"
    assert store.find("2026-11-23_22").name == "2026-11-23_22-04-51"
    record_session(store.root, started=STARTED, seconds=0.1)
    assert store.find("2026-11-23_21-04-51").name == "2026-11-23_21-04-51"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("2026-11-23", "matches 3 sessions: 2026-11-23_23-04-51, .*; say which"),
        ("2026-11-23_21-05-51", "the nearest are 2026-11-23_21-04-51"),
        ("../..", "there is no session '../..'"),
        ("", "there is no session ''"),
    ],
)
def test_a_query_without_one_answer_says_what_there_is(
    store: SessionStore, query: str, message: str
) -> None:
    with pytest.raises(SessionError, match=message):
        store.find(query)


def test_no_sessions_yet(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "none")
    assert store.list() == ()
    with pytest.raises(SessionError, match="there are no sessions"):
        store.open("last")
    assert not store.root.exists()


def test_other_things_in_the_folder_are_no_sessions(store: SessionStore) -> None:
    (store.root / "notes.txt").write_text("mine")
    (store.root / "photos").mkdir()
    (store.root / ".DS_Store").write_text("")
    assert len(store.list()) == 3
    (store.root / "2026-11-23_22-04-51").rename(store.root / "about koalas")
    assert store.names()[1] == "about koalas"
    assert store.open("about").state is SessionState.COMPLETE


def test_folders_that_may_not_be_entered_spoil_no_list(store: SessionStore) -> None:
    names = store.names()
    lost, forbidden = store.root / "lost+found", store.root / names[1]
    lost.mkdir()
    with out_of_reach(lost, forbidden):
        assert store.names() == names
        damaged = [s.name for s in store.list() if s.state is SessionState.DAMAGED]
        assert damaged == [forbidden.name]
        assert store.open("last").state is SessionState.COMPLETE
        with pytest.raises(SessionError, match=r"cannot tell whether .* \(Permission denied\)"):
            store.delete(forbidden.name)
    assert store.open(forbidden.name).state is SessionState.COMPLETE


def test_deleting_removes_one_session(store: SessionStore) -> None:
    store.delete("2026-11-23_22-04-51")
    assert len(store.names()) == 2
    for name in ("2026-11-23_22-04-51", "..", ""):
        with pytest.raises(SessionError, match="there is no session"):
            store.delete(name)


def test_listing_recovers_nothing(tmp_path: Path) -> None:
    folder = record_session(tmp_path, finish=False)
    (session,) = SessionStore(tmp_path).list()
    assert session.state is SessionState.UNFINISHED
    assert session.turn_count == 2
    assert (folder / "audio.part").exists()
    assert not (folder / "audio.flac").exists()


def test_a_session_on_nfs_is_recovered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock

    def of_nfs(descriptor: int, how: int) -> None:
        """Lock as NFS does: exclusively only what is open for writing."""
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", of_nfs)
    record_session(tmp_path, finish=False)
    store = SessionStore(tmp_path)
    assert [session.state for session in store.list()] == [SessionState.UNFINISHED]
    assert store.open("last").state is SessionState.RECOVERED


def test_what_may_be_recorded_now_is_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    folder = record_session(tmp_path, finish=False)
    monkeypatch.setattr(fcntl, "flock", no_locks)
    store = SessionStore(tmp_path)
    session = store.open("last")
    assert session.state is SessionState.UNFINISHED
    assert session.duration > 7.0
    assert any("No locks available" in warning for warning in session.warnings)
    with pytest.raises(SessionError, match="No locks available"):
        store.delete(folder.name)
    assert (folder / "audio.part").exists()


def test_a_part_on_a_read_only_disk_is_opened_for_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def read_only(path: Path, flags: int, *more: int) -> int:
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise OSError(errno.EROFS, "Read-only file system")
        return opened(path, flags, *more)

    record_session(tmp_path, finish=False)
    monkeypatch.setattr(os, "open", read_only)
    (session,) = SessionStore(tmp_path).list()
    assert session.state is SessionState.UNFINISHED
    assert not any("audio.part" in warning for warning in session.warnings)


def test_a_kill_just_before_the_part_was_removed_leaves_it_complete(tmp_path: Path) -> None:
    part = (record_session(tmp_path / "same", finish=False) / "audio.part").read_bytes()
    folder = record_session(tmp_path / "sessions")
    (folder / "audio.part").write_bytes(part)
    session = SessionStore(tmp_path / "sessions").open("last")
    assert session.state is SessionState.COMPLETE
    assert session.info.end_reason == "quit by the user"
    assert not (folder / "audio.part").exists()


def test_recovering_makes_it_whole_once(tmp_path: Path) -> None:
    folder = record_session(tmp_path, finish=False)
    session = SessionStore(tmp_path).open("last")
    assert session.state is SessionState.RECOVERED
    assert session.info.ended is None
    assert session.info.end_reason.startswith("unfinished")
    assert 7.0 < session.duration <= 8.0
    assert f"~~{UNHEARD}~~" in (folder / "transcript.md").read_text()
    before = (folder / "session.json").read_bytes()
    assert SessionStore(tmp_path).open("last").state is SessionState.RECOVERED
    assert (folder / "session.json").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "warning"),
    [
        (None, "session.json is missing"),
        ('{"format": 1, "started": "2026', "session.json is damaged"),
        ("[1, 2]", "not a JSON object"),
        ("\0\xff", "session.json is damaged"),
        ("[" * 100_000, "session.json is damaged"),
        ('{"settings":' * 100_000, "session.json is damaged"),
        ('{"format": 99}', "format 99"),
        ('{"turns": "two", "duration": -1}', "duration must be a number >= 0"),
        ('{"voices": [1], "engine": "lite", "ended": "yesterday"}', "voices [0] must be text"),
    ],
)
def test_a_damaged_record_leaves_the_rest(
    tmp_path: Path, content: str | None, warning: str
) -> None:
    folder = record_session(tmp_path)
    path = folder / "session.json"
    path.unlink() if content is None else path.write_text(content, encoding="latin-1")
    (listed,) = SessionStore(tmp_path).list()
    session = SessionStore(tmp_path).open("last")
    assert listed.state is session.state is SessionState.DAMAGED
    assert any(warning in line for line in session.warnings)
    assert session.info.started == STARTED
    assert len(session.transcript) == 4
    assert sum(map(len, read_audio(session.folder))) == 8 * 24_000


def test_damaged_lines_of_events_are_skipped(tmp_path: Path) -> None:
    folder = record_session(tmp_path)
    path = folder / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = b'{"event": "UserTranscript"\n'
    lines[3:3] = [
        b"\n",
        b"\xff\xfe\n",
        b'{"event": "FromTheFuture", "at": 1}\n',
        b"[" * 9_000 + b"\n",
    ]
    path.write_bytes(b"".join(lines) + b'{"event": "Noti')
    session = SessionStore(tmp_path).open("last")
    assert len(session.transcript) == 4
    assert [warning.split()[2] for warning in session.warnings] == ["2", "5", "6", "7", "23"]
    assert all("skipped" in warning for warning in session.warnings)


def test_missing_sound_is_a_warning_and_then_a_clear_error(tmp_path: Path) -> None:
    folder = record_session(tmp_path)
    (folder / "audio.flac").unlink()
    session = SessionStore(tmp_path).open("last")
    assert session.state is SessionState.DAMAGED
    assert len(session.transcript) == 4
    with pytest.raises(SessionError, match="has no sound"):
        list(read_audio(session.folder))


@pytest.mark.parametrize("content", [b"fLaC", b"RIFF and no more", b"fLaC" + b"\xff" * 5_000])
def test_damaged_sound_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    folder = record_session(tmp_path)
    (folder / "audio.flac").write_bytes(content)
    with pytest.raises(SessionError, match="cannot be read"):
        list(read_audio(SessionStore(tmp_path).open("last").folder))


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("session.json", "events.jsonl", "audio.flac", "audio.part"):
        folder = record_session(tmp_path / name)
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
        (session,) = SessionStore(tmp_path / name).list()
        if name.startswith("audio"):
            with pytest.raises(SessionError, match="a device or a pipe"):
                list(read_audio(folder))
        else:
            assert f"{name} cannot be read: it is a device or a pipe" in str(session.warnings)


def test_an_empty_folder_opens_with_warnings(tmp_path: Path) -> None:
    (tmp_path / "2026-11-23_21-04-51").mkdir()
    session = SessionStore(tmp_path).open("last")
    assert session.state is SessionState.DAMAGED
    assert session.transcript == ()
    assert session.info.started == STARTED
    assert session.warnings == (
        "session.json is missing",
        "audio.flac is missing",
        "events.jsonl is missing",
    )
    assert read_events(session.folder).events == ()
    SessionStore(tmp_path).delete(session.name)
    assert SessionStore(tmp_path).names() == ()
