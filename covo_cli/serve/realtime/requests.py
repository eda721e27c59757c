"""The responses that a client asks for, and which of the engine's replies is whose.

The engine carries out requests in their order, and each comes to one end: its reply begins, or is
ended before it begins, or there is nothing to answer. So the first request that waits for its end
is the one that an end belongs to, whether the client still wants it or has cancelled it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from covo_cli.conversation.request import Request
from covo_cli.serve.realtime.history import HistoryOnTheWire
from covo_cli.serve.realtime.items import ConversationEntry
from covo_cli.serve.realtime.reply_side import CANCELLED, TURN_DETECTED, ReplySide
from covo_cli.serve.realtime.response import WireResponse
from covo_cli.serve.realtime.session_object import SessionObject
from covo_cli.serve.realtime.user_side import UserSide
from covo_cli.serve.realtime.wire import WireError
from model.engine import AnswerNow, Interrupt, SetPersona
from model.turns.listening import NOTHING_TO_ANSWER

GREETING = "Greet the user in one short sentence."
"""Answered where a response is asked for in a new conversation, and there is nothing to answer."""

GO_ON = "Please go on."
"""Answered instead where something was said before."""


class RequestedResponses:
    """Opens the responses of a session and gives them to the engine's replies.

    ``lacks``: see :class:`model.engine.EngineInfo`.
    """

    def __init__(
        self,
        command: Callable[[Request], None],
        user: UserSide,
        replies: ReplySide,
        history: HistoryOnTheWire,
        settings: Callable[[], SessionObject],
        lacks: tuple[str, ...],
    ) -> None:
        self._command = command
        self._user = user
        self._replies = replies
        self._history = history
        self._settings = settings
        self._lacks = lacks
        # Cancelled before their replies began, each with the text that it was to answer.
        self._unwanted: deque[tuple[WireResponse, list[ConversationEntry]]] = deque()
        self._made: WireResponse | None = None  # its reply was being made when it was asked for
        self._instructions = ""  # of the response that waits
        self._persona_until: WireResponse | None = None
        self._begun = 0  # the last reply that began

    def create(self, asked: dict[str, Any], at: int, *, thinking: bool) -> None:
        """Open the response that a client has ``asked`` for at ``at`` (user samples).

        ``thinking``: the engine is making the reply to a turn. Raises: WireError.
        """
        for name in ("input", "conversation"):
            if asked.get(name) not in (None, "auto"):
                message = f"{name} is not supported: responses are part of the conversation"
                raise WireError(message, f"response.{name}", "unsupported")
        if self._replies.active is not None:
            message = "a response is active: wait for response.done, or cancel it"
            raise WireError(message, code="conversation_already_has_active_response")
        able = "AnswerNow" not in self._lacks
        made = thinking and not self._unwanted and self._settings().turns.answers
        if able:
            if self._user.over_reply:
                self._user.interrupt(at)
            self._user.end(at)  # the question comes before its answer
        given, kinds = asked.get("metadata"), asked.get("output_modalities")
        notes = given.items() if isinstance(given, dict) else ()
        metadata = {key: text for key, text in notes if isinstance(text, str)}
        speaks = None if kinds is None else kinds != ["text"]
        instructions = asked.get("instructions")
        self._instructions = instructions.strip() if isinstance(instructions, str) else ""
        self._replies.finish()
        response = self._replies.open(metadata or None, speaks=speaks)
        if not able:
            self._replies.fail(response, "this engine answers when it chooses, and only speech")
        elif made:
            self._made = response
        else:
            self._ask(response)

    def ask(self, text: str) -> None:
        """Open a response that says what ``text`` asks for."""
        self._instructions = ""
        self._replies.open()
        self._command(AnswerNow(text))

    def stop(self, response: WireResponse, request: Request, most: int | None = None) -> None:
        """End ``response``, which the client cancels, by ``request``; and what is still heard.

        ``most``: how much of ``response`` was heard at most, in samples (24 kHz).
        """
        self._command(request)
        if not (response.reply or response.done):
            self._unwanted.append((response, self._history.cancelled()))
        self._replies.stop(response, CANCELLED, most)
        if self._replies.spoken is not None:
            self._replies.stop(self._replies.spoken, CANCELLED)

    def begin(self, reply: int) -> None:
        """Note that ``reply`` has begun."""
        self._begun = reply
        self._user.answered(reply)
        if self._unwanted:
            self._take_unwanted(reply)
            self._replies.spoken = None
            self._command(Interrupt())
        else:
            self._history.answered(reply)
            self._replies.begin(reply)

    def end(self, reply: int) -> None:
        """Note that ``reply`` was stopped or has failed, perhaps before it began."""
        if reply <= self._begun:
            return
        self._user.belongs_to(reply)
        self._user.give_up()
        if self._unwanted:
            self._take_unwanted(reply)
        else:
            self._history.answered(reply)
            self._replies.fail_waiting()

    def discard(self, turn: int, reason: str) -> None:
        """Note that turn ``turn`` was none."""
        nothing = reason == NOTHING_TO_ANSWER
        if nothing:
            self._user.unanswered.clear()
        else:
            self._user.discard(turn)
        waiting = self._unwanted[0][0] if self._unwanted else self._replies.waiting
        if waiting is None or not (nothing or waiting is self._made):
            return
        self._made = None
        if self._unwanted:
            self._unwanted.popleft()
        elif self._instructions or self._history.waits:
            self._ask(waiting)
        else:
            self._replies.fail(waiting, reason)

    def give_way(self) -> None:
        """End the response that waits: the user goes on, and that is answered as a whole."""
        waiting = self._replies.waiting
        turns = self._settings().turns
        if waiting is not None and turns.barge_in and turns.interruptible:
            self._made = None
            self._replies.stop(waiting, TURN_DETECTED)

    def look_after(self) -> None:
        """Restore the persona after a response with its own."""
        if self._persona_until is not None and self._persona_until.done:
            self._persona_until = None
            self._command(SetPersona(self._settings().instructions))

    def _ask(self, response: WireResponse) -> None:
        """Have the engine answer what there is to answer."""
        text, instructions = self._history.unanswered(), self._instructions
        if not (text or self._user.unanswered):
            text = instructions or (GO_ON if self._history.begun else GREETING)
        elif instructions:
            self._command(SetPersona(instructions))
            self._persona_until = response
        self._command(AnswerNow(text))

    def _take_unwanted(self, reply: int) -> None:
        """Note that ``reply`` is that of the first response that was cancelled."""
        _, asked = self._unwanted.popleft()
        for entry in asked:
            entry.exchange = reply
