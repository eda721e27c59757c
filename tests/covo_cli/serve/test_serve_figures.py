"""What the server counts and tells: the status line, /metrics and lines of JSON; late steps, gaps,
and silence that lasts too long."""

from __future__ import annotations

import io
import json
import logging

import httpx2 as httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from audio_io.clock import FRAME_S
from covo_cli.serve.figures import JsonLines, ServerFigures, tell
from covo_cli.serve.places import Places
from covo_cli.serve.realtime.microphone import LATE_S, SocketMicrophone
from covo_cli.serve.realtime.session import SILENT_USER
from covo_cli.serve.realtime.speaker import PIECE, START_S, SocketSpeaker
from covo_cli.serve.run_serve import log_no_words
from model.events import TurnLatency
from model.lite.text.phonemes import Phonemizer
from tests.covo_cli.serve.live_server import serving, until
from tests.covo_cli.serve.test_serve_sockets import BEARER, opened, receive, send
from tests.covo_cli.serve.wire_talk import WireTalk
from tests.fakes.engine import FakeClock, speech


def metrics(address: str) -> dict[str, float]:
    """By name and labels."""
    answer = httpx.get(address, headers=BEARER)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_words_are_kept_out_of_the_log(caplog, monkeypatch):
    logger = logging.getLogger("model.lite.text.phonemes")
    monkeypatch.setattr(logger, "disabled", False)
    Phonemizer().pieces("hello 好")
    assert "好" in caplog.text
    caplog.clear()
    log_no_words()
    Phonemizer().pieces("hello 好")
    assert not caplog.text


def test_metrics_of_a_session_and_of_a_refusal():
    with serving(2) as server:
        address = f"http://127.0.0.1:{server.port}/metrics"
        assert httpx.get(address).status_code == 401
        with opened(server) as socket:
            send(socket, "response.create")
            receive(socket, "response.done")
            during = metrics(address)
        until(lambda: not server.places.busy)
        after = metrics(address)
    assert (during["covo_sessions"], during["covo_places"]) == (1, 2)
    assert after["covo_sessions"] == 0
    assert after["covo_sessions_ended_totalthe client has left"] == 1
    assert after["covo_refused_total401"] == 1
    assert after["process_resident_memory_bytes"] > 1e6


def test_the_status_line_tells_of_late_steps_once_there_are_any():
    figures = ServerFigures(Places([]))
    assert figures.status == "0 of 0 places taken, 0 waiting"
    figures.answer("sess_1", TurnLatency(0, turn=1, reply=1, total=0.52, parts={"wait": 0.4}))
    figures.step_late()
    figures.step_late()
    told = "0 of 0 places taken, 0 waiting, turn 1 answered after 0.52 s, 2 late steps"
    assert figures.status == told


def test_lines_of_json_and_nothing_else():
    written = io.StringIO()
    handler, log = JsonLines(written), logging.getLogger("covo_cli.serve.figures")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        tell("session_ends", session="sess_1", seconds=1.5, reason='"left"\n')
        log.error("something else")
    finally:
        log.removeHandler(handler)
    (line,) = written.getvalue().splitlines()
    told = json.loads(line)
    assert told.pop("time").endswith("+00:00")
    asked = {"event": "session_ends", "session": "sess_1", "seconds": 1.5, "reason": '"left"\n'}
    assert told == asked


def test_a_late_step_is_one_taken_long_after_it_was_due():
    clock, late = FakeClock(), []
    microphone = SocketMicrophone(clock, lambda: late.append(clock.now))
    sound = speech(0.2)
    clock.pass_time(FRAME_S)
    for piece in np.split(sound[:1600], 5):  # in time
        microphone.push(piece)
        assert microphone.read(0) is not None
        clock.pass_time(FRAME_S)
    assert not late
    microphone.push(sound[1600:])  # at once: five frames, four times as fast
    for _ in range(5):
        assert microphone.read(0) is not None
        clock.pass_time(FRAME_S / 4)
    assert not late
    clock.pass_time(1.0)  # nothing came: silence has been due for long
    assert microphone.read(0) is not None
    assert len(late) == 1
    clock.pass_time(0.3)
    microphone.push(sound[:640])  # it waited for this
    assert microphone.read(0) is not None
    assert len(late) == 1
    clock.pass_time(LATE_S + FRAME_S)  # the step itself took long
    assert microphone.read(0) is not None
    assert len(late) == 2


def test_a_gap_is_sound_that_comes_after_all_was_played():
    clock, gaps = FakeClock(), []
    speaker = SocketSpeaker(clock, lambda: gaps.append(clock.now))
    half = np.full(12_000, 0.1, np.float32)

    def sent() -> int:
        return sum(len(piece.samples) for piece in speaker.pieces())

    speaker.play(1, half)
    assert sent() == 12_000
    clock.pass_time(START_S + 0.4)
    speaker.play(1, half)
    assert sent() == 12_000
    assert not gaps
    clock.pass_time(0.7)
    speaker.play(1, half)
    assert sent() == 12_000
    assert len(gaps) == 1
    clock.pass_time(5.0)
    speaker.play(2, half)  # another reply follows no gap
    speaker.complete(2)
    assert sent() == 12_000
    assert len(gaps) == 1


def test_pieces_are_the_reply_however_it_came():
    speaker = SocketSpeaker(FakeClock())
    sound = np.random.default_rng(1).uniform(-1, 1, 20_000).astype(np.float32)
    buffer = np.empty_like(sound)
    for chunk in np.split(sound, [1, 1, 700, PIECE, 3 * PIECE + 7]):
        buffer[: len(chunk)] = chunk
        speaker.play(1, buffer[: len(chunk)])  # its memory is used again
    speaker.complete(1)
    pieces = list(speaker.pieces())
    np.testing.assert_array_equal(np.concatenate([piece.samples for piece in pieces]), sound)
    assert max(len(piece.samples) for piece in pieces) == PIECE
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    speaker.play(2, sound)
    speaker.stop()
    assert not list(speaker.pieces())
    speaker.play(3, sound[:5])  # nothing of reply 2 is left
    speaker.complete(3)
    assert [len(piece.samples) for piece in speaker.pieces()] == [5]


def test_the_assistant_speaks_to_a_user_who_is_silent_after_a_reply():
    talk = WireTalk()
    talk.update(
        audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 6000}}}
    )
    talk.nothing(8)
    assert not talk.of("response.created"), "before any reply nobody is waited for"
    talk.say(speech(1.0))
    talk.nothing(4)
    assert len(talk.of("response.done")) == 1
    talk.nothing(7)
    (timeout,) = talk.of("input_audio_buffer.timeout_triggered")
    assert timeout["audio_start_ms"] == timeout["audio_end_ms"] == 1000  # nothing was appended
    at = talk.events.index(timeout)
    kinds = [event["type"] for event in talk.events[at + 1 :]]
    assert kinds[0] == "input_audio_buffer.committed"
    assert "response.created" in kinds
    assert talk.fake.turns[-1].text == SILENT_USER
    talk.nothing(3)
    assert talk.of("response.done")[-1]["response"]["status"] == "completed"
    talk.say(speech(0.5))
    talk.nothing(3)
    assert len(talk.of("response.done")) == 3
    assert len(talk.of("input_audio_buffer.timeout_triggered")) == 1


def test_an_idle_timeout_is_off_unless_asked_for_and_with_null():
    talk = WireTalk()
    talk.say(speech(1.0))
    talk.nothing(40)
    turns = {"type": "server_vad", "idle_timeout_ms": 5000}
    talk.update(audio={"input": {"turn_detection": turns}})
    talk.update(audio={"input": {"turn_detection": None}})
    talk.nothing(40)
    assert not talk.of("input_audio_buffer.timeout_triggered")
