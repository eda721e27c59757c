"""Who said what when: the utterances of a conversation, built from its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from audio_io.clock import ASSISTANT_RATE, seconds
from covo_cli.sessions.event_log import RecordedAudio
from model.events import (
    AssistantText,
    Event,
    Interrupted,
    ReplyFinished,
    ReplyStarted,
    TurnDiscarded,
    TurnLatency,
    UserTranscript,
)

Speaker = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Utterance:
    """What one speaker said without a break, between ``start`` and ``end`` seconds.

    ``cut_off`` is what the assistant would have said but was not heard, else empty. ``latency`` is
    how long the user waited for it, when that was measured.
    """

    speaker: Speaker
    start: float
    end: float
    text: str
    cut_off: str = ""
    turn: int = -1
    latency: TurnLatency | None = None


@dataclass(slots=True)
class _Reply:
    """What is known of one reply while its events are read."""

    turn: int = -1
    started: int | None = None
    first_audio: int | None = None
    sent: int = 0
    written: list[str] = field(default_factory=list)
    spoken: list[str] = field(default_factory=list)
    finished: ReplyFinished | None = None
    interrupted: Interrupted | None = None
    latency: TurnLatency | None = None


def utterances(events: Iterable[Event], duration: float | None = None) -> tuple[Utterance, ...]:
    """The utterances in ``events``, in order of their beginning.

    The user's come from final transcripts; the assistant's last from when the reply's first sound
    was let through to the speaker until it was played or cut off. A conversation that broke off
    during a reply has it end with its last sound, or with the recording: ``duration`` seconds.
    """
    heard_from_user: dict[int, UserTranscript] = {}
    replies: dict[int, _Reply] = {}
    for event in events:
        match event:
            case UserTranscript(final=True):
                heard_from_user[event.turn] = event
            case TurnDiscarded():
                heard_from_user.pop(event.turn, None)
            case _:
                _note(replies, event)
    found = [
        Utterance("user", seconds(said.start), seconds(said.end), said.text.strip(), turn=said.turn)
        for said in heard_from_user.values()
        if said.text.strip()
    ]
    for reply in replies.values():
        utterance = _assistant(reply, duration)
        if utterance is not None:
            found.append(utterance)
    return tuple(sorted(found, key=lambda utterance: utterance.start))


def _note(replies: dict[int, _Reply], event: Event) -> None:
    number = getattr(event, "reply", None)
    if not isinstance(number, int):
        return
    reply = replies.setdefault(number, _Reply())
    match event:
        case ReplyStarted():
            reply.started, reply.turn = event.at, event.turn
        case AssistantText():
            reply.written.append(event.delta)
        case RecordedAudio():
            if reply.first_audio is None:
                reply.first_audio = event.at
            reply.sent += event.samples
            reply.spoken.append(event.text)
        case ReplyFinished():
            reply.finished = event
        case Interrupted():
            reply.interrupted = event
        case TurnLatency():
            reply.latency = event


def _assistant(reply: _Reply, duration: float | None) -> Utterance | None:
    times = [at for at in (reply.started, reply.first_audio) if at is not None]
    if not times:
        return None  # thrown away before anything of it was let through
    start = seconds(max(times))
    played_for = seconds(reply.sent, ASSISTANT_RATE)
    cut_off = ""
    if reply.interrupted is not None:
        text, cut_off = reply.interrupted.heard, reply.interrupted.unheard
        end = start + seconds(reply.interrupted.heard_samples, ASSISTANT_RATE)
    elif reply.finished is not None:
        text = reply.finished.text
        end = max(start + played_for, seconds(reply.finished.at))
    else:
        text = "".join(reply.written) or " ".join(reply.spoken)
        end = start + played_for
        if duration is not None:
            end = max(start, min(end, duration))
    if not text.strip() and not cut_off.strip():
        return None
    turn, latency = reply.turn, reply.latency
    return Utterance("assistant", start, end, text.strip(), cut_off.strip(), turn, latency)
