"""What the keys do, without a terminal."""

from __future__ import annotations

import numpy as np
import pytest

from covo_cli.conversation.consumer import Tick
from covo_cli.conversation.request import Quit, Request
from covo_cli.screen.keys import KeyMachine
from model.engine import Interrupt, NewSpeaker, PushToTalk, SayText, SetMuted, SetVoice
from model.events import Event, ToolAnswered, ToolOutcome, UserTranscript


def feed(machine: KeyMachine, *keys: str) -> list[Request]:
    return [action for key in keys for action in machine.feed(key)]


@pytest.fixture
def machine() -> KeyMachine:
    return KeyMachine(("heart", "nova", "ryan"), "nova")


def test_mute_toggles(machine: KeyMachine) -> None:
    assert feed(machine, "m", "M", "m") == [SetMuted(True), SetMuted(False), SetMuted(True)]


def test_push_to_talk_is_pressed_twice(machine: KeyMachine) -> None:
    assert feed(machine, " ") == [PushToTalk(True)]
    assert machine.state.talking
    assert feed(machine, " ") == [PushToTalk(False)]
    assert not machine.state.talking


def test_push_to_talk_unmutes(machine: KeyMachine) -> None:
    assert feed(machine, "m", " ") == [SetMuted(True), SetMuted(False), PushToTalk(True)]
    assert feed(machine, " ", "m") == [PushToTalk(False), SetMuted(True)]


@pytest.mark.parametrize("key", ["i", "KEY_ESCAPE"])
def test_interrupt(machine: KeyMachine, key: str) -> None:
    assert feed(machine, key) == [Interrupt()]


def test_voices_go_round(machine: KeyMachine) -> None:
    voices = ["ryan", "heart", "nova", "ryan"]
    assert feed(machine, *"vvvv") == [SetVoice(voice) for voice in voices]


def test_voice_key_without_voices_or_with_an_unknown_one() -> None:
    assert feed(KeyMachine(), "v") == []
    assert feed(KeyMachine(("a", "b"), "c"), "v") == [SetVoice("a")]


def test_a_voice_is_picked_by_arrows(machine: KeyMachine) -> None:
    assert feed(machine, "V") == []
    picker = machine.state.picker
    assert picker is not None
    assert (picker.matching, picker.chosen) == (("heart", "nova", "ryan"), "nova")
    assert feed(machine, "KEY_DOWN", "KEY_DOWN", "KEY_ENTER") == [SetVoice("ryan")]
    assert machine.state.picker is None
    assert feed(machine, "v") == [SetVoice("heart")]
    keys = ("V", "KEY_END", "KEY_PGUP", "KEY_UP", "KEY_DOWN", "KEY_ENTER")
    assert feed(machine, *keys) == [SetVoice("nova")]
    assert feed(machine, "V", "KEY_HOME", "KEY_ENTER") == [SetVoice("heart")]
    assert feed(machine, "V", "KEY_PGDOWN", "KEY_ENTER") == [SetVoice("ryan")]


def test_letters_narrow_the_voices_and_escape_closes(machine: KeyMachine) -> None:
    feed(machine, "V", "A")
    picker = machine.state.picker
    assert picker is not None
    assert (picker.matching, picker.chosen) == (("heart", "nova", "ryan"), "heart")
    assert feed(machine, "n", " ", "KEY_F5", "\t") == []
    assert machine.state.picker is not None
    assert machine.state.picker.matching == ("ryan",)
    assert feed(machine, "x", "KEY_ENTER") == []  # none has these letters
    feed(machine, "V", "x", "KEY_BACKSPACE", "r")
    assert machine.state.picker is not None
    assert machine.state.picker.matching == ("ryan", "heart")
    assert feed(machine, "KEY_ESCAPE", "q") == [Quit()]


def test_push_to_talk_ends_while_a_voice_is_picked(machine: KeyMachine) -> None:
    assert feed(machine, " ", "V", "r", " ") == [PushToTalk(True), PushToTalk(False)]
    assert not machine.state.talking
    assert machine.state.picker is not None
    assert machine.state.picker.letters == "r"
    assert feed(machine, " ", "KEY_ENTER") == [SetVoice("ryan")]


def test_letters_for_the_picker_are_no_other_keys() -> None:
    machine = KeyMachine(("heart", "nova"), "heart")
    sound = np.zeros(320, np.float32), np.zeros(480, np.float32)
    assert feed(machine, " ", "V", "n") == [PushToTalk(True)]
    assert machine.state.talking
    assert machine.state.picker is not None
    assert machine.state.picker.letters == "n"
    assert feed(machine, "KEY_ENTER", "v") == [SetVoice("nova"), SetVoice("heart")]
    asked = ToolAnswered(0, 1, 1, "lamp", ToolOutcome.ASKED, "asked")
    machine.on_tick(Tick(0, *sound, (asked,), talking=True))
    assert feed(machine, "V", "n", "KEY_ESCAPE", "n") == [SayText("No.")]
    assert feed(KeyMachine(), "V") == []


def test_n_announces_another_speaker() -> None:
    assert feed(KeyMachine(), "n", "N") == [NewSpeaker(), NewSpeaker()]


def test_help_opens_and_closes(machine: KeyMachine) -> None:
    assert feed(machine, "?") == []
    assert machine.state.help
    assert feed(machine, "KEY_ESCAPE") == []  # closes the help and interrupts nothing
    assert not machine.state.help
    assert feed(machine, "h", "m") == [SetMuted(True)]
    assert machine.state.help
    feed(machine, "h")
    assert not machine.state.help


def test_quit(machine: KeyMachine) -> None:
    assert feed(machine, "q") == [Quit()]


def test_other_keys_do_nothing(machine: KeyMachine) -> None:
    assert feed(machine, "x", "KEY_F5", "ß", "KEY_ENTER", "\t", "") == []


@pytest.mark.parametrize("key", ["t", "/"])
def test_a_line_is_typed_and_sent(machine: KeyMachine, key: str) -> None:
    assert feed(machine, key, *"quit, v?") == []
    assert machine.state.typing
    assert (machine.state.text, machine.state.cursor) == ("quit, v?", 8)
    assert feed(machine, "KEY_ENTER") == [SayText("quit, v?")]
    assert not machine.state.typing
    assert feed(machine, "q") == [Quit()]


def test_escape_cancels_the_line(machine: KeyMachine) -> None:
    assert feed(machine, "t", *"abc", "KEY_ESCAPE") == []
    assert not machine.state.typing
    feed(machine, "t")
    assert machine.state.text == ""


def test_an_empty_line_is_not_sent(machine: KeyMachine) -> None:
    assert feed(machine, "t", " ", " ", "KEY_ENTER") == []
    assert not machine.state.typing


def test_backspace_takes_away_what_looks_like_one_character(machine: KeyMachine) -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    feed(machine, "t", "a", "e", "\u0301", *family)
    assert machine.state.text == f"ae\u0301{family}"
    feed(machine, "KEY_BACKSPACE")
    assert machine.state.text == "ae\u0301"
    feed(machine, "KEY_BACKSPACE")
    assert machine.state.text == "a"
    feed(machine, "KEY_BACKSPACE", "KEY_BACKSPACE")
    assert machine.state.text == ""
    assert machine.state.typing


def test_the_cursor_moves_in_columns(machine: KeyMachine) -> None:
    feed(machine, "t", "你", "好")
    assert machine.state.cursor == 4
    feed(machine, "KEY_LEFT", "x")
    assert (machine.state.text, machine.state.cursor) == ("你x好", 3)
    feed(machine, "KEY_CTRL_U")
    assert machine.state.text == "好"


def test_control_characters_are_not_typed(machine: KeyMachine) -> None:
    feed(machine, "t", "a", "\x07", "\x1b", "b")
    assert machine.state.text == "ab"


def test_a_paste_is_one_line_and_no_keys(machine: KeyMachine) -> None:
    machine.paste("q\n")
    assert not machine.state.typing
    feed(machine, "t", "a", " ")
    machine.paste("first\r\nq\rthird\tand\x1b fourth")
    assert machine.state.text == "a first q third and fourth"
    assert machine.state.cursor == len(machine.state.text)
    feed(machine, "KEY_HOME")
    machine.paste("so: ")
    assert (machine.state.text[:7], machine.state.cursor) == ("so: a f", 4)
    assert feed(machine, "KEY_ENTER") == [SayText("so: a first q third and fourth")]


def test_push_to_talk_may_end_without_a_key(machine: KeyMachine) -> None:
    def tell(talking: bool) -> None:
        sound = np.zeros(320, np.float32), np.zeros(480, np.float32)
        machine.on_tick(Tick(0, *sound, (), talking=talking))

    feed(machine, " ")
    tell(talking=False)  # the key is still on its way to the conversation
    tell(talking=True)
    assert machine.state.talking
    tell(talking=False)
    assert not machine.state.talking
    assert feed(machine, " ") == [PushToTalk(True)]


def test_push_to_talk_goes_on_while_typing(machine: KeyMachine) -> None:
    feed(machine, " ", "t", "a", "KEY_ESCAPE")
    assert machine.state.talking


def test_a_question_about_a_tool_is_answered_by_a_key() -> None:
    def tick(*events: Event) -> Tick:
        return Tick(0, np.zeros(320, np.float32), np.zeros(480, np.float32), events)

    machine = KeyMachine()
    asked = tick(ToolAnswered(0, 1, 1, "lamp", ToolOutcome.ASKED, "asked"))
    assert machine.feed("n") == [NewSpeaker()]
    machine.on_tick(tick(ToolAnswered(0, 1, 1, "lamp", ToolOutcome.DONE, "on")))
    assert machine.feed("y") == []
    machine.on_tick(asked)
    assert machine.feed("n") == [SayText("No.")]
    assert machine.feed("n") == [NewSpeaker()]
    machine.on_tick(asked)
    assert machine.feed("N") == [SayText("No.")]  # Caps Lock
    machine.on_tick(asked)
    assert machine.feed("y") == [SayText("Yes.")]
    machine.on_tick(asked)
    machine.on_tick(tick(UserTranscript(0, 2, "No.", True, 0, 1)))  # answered by voice
    assert machine.feed("n") == [NewSpeaker()]
    machine.on_tick(asked)
    machine.feed("t")
    assert machine.feed("y") == []
    assert machine.state.text == "y"
