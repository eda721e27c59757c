"""What the user does besides speaking, and what time does."""

from __future__ import annotations

from audio_io.clock import ASSISTANT_RATE, samples
from audio_io.signal import Position
from model.events import Interrupted, ReplyFinished
from model.realtime import wire
from model.realtime.address import ServerKind
from model.realtime.remote_replies import RemoteReply
from model.realtime.talk import RemoteTalk
from model.realtime.wire import WireEvent

ANSWER_S = 30.0
"""Longest wait for an answer."""

_LOST = "the connection was lost"
_COMMIT_S = 1.5
"""Speech of which the server has not made a turn by then was none to it."""


def say(talk: RemoteTalk, text: str) -> None:
    """Send what was typed, in place of what is being said."""
    talk.stop("you typed")
    if talk.open is not None:
        talk.drop(talk.open, "you typed")
        talk.outbox.put(wire.plain("input_audio_buffer.clear"))
    talk.typed.append(text)


def press_to_talk(talk: RemoteTalk) -> None:
    """Begin a turn that ends when the key is released, where the server has such turns."""
    talk.stop("push-to-talk")
    if not talk.detection or talk.kind is ServerKind.VLLM_OMNI:
        return
    talk.paused_detection = talk.detection
    talk.outbox.put(wire.turn_detection_update(None))
    talk.outbox.put(wire.plain("input_audio_buffer.clear"))
    talk.open = talk.open or talk.turns.open(talk.now)
    talk.reason = "push-to-talk"


def release(talk: RemoteTalk) -> None:
    """End the turn of push-to-talk."""
    detection, turn = talk.paused_detection, talk.open
    if detection is None:
        return
    talk.paused_detection = talk.open = None
    talk.feed.flush()
    if turn is not None and talk.last_speech > turn.start:
        turn.end = talk.last_speech
        talk.outbox.put(wire.plain("input_audio_buffer.commit"))
        talk.outbox.put(wire.plain("response.create"))
        talk.wait_for(turn, "push-to-talk released", committed=True)
    elif turn is not None:
        talk.drop(turn, "nothing was said")
        talk.outbox.put(wire.plain("input_audio_buffer.clear"))
    talk.outbox.put(wire.turn_detection_update(detection))


def lose(talk: RemoteTalk, reason: str) -> None:
    """The connection is lost; what has come of a reply is still played."""
    what = "is still lost" if talk.lost else "was lost"
    talk.open = talk.waiting = talk.paused_detection = None
    talk.response, talk.reason, talk.lost = "", _LOST, True
    talk.replies.lose(_LOST)
    talk.notice("warning", f"the connection to {talk.host} {what} ({reason}); connecting again")


def restore(talk: RemoteTalk, session: WireEvent) -> None:
    """A new session has begun, as the first one did; ask for what was changed since, and tell the
    conversation so far."""
    talk.session, talk.lost = session, False
    talk.turns.begin_anew()
    talk.feed.begin_anew()
    voice = talk.voice or talk.new_voice
    if voice or talk.persona is not None:
        talk.tell(wire.persona_update(voice=voice, instructions=talk.persona))
    said = talk.turns.talk()
    for role, text in said:
        talk.tell(wire.text_item(role, text))
    more = "; it was told the conversation so far, as text" if said else ""
    talk.reason = "connected again"
    talk.notice("info", f"connected to {talk.host} again{more}")


def go_on(talk: RemoteTalk, playback: Position) -> None:
    """Follow the speaker, and do what is due."""
    for event in talk.replies.poll(talk.now, playback):
        talk.emit(event)
        match event:
            case Interrupted(heard_samples=heard, heard=text):
                _settle(talk, text, heard)
            case ReplyFinished(text=text):
                _settle(talk, text, None)
    if talk.typed and not (talk.response or talk.lost):
        _send(talk, talk.typed.popleft())
    _give_up(talk)


def tell_played(talk: RemoteTalk, reply: RemoteReply, played: int) -> None:
    """Tell a server that asks for it how many samples of ``reply`` were played."""
    played_ms = played * 1000 // ASSISTANT_RATE
    if not reply.item_id:
        return
    if talk.kind is ServerKind.COVO:
        talk.outbox.put(wire.covo_played(reply.item_id, played_ms))
    elif talk.kind is ServerKind.VLLM_OMNI:
        talk.outbox.put(wire.playback_ack(reply.response_id, reply.item_id, played_ms))


def _settle(talk: RemoteTalk, text: str, heard: int | None) -> None:
    """Remember what was heard of the reply that has ended; ``heard`` samples if it was cut."""
    reply = talk.replies.ended
    if reply is None:
        return
    talk.reason = reply.ending_reason or "the reply is over"
    talk.turns.hear_reply(reply.turn, text)
    tell_played(talk, reply, reply.heard)
    if heard is not None and reply.item_id:
        talk.outbox.put(wire.truncate(reply.item_id, heard * 1000 // ASSISTANT_RATE))


def _send(talk: RemoteTalk, text: str) -> None:
    turn = talk.turns.open(talk.now, text=text)
    talk.emit(turn.transcript(talk.now))
    talk.outbox.put(wire.text_item("user", text))
    talk.outbox.put(wire.plain("response.create"))
    talk.last_speech = talk.now
    talk.wait_for(turn, "typed", committed=True)


def _give_up(talk: RemoteTalk) -> None:
    """Stop waiting for what does not come."""
    waited = talk.now - talk.waiting_since
    if talk.waiting is None:
        return
    if not (talk.committed or talk.response) and waited >= samples(_COMMIT_S):
        talk.drop(talk.waiting, "the server made no turn of it")
    elif waited >= samples(ANSWER_S):
        talk.waiting, talk.response, talk.reason = None, "", "no answer"
        talk.notice("warning", f"no answer from {talk.host} for {ANSWER_S:.0f} s")
