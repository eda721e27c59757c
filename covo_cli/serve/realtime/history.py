"""A client's changes to the conversation: items of text come, are read back, and go.

Text that no response has answered is part of the engine's history at once, so that it counts if
the user speaks next. When it is answered, it becomes the turn.
"""

from __future__ import annotations

from collections.abc import Callable

from covo_cli.conversation.request import Request
from covo_cli.serve.realtime.items import ConversationEntry, ConversationItems
from covo_cli.serve.realtime.response import Send
from covo_cli.serve.realtime.wire import ClientEvent, WireError
from model.engine import Forget, Remember


class HistoryOnTheWire:
    """Carries out ``conversation.item.create``, ``retrieve`` and ``delete``.

    ``withdraw``: ends the response of an item that is about to be deleted. ``hear``: gives the
    engine the sounds (base64) of an item that is about to be added, as a turn.
    """

    def __init__(
        self,
        send: Send,
        items: ConversationItems,
        command: Callable[[Request], None],
        withdraw: Callable[[str], None],
        hear: Callable[[str, list[str]], None],
    ) -> None:
        self._send = send
        self._items = items
        self._command = command
        self._withdraw = withdraw
        self._hear = hear
        self._pending: list[ConversationEntry] = []  # text that waits for an answer
        self._asked: list[ConversationEntry] = []  # text that is being answered
        self._numbers = 0
        items.forget = self._forget

    def obey(self, event: ClientEvent) -> None:
        """Carry out ``event``. Raises: WireError."""
        fields = event.fields
        match event.kind:
            case "conversation.item.create":
                self._create(fields["item"], fields.get("previous_item_id"))
            case "conversation.item.retrieve":
                entry = self._items[fields["item_id"]]
                if entry is None:
                    code = "item_retrieve_invalid_item_id"
                    raise WireError("there is no such item", "item_id", code)
                self._send({"type": "conversation.item.retrieved", "item": entry.value})
            case "conversation.item.delete":
                self._delete(fields["item_id"])

    @property
    def waits(self) -> bool:
        """Whether text waits for an answer."""
        return bool(self._asked or self._pending)

    @property
    def begun(self) -> bool:
        """Whether anything was said in the conversation."""
        return any(entry.text for entry in self._items)

    def unanswered(self) -> str:
        """Return the text that waits for an answer, which is asked for now."""
        self._asked, self._pending = [*self._asked, *self._pending], []
        for entry in self._asked:
            self._command(Forget(entry.exchange))
        return "\n".join(entry.asked for entry in self._asked)

    def answered(self, reply: int) -> None:
        """Note that reply ``reply`` answers the text that was asked for."""
        for entry in self._asked:
            entry.exchange = reply
        self._asked = []

    def cancelled(self) -> list[ConversationEntry]:
        """Return the text that was asked for, the answer to which is not wanted any more."""
        asked, self._asked = self._asked, []
        return asked

    def settled(self, reply: int) -> None:
        """Forget reply ``reply``, which the engine now remembers, if no item tells of it."""
        if not self._items.exchange(reply):
            self._command(Forget(reply))

    def _create(self, item: dict[str, object], after: str | None) -> None:
        value, sounds = self._items.read(item)
        if sounds:
            self._hear(value["id"], sounds)
        before = self._items.add(value, after)
        for kind in ("added", "done"):
            event = {"type": f"conversation.item.{kind}", "item": value}
            self._send(event | {"previous_item_id": before})
        entry = self._items[value["id"]]
        if entry is None or not entry.text:
            return
        self._numbers -= 1
        entry.exchange, entry.asked = self._numbers, entry.text
        if entry.role != "assistant":
            self._pending.append(entry)
            self._command(Remember(self._numbers, entry.text, ""))
            return
        asked, self._pending = self._pending, []
        for old in asked:
            self._command(Forget(old.exchange))
            old.exchange = self._numbers
        said = "\n".join(old.asked for old in asked)
        self._command(Remember(self._numbers, said, entry.text))

    def _delete(self, item_id: str) -> None:
        self._withdraw(item_id)
        entry = self._items.remove(item_id)
        if entry is not None:
            self._forget(entry)
        self._send({"type": "conversation.item.deleted", "item_id": item_id})

    def _forget(self, entry: ConversationEntry) -> None:
        """Forget an item that is gone: the engine its exchange, if it was the last of it."""
        self._pending = [old for old in self._pending if old is not entry]
        if entry.exchange and not self._items.exchange(entry.exchange):
            self._command(Forget(entry.exchange))
