"""Take up a recorded conversation where it ended: ``covo chat --continue``."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from covo_cli.sessions.store import Session, SessionStore
from covo_cli.sessions.transcript import TranscriptEntry, Who
from model.engine import Remember
from model.events import VoiceChanged
from model.lite.prompt import CUT_OFF

MOST_EXCHANGES = 400
"""Exchanges taken up at most, the latest: more than any engine remembers."""

_PERSONA = "chat.persona"
_VOICE_KEYS = {
    "lite": "voice.name",
    "covo": "covo.voice",
    "covo-fd": "covo.voice",
    "chat-audio": "remote.voice",
    "realtime": "remote.voice",
}


@dataclass(frozen=True, slots=True)
class SpokenExchange:
    """The words of a turn (of several, if they were not answered) and what was heard of the reply.

    Either may be empty.
    """

    user: str
    assistant: str


@dataclass(frozen=True, slots=True)
class ContinuedSession:
    """The conversation that another one goes on from.

    ``exchanges``: what was said, after what was said in the sessions that it continues itself.
    ``held_with``: voice, persona and language of the session, by setting. ``warnings``: what is
    missing or broken, one line each.
    """

    name: str
    started: datetime
    exchanges: tuple[SpokenExchange, ...] = field(repr=False)
    held_with: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    def commands(self) -> Iterator[Remember]:
        """Yield what tells an engine the exchanges."""
        for number, exchange in enumerate(self.exchanges, 1):
            yield Remember(-number, exchange.user, exchange.assistant)

    @property
    def summary(self) -> str:
        """The line that tells the user what is continued."""
        begun = f"Continuing {self.name}"
        count = len(self.exchanges)
        if not count:
            return f"{begun}: nothing was said in it."
        unknown = sum(not exchange.user for exchange in self.exchanges)
        missing = "; your words were not written down" if unknown == count else ""
        return f"{begun}: {count} exchange{'s' * (count > 1)} remembered, as text{missing}."


def take_up(
    store: SessionStore,
    query: str,
    given: Container[str] = (),
    voices: Container[str] | None = None,
) -> ContinuedSession:
    """Return the session ``query`` (see :meth:`SessionStore.find`) for another conversation.

    ``given``: settings that are not taken up. ``voices``: those that ``lite`` has; None: it has the
    session's. Raises: SessionError if there is no such session.
    """
    session = store.open(query)
    held_with = {key: value for key, value in _held_with(session) if key not in given}
    warnings = [*session.warnings]
    persona = held_with.get(_PERSONA)
    if persona and not os.path.isfile(persona):  # noqa: PTH113 - false also where it may not look
        warnings.append(f"the persona file {persona} is gone; the persona is the one set now")
        del held_with[_PERSONA]
    voice = held_with.get(_VOICE_KEYS["lite"])
    if voice and voices is not None and voice not in voices:
        warnings.append(f"the voice {voice} is gone; the voice is the one set now")
        del held_with[_VOICE_KEYS["lite"]]
    parts, seen = [tuple(exchanges(session.transcript))], {session.name}
    before, after = session.info.continues, session.name
    while before and before not in seen:
        seen.add(before)
        if before not in store.names():
            warnings.append(f"session {before}, which {after} continues, is gone: not remembered")
            break
        earlier = store.open(before)
        warnings += [f"session {before}: {warning}" for warning in earlier.warnings]
        parts.insert(0, tuple(exchanges(earlier.transcript)))
        before, after = earlier.info.continues, earlier.name
    said = tuple(exchange for part in parts for exchange in part)[-MOST_EXCHANGES:]
    return ContinuedSession(session.name, session.info.started, said, held_with, tuple(warnings))


def exchanges(said: Iterable[TranscriptEntry]) -> Iterator[SpokenExchange]:
    """Yield the turns of a transcript with the heard part of their replies."""
    asked: list[str] = []
    for entry in said:
        text = entry.text.strip()
        if entry.who is Who.USER:
            asked.append(text)
        elif entry.who is Who.ASSISTANT and text and not entry.backchannel:
            end = f" {CUT_OFF}" if entry.unheard.strip() else ""
            yield SpokenExchange("\n".join(asked), text + end)
            asked = []
    if asked:
        yield SpokenExchange("\n".join(asked), "")


def _held_with(session: Session) -> Iterator[tuple[str, str]]:
    """Yield the settings to take up; a damaged record leaves some out."""
    for key in (_PERSONA, "hearing.language"):
        section, _, name = key.partition(".")
        options = session.info.settings.get(section)
        value = options.get(name) if isinstance(options, dict) else None
        if isinstance(value, str):
            yield key, value
    engine = session.info.engine
    changes = [event.voice for event in session.events if isinstance(event, VoiceChanged)]
    voice, engine_name = changes[-1] if changes else engine.get("voice"), engine.get("name")
    if isinstance(voice, str) and isinstance(engine_name, str) and engine_name in _VOICE_KEYS:
        yield _VOICE_KEYS[engine_name], voice
