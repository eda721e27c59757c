"""The user's side on the wire: when speech began and ended, its item, and its words.

Every client stops its playback, at once and for good, when it is told that speech started. So over
a reply it is told only once the turn taking has decided that it is an interruption, and otherwise
after :data:`TOLD_AFTER_S` of it (the turn taking's onset). A sound that turns out to be no turn
leaves no item.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from audio_io.clock import samples, seconds
from covo_cli.conversation.request import Request
from covo_cli.serve.realtime.items import ConversationItems, message
from covo_cli.serve.realtime.response import Send
from covo_cli.serve.realtime.session_object import SessionObject
from covo_cli.serve.realtime.wire import new_id
from model.engine import DropTurn
from model.events import UserTranscript

TOLD_AFTER_S = 0.2
"""Speech outside a reply that is told."""

_REMEMBERED = 50
"""Turns whose words and item are remembered."""


@dataclass(slots=True)
class _HeardTurn:
    """A turn of the user as it is told, begun at ``start`` (user samples).

    ``turn``: the engine's number, 0 while unknown. ``ended``: the client ended it, and the engine
    does not know yet. ``partial``: its last partial words; ``told`` is how much of them was sent.
    """

    item_id: str
    start: int
    turn: int = 0
    started: bool = False
    stopped: bool = False
    ended: bool = False
    committed: bool = False
    transcribed: bool = False
    seconds: float = 0.0
    partial: str = ""
    told: str = ""


class UserSide:
    """Tells of the user's turns. ``place`` turns their times into ms of the client's sound;
    ``command`` passes requests to the conversation."""

    def __init__(
        self,
        send: Send,
        items: ConversationItems,
        settings: Callable[[], SessionObject],
        place: Callable[[int], int],
        command: Callable[[Request], None],
    ) -> None:
        self._send = send
        self._items = items
        self._settings = settings
        self._place = place
        self._command = command
        self._open: _HeardTurn | None = None
        self._given: deque[_HeardTurn] = deque()
        self._turns: dict[int, _HeardTurn] = {}
        self._words: dict[int, str] = {}
        self._over_since: int | None = None  # when speech over a reply began
        self._over_until: int | None = None  # and when that was let pass
        self._over_told = False  # whether it is told
        self.unanswered: list[_HeardTurn] = []
        """Turns that are part of the conversation and have no response."""

    @property
    def speaking(self) -> bool:
        """Whether the user is in a turn."""
        return self._open is not None and not self._open.stopped

    @property
    def ended(self) -> bool:
        """Whether the client has ended the turn, and the engine is about to do so."""
        return self._open is not None and self._open.ended and not self._over_told

    @property
    def over_reply(self) -> bool:
        """Whether the user speaks over a reply, and it is not known yet what that is, nor told."""
        unknown = self._over_since is not None and self._over_until is None
        return unknown and not self._over_told

    def talk_over(self, at: int, *, tell: bool) -> None:
        """Note that speech over a reply began at ``at``, unless it goes on. ``tell``: it stops
        nothing, and is told."""
        if self._over_until not in (None, at) or self._over_since is None:
            self._over_since = at
        self._over_until = None
        if tell and self.begin(at):
            self._over_told = True

    def let_pass(self, at: int) -> None:
        """Note that the reply goes on, or has ended."""
        self._over_until = at
        if self._over_told and self._open is not None:
            self._drop(self._open, at)
        self._over_told = False

    def outlast_reply(self) -> None:
        """Note that a reply has ended: what is spoken over it becomes a turn."""
        self._over_told = False

    def forget_overlap(self) -> None:
        """Note that what was said over a reply is known."""
        self._over_since = self._over_until = None

    def begin(self, at: int) -> bool:
        """Note that speech began; return whether that is news."""
        heard = self._open
        if self.speaking or (heard is not None and heard.ended and not heard.transcribed):
            return False
        self._tell_start(at)
        return True

    def interrupt(self, at: int) -> None:
        """Tell that the user interrupted a reply at ``at``, unless that speech is told."""
        if not self.speaking:
            self._tell_start(at)

    def stop(self, at: int) -> None:
        """Note that the turn is over, and its words may still be coming."""
        if self._open is not None:
            self._stop(self._open, at)
            self._open.ended = False

    def end(self, at: int) -> None:
        """Make the turn so far an item: the client has it answered."""
        heard = self._open
        if heard is not None:
            heard.ended = heard.ended or not heard.stopped
            self._stop(heard, at)
            self.commit()

    def give(self, duration: float, item_id: str = "") -> None:
        """Commit a turn of ``duration`` seconds that the client gave whole. ``item_id``: the item
        that it is already."""
        heard = _HeardTurn(item_id or new_id("item"), 0, started=True, stopped=True)
        heard.seconds = duration
        self._given.append(heard)
        if item_id:
            heard.committed = True
            self.unanswered.append(heard)
        else:
            self.commit(heard)

    def time_out(self, start: int, end: int) -> None:
        """Commit silence from ``start`` to ``end``, after which the assistant is to speak."""
        heard = _HeardTurn(new_id("item"), start, started=True, stopped=True)
        heard.seconds = seconds(end - start)
        place = {"audio_start_ms": self._place(start), "audio_end_ms": self._place(end)}
        kind = "input_audio_buffer.timeout_triggered"
        self._send({"type": kind, "item_id": heard.item_id, **place})
        self.commit(heard)
        self._transcribed(heard, "")

    def commit(self, heard: _HeardTurn | None = None) -> str | None:
        """Make an item of the turn that is over, unless it is one; return the item's id."""
        heard = heard or self._open
        if heard is None or not heard.stopped:
            return None
        if not heard.committed:
            heard.committed = True
            self.unanswered.append(heard)
            item = message(heard.item_id, "user", [{"type": "input_audio", "transcript": None}])
            before = self._items.add(item)
            place = {"item_id": heard.item_id, "previous_item_id": before}
            self._send({"type": "input_audio_buffer.committed", **place})
            for kind in ("added", "done"):
                event = {"type": f"conversation.item.{kind}", "item": item}
                self._send(event | {"previous_item_id": before})
        return heard.item_id

    def words(self, event: UserTranscript) -> None:
        """Tell the words of a turn as far as they are certain."""
        heard = self._of(event)
        if not event.final:
            self._partial(heard, event.text)
            return
        self._start(heard)
        heard.seconds = heard.seconds or seconds(event.end - event.start)
        self._stop(heard, event.end)
        self.commit(heard)
        if self._items[heard.item_id] is None:
            self._command(DropTurn(event.turn))
        before = self._words.get(event.turn, "")
        self._words[event.turn] = event.text
        while len(self._words) > _REMEMBERED:
            self._words.pop(next(iter(self._words)))
        rest = event.text.removeprefix(before).strip() or event.text
        self._transcribed(heard, rest)

    def discard(self, turn: int) -> None:
        """Forget a turn that was none."""
        heard = self._find(turn)
        if heard is not None:
            self._drop(heard, heard.start)

    def _drop(self, heard: _HeardTurn, end: int) -> None:
        """Forget a turn that was none, and was over at ``end``."""
        if heard.committed:
            self.unanswered = [turn for turn in self.unanswered if turn is not heard]
            self._transcribed(heard, "")
            return
        if heard.started:
            self._stop(heard, end)
        if heard is self._open:
            self._open = None

    def give_up(self) -> None:
        """Wait for the words of the turn no longer: it was stopped before they were known."""
        heard, self._open = self._open, None
        self.unanswered.clear()
        if heard is not None and heard.committed and not heard.transcribed:
            self._transcribed(heard, "")

    def answered(self, reply: int) -> None:
        """Note that reply ``reply`` answers all turns so far."""
        self.commit()
        self.belongs_to(reply)
        self.unanswered.clear()

    def belongs_to(self, reply: int) -> None:
        """Note that the engine remembers all turns so far with reply ``reply``."""
        for heard in (self._open, *self.unanswered):
            entry = self._items[heard.item_id] if heard is not None else None
            if entry is not None and not entry.exchange:
                entry.exchange = reply

    def withdraw(self, item_id: str) -> None:
        """Have a turn whose item is deleted answered no more."""
        for heard in [turn for turn in self.unanswered if turn.item_id == item_id]:
            self.unanswered.remove(heard)
            if heard.turn:  # else its words will tell the number
                self._command(DropTurn(heard.turn))

    def _find(self, turn: int) -> _HeardTurn | None:
        """Return what is told of the engine's turn ``turn``, if anything is."""
        heard = self._open
        if heard is None or heard.transcribed or heard.turn not in (0, turn):
            heard = self._turns.get(turn)
        if heard is None and self._given:
            heard = self._given.popleft()
        return heard

    def _of(self, event: UserTranscript) -> _HeardTurn:
        """Return the turn that ``event`` is about, which may be told of only now."""
        heard = self._find(event.turn)
        if heard is None or heard.transcribed:
            heard = self._open = _HeardTurn(new_id("item"), event.start)
            self._start(heard)
        heard.turn = event.turn
        self._turns[event.turn] = heard
        while len(self._turns) > _REMEMBERED:
            self._turns.pop(next(iter(self._turns)))
        return heard

    def _tell_start(self, at: int) -> None:
        """Tell of speech that the engine took note of at ``at``, or over the reply before."""
        if self._over_since is not None and self._over_until in (None, at):
            at = self._over_since
        onset = samples(self._settings().turns.onset)
        self._open = _HeardTurn(new_id("item"), max(0, at - onset))
        self._start(self._open)

    def _start(self, heard: _HeardTurn) -> None:
        if heard.started:
            return
        heard.started = True
        start = heard.start - samples(self._settings().turns.pre_roll)
        place = {"item_id": heard.item_id, "audio_start_ms": self._place(max(0, start))}
        self._send({"type": "input_audio_buffer.speech_started", **place})

    def _stop(self, heard: _HeardTurn, at: int) -> None:
        if heard.stopped:
            return
        self._start(heard)
        heard.stopped = True
        at = max(at, heard.start)
        heard.seconds = heard.seconds or seconds(at - heard.start)
        place = {"item_id": heard.item_id, "audio_end_ms": self._place(at)}
        self._send({"type": "input_audio_buffer.speech_stopped", **place})

    def _partial(self, heard: _HeardTurn, text: str) -> None:
        """Send what two successive partial transcripts agree on, but for the last word."""
        before, heard.partial = heard.partial, text
        sure = agreed(before, text)
        if heard.committed and self._items[heard.item_id] is None:  # it was deleted
            return
        if not (self._settings().transcribes and heard.started and sure.startswith(heard.told)):
            return
        if delta := sure[len(heard.told) :]:
            heard.told = sure
            self._send(
                {
                    "type": "conversation.item.input_audio_transcription.delta",
                    "item_id": heard.item_id,
                    "content_index": 0,
                    "delta": delta,
                }
            )

    def _transcribed(self, heard: _HeardTurn, text: str) -> None:
        if heard.transcribed:
            return
        heard.transcribed = True
        entry = self._items[heard.item_id]
        content = entry.value.get("content", []) if entry is not None else []
        audio = (n for n, part in enumerate(content) if part["type"] == "input_audio")
        index = next(audio, None)
        if index is None:  # it was deleted
            return
        content[index]["transcript"] = text
        if self._settings().transcribes:
            self._send(
                {
                    "type": "conversation.item.input_audio_transcription.completed",
                    "item_id": heard.item_id,
                    "content_index": index,
                    "transcript": text,
                    "usage": {"type": "duration", "seconds": round(heard.seconds, 3)},
                }
            )


def agreed(before: str, after: str) -> str:
    """Return the words on which two successive partial transcripts agree, but for the last."""
    words = []
    for one, other in zip(before.split(), after.split(), strict=False):
        if one != other:
            break
        words.append(one)
    return " ".join(words[:-1])
