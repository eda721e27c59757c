"""The turn taking as a machine that can be copied: one step is 0.1 s, everything around it is a
fake, and :meth:`Machine.key` tells states apart that can behave differently."""

from __future__ import annotations

import io
import pickle
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from types import FunctionType
from typing import Any

import numpy as np

from audio_io.clock import USER_RATE
from audio_io.signal import Position
from model.engine import Command, Frame
from model.events import (
    AssistantAudio,
    Backchannel,
    Event,
    Interrupted,
    PlaybackAction,
    PlaybackControl,
    ReplyFinished,
    ReplyStarted,
    StateChanged,
    TurnState,
)
from model.turns.answer import TurnAnswer
from model.turns.controller import TurnTakingEngine
from model.turns.overlap import Overlap
from model.turns.phrases import phrases_of
from model.turns.states import (
    Listening,
    ReplySpeaking,
    ReplyStopping,
    Thinking,
    UserSpeaking,
    open_turn_of,
)
from model.turns.turn_settings import TurnSettings
from tests.fakes.copyable import (
    PLAYED,
    SOMEBODY_ELSE,
    STEP,
    Clock,
    DoneExecutor,
    DoneJob,
    Person,
    Replies,
)
from tests.fakes.engine import LevelDetector

SILENCE, SPEECH, FAINT = (np.full(STEP, level, np.float32) for level in (0.0, 0.1, 0.02))
_FAR = 40
"""Steps after which times are as good as equal: longer than any timer of the settings explored."""

TIMES = {
    *("now", "_now", "run_start", "last_voiced", "_voiced_until", "start", "end_of_speech"),
    *("committed_at", "first_audio_at", "first_heard_at", "first_text_at", "_begun_at"),
    *("_words_at", "_released_at", "_moved_at", "_deaf_until", "_next_partial"),
    *("_pause_at", "_echo_until", "ready_at"),
}
LENGTHS = {
    "voiced",
    "run_voiced",
    "length",
    "_voiced_before",
    "_begins",
    "_words_until",
    "_asked_until",
    "_enough",
}
NUMBERS = {"number", "turn", "reply_id", "_partial_turn", "_turn"}
COUNTS = {"turns", "replies"}
NOT_PART_OF_IT = {
    *("_frames", "_recent", "_gate", "events", "_events", "settings", "_settings", "_detector"),
    "_first_sounds",
    *("phrases", "_phrases", "executor", "_executor", "generator", "_generator", "_work"),
    *("_recognizer", "_audio", "_powers", "_speech"),
    *("last", "unanswered"),  # only commands of servers ask for them
    "timers",
    "judged",  # it only keeps an event from coming twice
}


RESTING = {TurnState.LISTENING, TurnState.MUTED}
KINDS = {
    Listening: RESTING,
    UserSpeaking: {TurnState.USER_SPEAKING},
    Thinking: {TurnState.THINKING},
    ReplySpeaking: {TurnState.SPEAKING},
    ReplyStopping: {TurnState.INTERRUPTED},
}
NEXT = {
    **{resting: {TurnState.USER_SPEAKING, TurnState.THINKING, *RESTING} for resting in RESTING},
    TurnState.USER_SPEAKING: {TurnState.THINKING, *RESTING},
    TurnState.THINKING: {TurnState.USER_SPEAKING, TurnState.SPEAKING, *RESTING},
    TurnState.SPEAKING: {TurnState.INTERRUPTED, TurnState.USER_SPEAKING, *RESTING},
    TurnState.INTERRUPTED: {TurnState.USER_SPEAKING, *RESTING},
}
"""The states that each may be followed by, as the controller's docstring draws them."""


class Machine:
    """The engine with all fakes, and the speaker that it plays to. ``step`` raises AssertionError
    for whatever may never happen."""

    def __init__(self, settings: TurnSettings, *, words: bool) -> None:
        clock = Clock()
        self.person = Person(clock)
        self.replies = Replies(self.person)
        self.engine = TurnTakingEngine(
            self.replies,
            LevelDetector(),
            DoneExecutor(clock),
            settings,
            self.person,
            phrases_of("en") if words else None,
            self.person if words else None,
        )
        timers = self.engine._context.timers  # none is ever set
        phrases = phrases_of("en")
        self._never_change = (settings, phrases, SILENCE, SPEECH, FAINT, Replies.SOUND, timers)
        self.at = 0
        self.state = TurnState.LISTENING
        self.active: int | None = None  # the reply that was let through and is not over
        self.finished_turn: int | None = None  # the last turn whose reply was heard to its end
        self.turn: int | None = None  # that the active reply answers
        self.reply = -1
        self.queued = self.played = 0
        self.ducked = self.held = self.dropped = self.stuck = False
        self.hums = self.said = 0  # the hums, and the steps of speech since the last one
        self.hummed: int | None = None  # the turn of the last hum

    def copies(self) -> Iterator[Machine]:
        """Copies of it as it is now, as ``copy.deepcopy`` makes them, but several times as fast."""
        kept = {id(value): value for value in self._never_change}
        file = io.BytesIO()
        _Writer(file, kept).dump(self)
        while True:
            _KEPT.clear()
            _KEPT.update(kept)
            yield pickle.loads(file.getbuffer())

    def step(self, words: str | None, command: Command | None, *, stuck: bool = False) -> None:
        """0.1 s, in which ``words`` are being said (None: silence). ``stuck``: from now on the
        speaker is, until the next reply."""
        if command is not None:
            self.engine.command(command)
        if words is not None:
            self.person.words = words
            self.said += 1
        self.stuck = stuck or self.stuck
        if self.queued and not (self.held or self.stuck):
            moved = min(self.queued, PLAYED)
            self.queued -= moved
            self.played += moved
        sound = SILENCE if words is None else FAINT if words == SOMEBODY_ELSE else SPEECH
        for event in self.engine.process(Frame(self.at, sound, Position(self.reply, self.played))):
            self._take(event)
        self._check_state()
        self.at += STEP

    def _check_state(self) -> None:
        """The state holds what there is in it, and is the one that was told."""
        state = self.engine._state
        assert self.state in KINDS[type(state)]
        match state:
            case UserSpeaking(turn=turn, answer=answer) if answer is not None:
                assert answer.turn is turn
                assert answer.reply.first_heard_at is None
            case Thinking(turn=turn, answer=answer, overlap=overlap):
                assert answer.turn is turn
                assert overlap is None or turn.closed
                assert answer.reply.first_heard_at is None
            case ReplySpeaking(answer=answer, unfinished=unfinished, overlap=overlap):
                assert unfinished is None or (unfinished is answer.turn and overlap is None)
                assert not answer.reply.stopped
            case ReplyStopping(answer=answer):
                assert answer.reply.stopped

    def _take(self, event: Event) -> None:
        match event:
            case StateChanged(state=state):
                assert state in NEXT[self.state], f"{self.state} is followed by {state}"
                self.state = state
            case ReplyStarted(reply=reply, turn=turn):
                assert self.active is None, "two replies at once"
                assert turn != self.finished_turn, "a turn is answered twice"
                self.active, self.turn = reply, turn
                self.queued, self.dropped, self.stuck = 0, False, False
            case AssistantAudio(reply=reply, samples=samples):
                assert reply == self.active, "sound of a reply that is not being spoken"
                assert not self.dropped, "sound after the reply was stopped"
                if reply != self.reply:
                    self.reply, self.played = reply, 0
                self.queued += len(samples)
            case Backchannel(turn=turn, number=number, samples=samples):
                humming = self.engine._context.settings.humming
                assert humming is not None
                assert self.state is TurnState.USER_SPEAKING, "a hum without a story"
                assert not self.engine._context.muted, "a hum to a muted microphone"
                assert self.active is None, "a hum over a reply"
                again = self.said * STEP >= humming.again * USER_RATE
                assert self.hummed != turn or again, "two hums running"
                assert number < self.reply or self.reply >= 0, "the speaker knows this number"
                self.hums, self.said, self.hummed = self.hums + 1, 0, turn
                self.reply, self.played, self.queued = number, 0, len(samples)
            case PlaybackControl(action=action):
                assert event.reason
                spared = self.active is not None or action is PlaybackAction.RESUME
                assert spared, "the hum is ducked or stopped"
                self.ducked = action is PlaybackAction.DUCK or (
                    action is PlaybackAction.HOLD and self.ducked
                )
                self.held = action is PlaybackAction.HOLD
                if action is PlaybackAction.STOP:
                    self.queued, self.dropped = 0, True
            case ReplyFinished(reply=reply):
                assert reply == self.active
                assert self.replies.history[-1][1] == "".join(Replies.WORDS)
                self.finished_turn, self.active = self.turn, None
            case Interrupted(reply=reply, heard=heard, reason=reason):
                assert self.active in (reply, None)
                if reason != "you went on" and reply == self.replies.remembered:
                    assert self.replies.history[-1][1] == heard
                elif reason != "you went on":
                    assert not heard, "it had not even been asked for"
                self.active = None

    @property
    def situation(self) -> Any:
        """What kind of state it is in, roughly."""
        state = self.engine._state
        answer: TurnAnswer | None = getattr(state, "answer", None)
        overlap, turn = self._overlap, open_turn_of(state)
        return (
            (self.state, self.ducked, self.held, self.stuck, self.engine._context.muted),
            answer and (answer.complete, answer.failed, answer.words is None),
            overlap and (overlap.goes_on, overlap._words is None, self._somebody_else),
            turn and (turn.push_to_talk, turn.closed, turn.over_reply),
        )

    @property
    def _overlap(self) -> Overlap | None:
        return getattr(self.engine._state, "overlap", None)

    @property
    def _somebody_else(self) -> bool:
        """Whether what is said over the reply is too faint for the user."""
        overlap = self._overlap
        return overlap is not None and overlap.level < -self.engine._context.settings.barge_in_quiet

    def check_rest(self) -> None:
        """Nobody has the floor: nothing may be left over."""
        assert isinstance(self.engine._state, Listening)
        assert self.active is None
        assert not self.replies.begun, "a reply was never settled"
        assert not self.held, "the speaker stands still for ever"
        assert not self.ducked, "the speaker stays low"

    def key(self) -> Any:
        """Equal for machines that behave alike from now on."""
        context = self.engine._context
        numbers = (context.turns, context.replies)
        own = (self.state, self.queued, self.ducked, self.held, self.dropped, self.stuck)
        last = (
            max(-3, self.reply - context.replies),
            self.finished_turn is not None and self.finished_turn == context.turns,
            len(self.replies.begun),
            self._somebody_else,
        )
        return own, self.person.words, last, _seen(self.engine, self.at, numbers, set())


_KEPT: dict[int, Any] = {}


def _kept(key: int) -> Any:
    return _KEPT[key]


class _Writer(pickle.Pickler):
    """Pickles a machine; functions, sounds and what is ``kept`` already stay as they are."""

    def __init__(self, file: io.BytesIO, kept: dict[int, Any]) -> None:
        super().__init__(file, protocol=5)
        self._kept = kept

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, FunctionType | np.ndarray) and value is not _kept:
            self._kept[id(value)] = value
        return (_kept, (id(value),)) if id(value) in self._kept else NotImplemented


_PLAIN = {type(None), bool, int, str, float}


def _seen(value: Any, now: int, numbers: tuple[int, int], met: set[int]) -> Any:
    kind = type(value)
    if kind in _PLAIN or isinstance(value, Enum):
        return value
    if kind is DoneJob:
        times = tuple([max(0, t - now) for t, _ in value.results])
        return times, value.cancelled, value.error is not None
    if kind is list or kind is deque or isinstance(value, tuple):
        return tuple([_seen(v, now, numbers, met) for v in value])
    if kind is np.ndarray:
        return len(value)
    if id(value) in met or callable(value):
        return None
    met.add(id(value))
    seen: list[Any] = []
    for name, field in _fields(value):
        if name in NOT_PART_OF_IT:
            continue
        kind = type(field)
        if kind is int:
            seen.append(_relative(name, field, now, numbers))
        elif kind in _PLAIN:
            seen.append(field)
        elif name == "_asked_of" and isinstance(field, tuple):
            seen.append((field[0] - numbers[0], max(-_FAR * STEP, field[1] - now)))
        else:
            seen.append(_seen(field, now, numbers, met))
    return tuple(seen)


def _relative(name: str, value: int, now: int, numbers: tuple[int, int]) -> int:
    if name in TIMES:
        return max(-_FAR * STEP, value - now)
    if name in COUNTS:
        return 0
    if name in NUMBERS:
        return max(-3, value - max(numbers))
    return min(value, _FAR * STEP) if name in LENGTHS else value


def _fields(value: Any) -> Iterable[tuple[str, Any]]:
    if hasattr(value, "__dict__"):
        return vars(value).items()
    return [(name, getattr(value, name)) for name in getattr(value, "__slots__", ())]
