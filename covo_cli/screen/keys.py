"""The keys as a state machine: key names in, requests out.

A key is the character typed, or blessed's name for it (``KEY_ESCAPE``, ``KEY_ENTER``, ...).
:mod:`covo_cli.screen.keyboard` reads them from a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock

from blessed import LineEditor

from covo_cli.conversation.consumer import Tick
from covo_cli.conversation.request import Quit, Request
from covo_cli.screen.picker import VoicePicker
from model.engine import Interrupt, NewSpeaker, PushToTalk, SayText, SetMuted, SetVoice
from model.events import ToolAnswered, ToolOutcome, UserTranscript

KEYS = (
    ("space", "push-to-talk: start, again to send"),
    ("m", "mute or unmute the microphone"),
    ("i, Esc", "interrupt the reply"),
    ("v, V", "next voice; choose one by its name"),
    ("n", "new speaker: learn your voice anew"),
    ("y, n", "yes, no: whether to use a tool, when asked"),
    ("t, /", "type instead of speaking"),
    ("?, h", "show or hide this help"),
    ("q, Ctrl-C", "quit"),
)
"""Shown by the help."""

ANSWERS = {"y": "Yes.", "n": "No."}
"""What the keys say while the user is asked whether to use a tool."""

TYPING_KEYS = (("Enter", "send"), ("Esc", "cancel"))
PICKING_KEYS = (("Enter", "use"), ("Esc", "cancel"))


@dataclass(frozen=True, slots=True)
class KeyState:
    """The keyboard's state.

    ``typing``: a line is being typed; ``text`` is what it holds, ``cursor`` the cursor's column.
    ``talking``: push-to-talk is on. ``help``: the list of keys is shown. ``picker``: a voice is
    being chosen.
    """

    typing: bool = False
    text: str = ""
    cursor: int = 0
    talking: bool = False
    help: bool = False
    picker: VoicePicker | None = None


class KeyMachine:
    """Turns keys into requests. Also a consumer, because push-to-talk may end without a key.

    Keys, ticks and readers of :attr:`state` may come from different threads. The voice keys choose
    from ``voices``, beginning at ``voice``.
    """

    def __init__(self, voices: Sequence[str] = (), voice: str = "") -> None:
        self._voices = tuple(voices)
        self._voice = voice
        self._muted = False
        self._talked = False
        self._asked = False
        self._line = LineEditor()
        self._state = KeyState()
        self._lock = Lock()

    @property
    def state(self) -> KeyState:
        """The present state."""
        return self._state

    def feed(self, key: str) -> list[Request]:
        """Take in one key and return what it asks for."""
        with self._lock:
            if self._state.typing:
                return self._edit(key)
            if self._state.picker is not None:
                return self._pick(self._state.picker, key)
            if self._asked and (answer := ANSWERS.get(key.lower())):
                self._asked = False
                return [SayText(answer)]
            return self._feed(key)

    def paste(self, text: str) -> None:
        """Insert ``text`` into the line being typed, as one line; elsewhere it means nothing."""
        with self._lock:
            if self._state.typing:
                self._insert(re.sub(r"[^\S ]+", " ", text))
                self._show_line()

    def on_tick(self, tick: Tick) -> None:
        """Note the end of push-to-talk, also by a typed line or a turn that gets too long, and
        whether a tool was asked about."""
        with self._lock:
            for event in tick.events:
                if isinstance(event, ToolAnswered):
                    self._asked = self._asked or event.outcome is ToolOutcome.ASKED
                elif isinstance(event, UserTranscript) and event.final:
                    self._asked = False
            if self._talked and not tick.talking:
                self._state = replace(self._state, talking=False)
            self._talked = tick.talking

    def _feed(self, key: str) -> list[Request]:
        talking, help_wanted = self._state.talking, self._state.help
        actions: list[Request] = []
        match key:
            case "q" | "Q":
                actions = [Quit()]
            case "m" | "M":
                self._muted = not self._muted
                actions = [SetMuted(self._muted)]
            case " ":
                talking = not talking
                if talking and self._muted:
                    self._muted = False
                    actions = [SetMuted(False)]
                actions.append(PushToTalk(talking))
            case "KEY_ESCAPE" if help_wanted:
                help_wanted = False
            case "i" | "I" | "KEY_ESCAPE":
                actions = [Interrupt()]
            case "v":
                actions = self._next_voice()
            case "V" if self._voices:
                at = self._voices.index(self._voice) if self._voice in self._voices else 0
                self._state = KeyState(talking=talking, picker=VoicePicker(self._voices, at=at))
                return []
            case "n" | "N":
                actions = [NewSpeaker()]
            case "?" | "h" | "H":
                help_wanted = not help_wanted
            case "t" | "T" | "/":
                self._line.clear()
                self._state = KeyState(typing=True, talking=talking)
                return []
        self._state = KeyState(talking=talking, help=help_wanted)
        return actions

    def _next_voice(self) -> list[Request]:
        if not self._voices:
            return []
        index = self._voices.index(self._voice) + 1 if self._voice in self._voices else 0
        self._voice = self._voices[index % len(self._voices)]
        return [SetVoice(self._voice)]

    def _pick(self, picker: VoicePicker, key: str) -> list[Request]:
        if key == " " and self._state.talking:  # no name has a space
            self._state = replace(self._state, talking=False)
            return [PushToTalk(False)]
        if key not in {"KEY_ENTER", "KEY_ESCAPE"}:
            self._state = replace(self._state, picker=picker.press(key))
            return []
        self._state = KeyState(talking=self._state.talking)
        if key == "KEY_ESCAPE" or not picker.chosen:
            return []
        self._voice = picker.chosen
        return [SetVoice(self._voice)]

    def _edit(self, key: str) -> list[Request]:
        talking = self._state.talking
        if key == "KEY_ESCAPE":
            self._line.clear()
            self._state = KeyState(talking=talking)
            return []
        line = None
        if not key.startswith("KEY_"):
            self._insert(key)
        elif (handler := self._line.keymap.get(key)) is not None:
            line = handler(self._line).line
        if line is None:
            self._show_line()
            return []
        self._state = KeyState(talking=talking)
        return [SayText(line.strip())] if line.strip() else []

    def _show_line(self) -> None:
        cursor = self._line.display.cursor
        self._state = replace(self._state, text=self._line.line, cursor=cursor)

    def _insert(self, typed: str) -> None:
        """Insert ``typed``; at the end of the line it may join the character before (an accent)."""
        before = self._line.line
        self._line.insert_text(typed)
        if self._line.line == before + typed:
            self._line.clear()
            self._line.insert_text(before + typed)
