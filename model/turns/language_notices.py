"""Tell the user once what is missing for a language."""

from __future__ import annotations

from collections.abc import Iterable

from model.events import Event, Notice, UserTranscript
from model.hearing.languages import language_name
from model.reply import ReplyGenerator
from model.turns.phrases import Phrases


class LanguageNotices:
    """Notices about the ``expected`` language (empty: unknown) and those that are heard.

    ``phrases``: None where no words are judged.
    """

    def __init__(self, generator: ReplyGenerator, phrases: Phrases | None, expected: str) -> None:
        self._generator = generator
        self._phrases = phrases
        self._told = {""}
        self._expected = expected

    def poll(self, now: int, events: Iterable[Event]) -> list[Notice]:
        """Return the notices about languages that are new in ``events``."""
        heard = [e.language for e in events if isinstance(e, UserTranscript) and e.final]
        notices: list[Notice] = []
        for language in (self._expected, *heard):
            if language not in self._told:
                self._told.add(language)
                notices += self._about(now, language)
        return notices

    def _about(self, now: int, language: str) -> list[Notice]:
        name, info = language_name(language), self._generator.info
        notices: list[Notice] = []
        if info.speaks and info.languages and language not in info.languages:
            spoken = " and ".join(language_name(code) for code in info.languages)
            text = f"no voice for {name}: {info.voice} speaks {spoken}, and will misread replies"
            notices.append(Notice(now, "warning", text))
        if self._phrases is not None and self._phrases.of(language) is None:
            text = f"no word rules for {name}: your turns end by sound and silence alone"
            notices.append(Notice(now, "info", text))
        return notices
