"""Tell the user once what is missing for a language."""

from __future__ import annotations

from collections.abc import Iterable

from model.events import Event, Notice, UserTranscript, VoiceChanged
from model.hearing.languages import language_name
from model.reply import ReplyGenerator
from model.turns.endings.weights import weights_of
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
        self._voice_is_new = True

    def poll(self, now: int, events: Iterable[Event]) -> list[Notice]:
        """Return the notices about languages, and a voice, that are new in ``events``."""
        heard: list[str] = []
        for event in events:
            if isinstance(event, UserTranscript) and event.final:
                heard.append(event.language)
            self._voice_is_new |= isinstance(event, VoiceChanged)
        notices = self._about_the_voice(now) if self._voice_is_new else []
        self._voice_is_new = False
        for language in (self._expected, *heard):
            if language not in self._told:
                self._told.add(language)
                notices += self._about(now, language)
        return notices

    def _about_the_voice(self, now: int) -> list[Notice]:
        """Tell of a voice that speaks none of the languages that its chat model writes."""
        info = self._generator.info
        if not (info.speaks and info.languages and info.writes):
            return []
        if not set(info.languages).isdisjoint(info.writes):
            return []
        spoken, written = _names(info.languages), _names(info.writes)
        text = (
            f"{info.voice} speaks {spoken}, and will misread what the chat model writes, {written} "
            "only: name another (--chat-model, --chat-url)"
        )
        return [Notice(now, "warning", text)]

    def _about(self, now: int, language: str) -> list[Notice]:
        name, info = language_name(language), self._generator.info
        notices: list[Notice] = []
        if info.speaks and info.languages and language not in info.languages:
            spoken = _names(info.languages)
            text = f"no voice for {name}: {info.voice} speaks {spoken}, and will misread replies"
            notices.append(Notice(now, "warning", text))
        if self._phrases is not None and weights_of(language) is None:
            rules = "no word rules for"
            if self._phrases.of(language) is not None:
                rules = "no word rules for the end of a turn in"
            text = f"{rules} {name}: your turns end by sound and silence alone"
            notices.append(Notice(now, "info", text))
        return notices


def _names(codes: Iterable[str]) -> str:
    return " and ".join(language_name(code) for code in codes)
