"""The state of a conversation at a server, and the steps that its other parts share."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model.events import Event, Notice, PlaybackAction, PlaybackControl, TurnDiscarded, TurnState
from model.realtime import wire
from model.realtime.address import ServerKind
from model.realtime.microphone_feed import MicrophoneFeed
from model.realtime.outbox import Outbox
from model.realtime.remote_replies import RemoteReplies, RemoteReply
from model.realtime.remote_turns import RemoteTurn, RemoteTurns
from model.realtime.wire import WireEvent


@dataclass(slots=True)
class RemoteTalk:
    """A conversation at the server ``host``. Times are user samples.

    ``events``: what has happened in this frame. ``session``: as the server told it last. ``open``:
    the turn that is being spoken; ``paused_detection``: the server's turn detection, to be put
    back after push-to-talk. ``waiting``: the turn to be answered since ``waiting_since``;
    ``committed``: the server has taken it for one. ``response``: the one that the server is making.
    ``typed``: texts to be sent when it makes none. ``voice``: asked for and not confirmed.
    ``new_voice`` and ``persona``: what the first ones were changed to; another session is asked for
    them, too. ``reason``: why the state is as it is. ``lost``: there is no connection. ``lowered``:
    the reply for which the speaker was ducked or held.
    """

    host: str
    kind: ServerKind
    outbox: Outbox
    feed: MicrophoneFeed
    replies: RemoteReplies = field(default_factory=RemoteReplies)
    turns: RemoteTurns = field(default_factory=RemoteTurns)
    session: WireEvent = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    now: int = 0
    last_speech: int = 0
    open: RemoteTurn | None = None
    paused_detection: Mapping[str, Any] | None = None
    waiting: RemoteTurn | None = None
    waiting_since: int = 0
    committed: bool = False
    response: str = ""
    typed: deque[str] = field(default_factory=deque)
    voice: str = ""
    new_voice: str = ""
    persona: str | None = None
    reason: str = ""
    lost: bool = False
    lowered: int | None = None
    told: set[str] = field(default_factory=set)

    @property
    def state(self) -> TurnState:
        """Whose turn it is; LISTENING if nobody's."""
        newest = self.replies.newest
        if self.replies.sounding is not None:
            return TurnState.SPEAKING
        if self.open is not None:
            return TurnState.USER_SPEAKING
        if newest is not None and newest.stopped:
            return TurnState.INTERRUPTED
        return TurnState.THINKING if self.waiting is not None else TurnState.LISTENING

    @property
    def busy(self) -> bool:
        """Whether a turn is unanswered or a reply not heard to its end."""
        return bool(self.open or self.waiting or self.typed or self.replies.busy)

    @property
    def detection(self) -> Mapping[str, Any]:
        """The server's turn detection, as far as it told; empty if it has none."""
        return wire.part_of(self.session, "audio", "input", "turn_detection")

    def emit(self, event: Event) -> None:
        """Tell ``event``."""
        self.events.append(event)

    def tell(self, event: dict[str, Any]) -> None:
        """Tell the server ``event``, one of those that a new session is told in any case."""
        if not self.lost:
            self.outbox.put(event)

    def notice(self, level: str, text: str, *, once: bool = False) -> None:
        """Tell the user ``text``; ``once``: and never again."""
        if once and text in self.told:
            return
        self.told.add(text)
        self.emit(Notice(self.now, level, text))

    def wait_for(self, turn: RemoteTurn, reason: str, *, committed: bool) -> None:
        """``turn`` is over and to be answered."""
        self.waiting, self.waiting_since, self.committed = turn, self.now, committed
        self.reason = reason

    def drop(self, turn: RemoteTurn, reason: str) -> None:
        """``turn`` was none."""
        self.open = None if self.open is turn else self.open
        self.waiting = None if self.waiting is turn else self.waiting
        self.turns.drop(turn)
        self.reason = reason
        self.emit(TurnDiscarded(self.now, turn.number, reason))

    def stop_speaker(self, reason: str) -> None:
        """Stop the reply that is heard, if any."""
        reply = self.replies.cut_all(reason)
        if reply is not None:
            self.reason = reason
            self.control(reply, PlaybackAction.STOP, reason)

    def control(self, reply: RemoteReply, action: PlaybackAction, reason: str) -> None:
        """Tell the speaker what to do with ``reply``, which can be heard."""
        lowers = action in (PlaybackAction.DUCK, PlaybackAction.HOLD)
        self.lowered = reply.reply_id if lowers else None
        reply.held = action is PlaybackAction.HOLD
        self.emit(PlaybackControl(self.now, reply.reply_id, action, reason))

    def raise_again(self) -> None:
        """Bring the speaker back to its level once the reply that was lowered is over."""
        if self.lowered is not None and self.replies.sounding is None:
            action, reply, self.lowered = PlaybackAction.RESUME, self.lowered, None
            self.emit(PlaybackControl(self.now, reply, action, "the reply is over"))

    def stop(self, reason: str, *, by_server: bool = False) -> None:
        """Stop the reply that is heard or made. ``by_server``: speech did it, as it has told."""
        self.stop_speaker(reason)
        self.waiting = None
        server_interrupts = self.detection.get("interrupt_response", True) is not False
        if self.response and not (by_server and server_interrupts):
            self.outbox.put(wire.cancel())
