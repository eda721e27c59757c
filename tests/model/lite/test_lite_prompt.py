"""What the chat model is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from model.lite.chat import Message
from model.lite.prompt import ChatExchange, Prompt, build_messages, estimate_tokens, fit_history

PROMPT = Prompt("Be kind.", (Message("user", "Hi"), Message("assistant", "Hello.")))


def test_order_of_the_messages() -> None:
    history = [ChatExchange("One?", "First."), ChatExchange("Two?", "Second,", interrupted=True)]
    assert [(m.role, m.content) for m in build_messages(PROMPT, history, "Three?")] == [
        ("system", "Be kind."),
        ("user", "Hi"),
        ("assistant", "Hello."),
        ("user", "One?"),
        ("assistant", "First."),
        ("user", "Two?"),
        ("assistant", "Second, …"),
        ("user", "Three?"),
    ]


def test_a_turn_whose_answer_was_not_heard_is_joined_with_the_next() -> None:
    history = [ChatExchange("Tell me a story.", "", interrupted=True)]
    assert build_messages(Prompt(""), history, "No, a joke.") == [
        Message("user", "Tell me a story. No, a joke.")
    ]


def test_a_small_model_is_told_the_beginnings_of_the_last_replies() -> None:
    history = [
        ChatExchange("One?", "First."),
        ChatExchange("Two?", "Second. And this, too!"),
        ChatExchange("Three?", "Third", interrupted=True),
        ChatExchange("Four?", "", interrupted=True),
    ]
    assert build_messages(Prompt("", recent=3), history, "Five?") == [
        Message("user", "Two?"),
        Message("assistant", "Second."),
        Message("user", "Three?"),
        Message("assistant", "Third"),
        Message("user", "Four? Five?"),
    ]


def test_a_small_model_is_told_nothing_twice() -> None:
    history = [
        ChatExchange("One?", "No."),
        ChatExchange("Two?", "No. Not at all."),
        ChatExchange("Three?", "Yes."),
    ]
    told = build_messages(Prompt("", recent=3), history, "Four?")
    assert [m.content for m in told] == ["Two?", "No.", "Three?", "Yes.", "Four?"]
    whole = build_messages(Prompt(""), history, "Four?")
    assert [m.content for m in whole][:2] == ["One?", "No."]


def test_the_oldest_turns_go_and_the_rest_fits() -> None:
    history = [ChatExchange(f"Question {i}? " + "x" * 60, "y" * 90) for i in range(40)]
    kept = fit_history(PROMPT, history, 1500)
    assert kept == tuple(history[-len(kept) :])
    assert 0 < len(kept) < 40
    assert estimate_tokens(build_messages(PROMPT, kept, "z" * 300)) <= 1500


def test_turns_are_dropped_seldom() -> None:
    history: tuple[ChatExchange, ...] = ()
    drops = 0
    for i in range(100):
        grown = (*history, ChatExchange(f"{i} " + "x" * 60, "y" * 90))
        history = fit_history(PROMPT, grown, 1500)
        drops += history != grown
    assert 1 <= drops <= 12


def test_a_history_that_fits_is_left_alone() -> None:
    history = (ChatExchange("One?", "First."),)
    assert fit_history(PROMPT, history, 1500) == history
    assert fit_history(PROMPT, (ChatExchange("x" * 9000, "y"),), 1500) == ()


FRIDAY = datetime(2026, 11, 27, 16, 50, 30)
TIMED = replace(PROMPT, began=FRIDAY)


def minutes_later(minutes: int) -> datetime:
    return FRIDAY + timedelta(minutes=minutes)


def test_a_turn_tells_the_time_only_where_it_was_not_told() -> None:
    history = [
        ChatExchange("One?", "First.", at=FRIDAY + timedelta(seconds=20)),
        ChatExchange("Two?", "Second.", at=minutes_later(5)),
        ChatExchange("Typed.", "Third."),
    ]

    def told(minutes: int, history: list[ChatExchange] = history) -> str:
        return build_messages(TIMED, history, "Now?", minutes_later(minutes))[-1].content

    messages = build_messages(TIMED, history)
    assert messages[0].content == "Be kind. It is Friday, 27 November 2026, 4:50 PM."
    users = [m.content for m in messages if m.role == "user"][1:]
    assert users == ["One?", "(It is now 4:55 PM.) Two?", "Typed."]
    assert told(5) == "Now?"
    assert told(61) == "(It is now 5:51 PM.) Now?"
    assert told(8 * 60, []) == "(It is Saturday, 28 November 2026, 12:50 AM.) Now?"
    silent = replace(TIMED, persona="", examples=())
    assert [m.content for m in build_messages(silent, (), "Now?", FRIDAY)] == [
        "(It is Friday, 27 November 2026, 4:50 PM.) Now?"
    ]


def test_a_model_that_cannot_follow_the_time_is_told_it_once_a_day() -> None:
    small = replace(TIMED, follows_time=False)
    assert build_messages(small, (), "Now?", minutes_later(5))[-1].content == "Now?"
    assert small.on_day_of(minutes_later(60)) == small
    assert "Saturday" in small.on_day_of(minutes_later(8 * 60)).system


def test_what_was_read_ahead_is_the_beginning_of_the_next_prompt() -> None:
    """The cache of a chat model lives on that: nothing before the new words may change."""
    history: tuple[ChatExchange, ...] = ()
    for minute in (0, 0, 3, 3, 700):
        now = minutes_later(minute)
        ahead = build_messages(TIMED, history, now=now)
        asked = build_messages(TIMED, history, "And now?", now)
        whole = "".join(f"<{m.role}>{m.content}" for m in asked)
        assert whole.startswith("".join(f"<{m.role}>{m.content}" for m in ahead))
        history = (*history, ChatExchange("And now?", "The same.", at=now))
        answered = build_messages(TIMED, history)
        assert answered[: len(asked)] == asked
