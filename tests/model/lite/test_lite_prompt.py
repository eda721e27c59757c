"""What the chat model is told."""

from __future__ import annotations

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
