"""What a server says, and what becomes of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from audio_io.clock import seconds
from model.events import (
    EndpointJudged,
    PlaybackAction,
    VoiceChanged,
)
from model.realtime import wire
from model.realtime.address import ServerKind
from model.realtime.remote_replies import RemoteReply
from model.realtime.talk import RemoteTalk
from model.realtime.wire import WireEvent
from model.turns.endpointing import TurnEnd

_TRANSCRIPTION = "conversation.item.input_audio_transcription"
_LEVELS = ("info", "warning", "error")

log = logging.getLogger(__name__)


def take(talk: RemoteTalk, event: WireEvent) -> None:
    """Take in an event of the server; an unknown one is ignored."""
    kind = wire.text_of(event, "type")
    if kind.startswith("covo."):
        talk.kind = ServerKind.COVO
    if foreign := wire.foreign_dialect(event):
        talk.notice("error", f"{talk.host} speaks {foreign}", once=True)
    elif kind.startswith(("response.", "covo.playback")):
        _take_of_response(talk, kind, event)
    elif kind.startswith(_TRANSCRIPTION):
        _take_words(talk, kind.removeprefix(f"{_TRANSCRIPTION}."), event)
    else:
        _take_of_session(talk, kind, event)


def _take_of_session(talk: RemoteTalk, kind: str, event: WireEvent) -> None:
    match kind:
        case "session.updated":
            _session_updated(talk, event)
        case "input_audio_buffer.speech_started":
            _speech_started(talk, event)
        case "input_audio_buffer.speech_stopped":
            _speech_stopped(talk, event)
        case "input_audio_buffer.committed":
            _committed(talk, event)
        case "error":
            _error(talk, event)
        case "covo.endpoint":
            _endpoint(talk, event)
        case "covo.notice":
            level = wire.text_of(event, "level")
            talk.notice(level if level in _LEVELS else "info", wire.text_of(event, "text"))


def _take_of_response(talk: RemoteTalk, kind: str, event: WireEvent) -> None:
    if kind == "response.created":
        talk.response = wire.text_of(event, "response", "id") or "?"
        turn = talk.waiting.number if talk.waiting is not None else talk.turns.newest
        talk.replies.begin(turn, talk.response, talk.last_speech, _rate(talk))
        return
    if kind == "response.done":
        _response_done(talk, event)
        return
    reply = talk.replies.of(wire.text_of(event, "response_id"))
    if reply is None:
        return
    match kind:
        case "response.output_item.added":
            if wire.text_of(event, "item", "type") == "message":
                reply.item_id = wire.text_of(event, "item", "id")
        case "response.output_audio.delta":
            reply.item_id = wire.text_of(event, "item_id") or reply.item_id
            _sound(talk, reply, event)
        case "response.output_audio_transcript.delta" | "response.output_text.delta":
            reply.add_text(talk.now, wire.delta_of(event))
        case "response.output_audio_transcript.done" if not reply.text:
            reply.add_text(talk.now, wire.text_of(event, "transcript"))  # it streams no words
        case "covo.playback":
            _playback(talk, reply, event)


def _take_words(talk: RemoteTalk, kind: str, event: WireEvent) -> None:
    turn = talk.turns.of(wire.text_of(event, "item_id"))
    if kind == "failed":
        why = wire.error_line(event)
        talk.notice("warning", f"what you said could not be written: {why}", once=True)
    if turn is None or turn.final or kind not in ("delta", "completed"):
        return
    turn.final = kind == "completed"
    if turn.final:
        turn.text = wire.text_of(event, "transcript").strip()
    else:
        turn.add_words(wire.delta_of(event))
    if turn is talk.open:
        turn.end = max(turn.start, talk.last_speech)
    if turn.text:
        talk.emit(turn.transcript(talk.now))


def _session_updated(talk: RemoteTalk, event: WireEvent) -> None:
    session = wire.part_of(event, "session")
    if session and talk.paused_detection is None:
        talk.session = session
    if talk.voice:
        voice = wire.text_of(event, "session", "audio", "output", "voice") or talk.voice
        talk.new_voice, talk.voice = talk.voice, ""
        talk.emit(VoiceChanged(talk.now, voice))


def _speech_started(talk: RemoteTalk, event: WireEvent) -> None:
    item = wire.text_of(event, "item_id")
    if talk.open is None:
        start = talk.feed.time_of(wire.number_of(event, "audio_start_ms"), talk.now)
        talk.open = talk.turns.open(start, item)
    else:
        talk.open.item_id = item
    talk.reason = "speech began"
    if talk.kind is not ServerKind.COVO:  # which says itself what becomes of a reply
        talk.stop("you spoke over it", by_server=True)


def _speech_stopped(talk: RemoteTalk, event: WireEvent) -> None:
    turn = talk.open
    if turn is None or talk.paused_detection is not None:
        return
    turn.end = talk.feed.time_of(wire.number_of(event, "audio_end_ms"), talk.now)
    talk.open = None
    talk.wait_for(turn, "speech ended", committed=False)


def _committed(talk: RemoteTalk, event: WireEvent) -> None:
    item = wire.text_of(event, "item_id")
    turn = talk.turns.of(item) or talk.waiting or talk.open or talk.turns.open(talk.last_speech)
    turn.item_id = item
    if turn is talk.open:
        talk.open, turn.end = None, talk.last_speech
    reason = "the server's decision"
    if talk.kind is not ServerKind.COVO:  # which has told why
        silence = seconds(max(0, talk.now - talk.last_speech))
        _judge(talk, turn.number, True, silence, reason)
    talk.wait_for(turn, reason, committed=True)


def _endpoint(talk: RemoteTalk, event: WireEvent) -> None:
    turn = talk.open or talk.waiting
    silence = event.get("silence")
    if turn is not None and isinstance(silence, int | float):
        over = event.get("over") is True
        _judge(talk, turn.number, over, float(silence), wire.text_of(event, "reason"))


def _judge(talk: RemoteTalk, turn: int, over: bool, silence: float, reason: str) -> None:
    unknown = TurnEnd.UNKNOWN.value
    talk.emit(EndpointJudged(talk.now, turn, over, silence, -1.0, unknown, reason))


def _rate(talk: RemoteTalk) -> int:
    """Return the rate of the server's sound."""
    rate = wire.number_of(talk.session, "audio", "output", "format", "rate")
    return rate if rate is not None and rate > 0 else wire.OUTPUT_RATE


def _sound(talk: RemoteTalk, reply: RemoteReply, event: WireEvent) -> None:
    try:
        whole = reply.add_sound(talk.now, wire.sound_of(event))
    except ValueError:
        talk.notice("error", f"{talk.host} sends sound that is none", once=True)
        return
    if not whole:
        talk.notice("warning", "the reply was cut: it is longer than any may be", once=True)
        talk.outbox.put(wire.cancel())
    if not reply.stopped:
        talk.waiting = None
        talk.reason = "the reply begins"


def _response_done(talk: RemoteTalk, event: WireEvent) -> None:
    response = wire.part_of(event, "response")
    response_id = wire.text_of(response, "id")
    if not response_id or talk.response in (response_id, "?"):
        talk.response = ""
    status = wire.text_of(response, "status") or "completed"
    details = wire.part_of(response, "status_details")
    if status == "failed":
        talk.notice("error", f"no reply: {wire.error_line(details)}")
    elif status == "incomplete":
        why = wire.text_of(details, "reason")
        talk.notice("info", f"the server cut the reply{f' ({why})' if why else ''}")
    if status != "cancelled" and not _calls_a_tool(response):
        talk.waiting = None
        talk.reason = "the reply is complete"
    reply = talk.replies.of(response_id)
    if reply is None:
        return
    if status == "cancelled" and not reply.started:
        talk.replies.discard(reply)
        return
    if status == "cancelled" and reply.sounding:
        talk.stop_speaker("the server ended it")
    talk.replies.end(reply, "" if status == "completed" else "the reply broke off")


def _calls_a_tool(response: WireEvent) -> bool:
    """Whether another response follows: a server's own tool was called."""
    output = response.get("output")
    items = output if isinstance(output, list) else []
    return any(isinstance(item, Mapping) and item.get("type") == "function_call" for item in items)


def _error(talk: RemoteTalk, event: WireEvent) -> None:
    line = wire.error_line(event)
    log.warning("%s: %s", talk.host, line)
    if wire.text_of(event, "error", "event_id") == wire.HOUSEKEEPING:
        return
    talk.voice = ""
    talk.notice("warning", f"{talk.host}: {line}")


def _playback(talk: RemoteTalk, reply: RemoteReply, event: WireEvent) -> None:
    reason = wire.text_of(event, "reason")
    match wire.text_of(event, "action"):
        case PlaybackAction.STOP:
            talk.stop_speaker(reason)
        case (PlaybackAction.DUCK | PlaybackAction.HOLD | PlaybackAction.RESUME) as action:
            if reply.samples and not reply.stopped:
                talk.control(reply, PlaybackAction(action), reason)
