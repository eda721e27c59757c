"""The screen's view model, folded from scripted events."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from audio_io.clock import ASSISTANT_FRAME, FRAME, samples
from audio_io.signal import NOTHING_PLAYED, Position
from covo_cli.conversation.consumer import Tick
from covo_cli.screen.view import INFO_NOTICE_S, ConversationInfo, ConversationView, View
from covo_cli.sessions.transcript import TranscriptEntry, Who
from model.events import (
    AssistantAudio,
    AssistantText,
    EndpointJudged,
    Event,
    Interrupted,
    Notice,
    PlaybackAction,
    PlaybackControl,
    ReplyFinished,
    ReplyStarted,
    StateChanged,
    TurnDiscarded,
    TurnLatency,
    TurnState,
    UserTranscript,
    VoiceChanged,
)
from tests.fakes.screen_session import conversation, ticks

INFO = ConversationInfo("lite", "heart", "mic", "speaker")


class Fold:
    """Feeds a view tick by tick."""

    def __init__(self) -> None:
        self.view = ConversationView(INFO)
        self.at = 0
        self.played = NOTHING_PLAYED

    def tick(
        self, *events: Event, user: float = 0.0, assistant: float = 0.0, **more: object
    ) -> View:
        tick = Tick(
            self.at,
            np.full(FRAME, user, np.float32),
            np.full(ASSISTANT_FRAME, assistant, np.float32),
            events,
            played=self.played,
            **more,  # type: ignore[arg-type]
        )
        self.at += FRAME
        self.view.on_tick(tick)
        return self.view.now

    def play(self, frames: int, reply: int = 1) -> View:
        """One tick, at the end of which the speaker has played so many frames of the reply."""
        self.played = Position(reply, frames * ASSISTANT_FRAME)
        return self.tick()


@pytest.fixture
def fold() -> Fold:
    return Fold()


def heard(turn: int, text: str, *, final: bool = False) -> UserTranscript:
    return UserTranscript(0, turn, text, final, 100, 200)


def user(text: str, *, final: bool = False) -> TranscriptEntry:
    return TranscriptEntry(Who.USER, 1, 1, 100, 200, text, final=final)


def reply(text: str, *, start: int, end: int, **more: str) -> TranscriptEntry:
    """Reply 1 to turn 1 as it ended at 0."""
    entry = TranscriptEntry(Who.ASSISTANT, 1, 1, start, end, text, final=True, stopped=0)
    return replace(entry, **more)  # type: ignore[arg-type]


def test_state_and_time(fold: Fold) -> None:
    now = fold.tick(StateChanged(0, TurnState.THINKING, "silence of 0.70 s"))
    assert (now.state, now.reason, now.at) == (TurnState.THINKING, "silence of 0.70 s", FRAME)


def test_partial_transcripts_replace_each_other(fold: Fold) -> None:
    fold.tick(heard(1, "what is"))
    now = fold.tick(heard(1, "what is the", final=False))
    assert now.entries == (user("what is the"),)
    now = fold.tick(heard(1, "What is the time?", final=True))
    assert now.entries == (user("What is the time?", final=True),)


def test_discarded_turn_vanishes(fold: Fold) -> None:
    now = fold.tick(heard(1, "uh"), TurnDiscarded(0, 1, "too short"))
    assert now.entries == ()


def test_reply_is_heard_as_it_is_played(fold: Fold) -> None:
    fold.tick(
        heard(1, "Hello", final=True),
        ReplyStarted(300, 1, 1),
        AssistantText(0, 1, "one two"),
        AssistantText(0, 1, " three four"),
        AssistantAudio(0, 1, np.ones(4 * ASSISTANT_FRAME, np.float32), "one two"),
        AssistantAudio(0, 1, np.ones(4 * ASSISTANT_FRAME, np.float32), "three four"),
    )
    silent = fold.tick()
    assert (silent.entries[1].text, silent.entries[1].unheard) == ("", "one two three four")
    marks = [fold.play(frames).entries[1].text.strip() for frames in range(1, 11)]
    assert marks[0] == "one"
    assert marks[3] == "one two"
    assert marks[7:] == ["one two three four"] * 3
    assert all(later.startswith(earlier) for earlier, later in pairwise(marks))


def test_what_another_reply_played_does_not_count(fold: Fold) -> None:
    fold.tick(
        ReplyStarted(0, 1, 1),
        AssistantText(0, 1, "a b"),
        AssistantAudio(0, 1, np.ones(2 * ASSISTANT_FRAME, np.float32), "a b"),
    )
    assert fold.play(2, reply=0).entries[0].text == ""
    assert fold.play(1).entries[0].text == "a "
    assert fold.play(2).entries[0].text == "a b"


def test_finished_reply_is_final(fold: Fold) -> None:
    now = fold.tick(ReplyStarted(7, 1, 1), AssistantText(0, 1, "Hi."), ReplyFinished(0, 1, "Hi."))
    assert now.entries == (reply("Hi.", start=7, end=7),)


def test_interruption_divides_the_text(fold: Fold) -> None:
    now = fold.tick(
        ReplyStarted(7, 1, 1),
        AssistantText(0, 1, "one two three"),
        Interrupted(0, 1, 24_000, "one two", " three", "you spoke"),
    )
    end = 7 + samples(1)
    expected = reply("one two", start=7, end=end, unheard=" three", cut_off="you spoke")
    assert now.entries == (expected,)
    assert now.interruptions == 1


def test_interrupted_before_any_text_leaves_nothing(fold: Fold) -> None:
    now = fold.tick(heard(1, "Hi", final=True), Interrupted(0, 1, 0, "", "", "key"))
    assert [entry.who for entry in now.entries] == [Who.USER]


def test_text_after_the_interruption_does_not_revive_the_reply(fold: Fold) -> None:
    fold.tick(ReplyStarted(0, 1, 1), Interrupted(0, 1, 10, "one", " two", "key"))
    now = fold.tick(AssistantText(0, 1, "one two three"), assistant=0.1)
    assert now.entries[0].unheard == " two"


def test_turns_settle_when_the_next_begins_or_a_rest_comes(fold: Fold) -> None:
    now = fold.tick(heard(1, "a", final=True), ReplyStarted(0, 1, 1), ReplyFinished(0, 1, "b"))
    assert now.settled == 0
    now = fold.tick(heard(2, "c"))
    assert (now.settled, len(now.entries)) == (2, 3)
    now = fold.tick(StateChanged(0, TurnState.LISTENING, "reply ended"))
    assert now.settled == 3


def test_turn_that_goes_on_after_a_premature_reply_is_not_settled(fold: Fold) -> None:
    fold.tick(heard(1, "I would", final=True), ReplyStarted(300, 1, 1))
    now = fold.tick(
        Interrupted(400, 1, 50, "", "Sure", "you went on"),
        StateChanged(400, TurnState.USER_SPEAKING, "you went on"),
        heard(1, "I would like tea", final=True),
        ReplyStarted(500, 2, 1),
    )
    assert now.settled == 0
    assert [(entry.who, entry.number) for entry in now.entries] == [
        (Who.USER, 1),
        (Who.ASSISTANT, 1),
        (Who.ASSISTANT, 2),
    ]
    assert now.entries[0].text == "I would like tea"


def test_words_that_come_later_than_their_answer_stand_above_it(fold: Fold) -> None:
    fold.tick(ReplyStarted(samples(2), 1, 1), AssistantText(samples(2), 1, "Sure"))
    now = fold.tick(UserTranscript(samples(3), 1, "I would like tea", True, 0, samples(1)))
    assert [(entry.who, entry.number) for entry in now.entries] == [
        (Who.USER, 1),
        (Who.ASSISTANT, 1),
    ]
    assert now.settled == 0
    now = fold.tick(ReplyFinished(samples(4), 1, "Sure"))
    assert (now.entries[1].text, now.entries[1].final) == ("Sure", True)


def test_settled_entries_cannot_be_taken_back(fold: Fold) -> None:
    fold.tick(heard(1, "a", final=True), StateChanged(0, TurnState.LISTENING, "no reply came"))
    now = fold.tick(TurnDiscarded(0, 1, "late"))
    assert (len(now.entries), now.settled) == (1, 1)


def test_late_words_of_a_settled_turn_do_not_settle_a_reply(fold: Fold) -> None:
    fold.tick(heard(1, "a"), StateChanged(0, TurnState.LISTENING, "no reply came"))
    fold.tick(ReplyStarted(50, 1, 1), AssistantText(50, 1, "Hi"))
    now = fold.tick(heard(1, "a b", final=True))
    assert (now.settled, [entry.final for entry in now.entries]) == (1, [True, False])


def test_levels_rise_at_once_and_fall_slowly(fold: Fold) -> None:
    now = fold.tick(user=0.5, assistant=0.1)
    assert now.input_level == pytest.approx(-6.02, abs=0.01)
    assert now.output_level == pytest.approx(-20.0, abs=0.01)
    later = fold.tick()
    assert now.input_level - 3 < later.input_level < now.input_level


def test_lowered_while_ducked(fold: Fold) -> None:
    fold.tick(StateChanged(0, TurnState.SPEAKING, "reply began"))
    now = fold.tick(PlaybackControl(0, 1, PlaybackAction.DUCK, "speech over the reply"))
    assert now.lowered == "speech over the reply"
    assert fold.tick(PlaybackControl(0, 1, PlaybackAction.RESUME, "cough")).lowered == ""
    fold.tick(PlaybackControl(0, 1, PlaybackAction.DUCK, "again"))
    assert fold.tick(StateChanged(0, TurnState.LISTENING, "reply ended")).lowered == ""


def test_lowered_while_held_and_the_text_stands_still(fold: Fold) -> None:
    fold.tick(StateChanged(0, TurnState.SPEAKING, "reply began"))
    fold.tick(PlaybackControl(0, 1, PlaybackAction.DUCK, "speech over the reply"))
    now = fold.tick(PlaybackControl(0, 1, PlaybackAction.HOLD, "0.26 s of speech"))
    assert now.lowered == "0.26 s of speech"
    assert fold.tick(PlaybackControl(0, 1, PlaybackAction.RESUME, "only yeah")).lowered == ""


def test_what_an_open_turn_is_waited_for_is_shown(fold: Fold) -> None:
    fold.tick(StateChanged(0, TurnState.USER_SPEAKING, "speech began"))
    now = fold.tick(EndpointJudged(0, 1, False, 0.4, 0.9, "unfinished", "the phrase breaks off"))
    assert now.reason == "waiting for you: the phrase breaks off"
    now = fold.tick(EndpointJudged(0, 1, True, 2.8, 0.9, "unfinished", "the phrase breaks off"))
    assert now.reason == "waiting for you: the phrase breaks off"


def test_warning_stays_until_replaced_and_info_goes(fold: Fold) -> None:
    fold.tick(Notice(0, "warning", "first"), Notice(0, "info", "by the way"))
    now = fold.tick(Notice(0, "error", "second"))
    assert (now.warning, now.info_notice) == (
        Notice(0, "error", "second"),
        Notice(0, "info", "by the way"),
    )
    fold.at = samples(INFO_NOTICE_S)
    now = fold.tick()
    assert now.warning == Notice(0, "error", "second")
    assert now.info_notice is None


def test_the_rest_of_the_status(fold: Fold) -> None:
    latency = TurnLatency(0, 1, 1, 0.9, {"wait": 0.9})
    now = fold.tick(
        latency,
        VoiceChanged(0, "nova"),
        muted=True,
        microphone="unplugged",
        speaker="slow",
    )
    assert now.latency == latency
    assert now.voice == "nova"
    assert (now.muted, now.microphone, now.speaker) == (True, "unplugged", "slow")
    assert fold.tick().microphone == ""


def test_a_view_once_taken_does_not_change(fold: Fold) -> None:
    before = fold.tick(heard(1, "a"))
    fold.tick(heard(1, "b"), StateChanged(0, TurnState.MUTED, "muted"))
    assert before.entries[0].text == "a"
    assert before.state is TurnState.LISTENING


def test_a_whole_conversation() -> None:
    view = ConversationView(INFO)
    settled = 0
    for tick in ticks(conversation()):
        view.on_tick(tick)
        assert settled <= view.now.settled <= len(view.now.entries)
        settled = view.now.settled
    now = view.now
    assert [entry.who for entry in now.entries] == [Who.USER, Who.ASSISTANT] * 3
    assert [bool(entry.cut_off) for entry in now.entries] == [False, False, False, True] + [
        False
    ] * 2
    assert settled == 6
    assert (now.replies, now.interruptions) == (3, 1)
