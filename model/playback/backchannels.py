"""The assistant's own backchannel: an "mm-hmm" in a pause of a long story."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from audio_io.clock import samples
from audio_io.levels import from_db, span_of_sound
from audio_io.signal import Audio
from model.events import Backchannel, Event, Notice, UserTranscript, VoiceChanged
from model.hearing.open_turn import OpenTurn
from model.jobs.executor import Executor
from model.jobs.question import Question
from model.reply import ReplyGenerator, TextSpeaker
from model.turns.turn_settings import HumSettings

HUM_LANE = "backchannel"

HUMS = {"en": "Mm-hmm.", "es": "Ajá.", "zh": "嗯。"}
"""What is hummed, by language."""

SOFTER_DB = -6.0
"""Level of a hum relative to a reply's."""

_LATEST_S = 0.5
"""Longest delay of a hum; after that the pause is left alone."""

_NOTHING_PLAYED = -1
"""The speaker's number for no reply. Hums and the rings of timers count down from it, so that no
reply takes one for its own sound."""


class Backchannels:
    """Hums once in a pause of a long story, if there are ``settings``, and never in two pauses
    running.

    The hum is rendered by the ``generator`` beside the conversation, when it begins and after a
    change of the voice or of the language. It is no reply: the history does not know of it.
    """

    def __init__(
        self, generator: ReplyGenerator, executor: Executor, settings: HumSettings | None
    ) -> None:
        self._generator = generator
        self._settings = settings
        self._sound: Question[Audio] = Question(
            executor, HUM_LANE, model="the voice", trouble="no backchannels", retries=True
        )
        self._language = ""
        self._text = ""
        self.number = _NOTHING_PLAYED
        """The speaker's number for the last sound that was no reply."""
        self._turn = 0
        self._pauses = 0
        self._pause_at = 0
        self._enough = 0

    def poll(self, now: int, events: Iterable[Event]) -> list[Notice]:
        """Render the hum for the voice and the language that ``events`` tell of; return what went
        wrong."""
        if self._settings is None:
            return []
        for event in events:
            match event:
                case VoiceChanged():
                    self._text = ""
                case UserTranscript(language=language) if language not in ("", self._language):
                    self._text, self._language = "", language
        if self._text:
            return self._sound.poll(now)
        self._sound.drop()
        speaker, self._text = self._generator, self._suitable()
        text = self._text
        if text and isinstance(speaker, TextSpeaker):
            self._sound.ask(now, lambda: _hum(speaker, text))
            return []
        self._settings = None
        why = f"the voice of {speaker.info.name} speaks replies, not a given text"
        return [Notice(now, "warning", f"no backchannels: {why}")]

    def fits(self, turn: OpenTurn, silence: int) -> bool:
        """Note the pause of ``silence`` samples in ``turn``; return whether a hum fits into it,
        provided that the turn is not over."""
        s = self._settings
        if s is None:
            return False
        if turn.number != self._turn:
            self._turn, self._pauses, self._pause_at = turn.number, 0, 0
            self._enough = samples(s.story)
        if silence >= samples(s.pause) and turn.end_of_speech > self._pause_at:
            self._pauses, self._pause_at = min(self._pauses + 1, 2), turn.end_of_speech
        in_time = samples(s.after) <= silence < samples(s.after + _LATEST_S)
        told = self._pauses > 1 and turn.voiced >= self._enough
        sound = self._sound.answer
        return in_time and told and sound is not None and len(sound) > 0

    def hum(self, now: int, turn: OpenTurn) -> Backchannel:
        """Return the hum for the pause that it fits into (see :meth:`fits`)."""
        s, sound = self._settings, self._sound.answer
        if s is None or sound is None:
            raise ValueError("a hum is asked for where none fits")
        self._enough, self._pauses = turn.voiced + samples(s.again), 0
        self.number -= 1
        return Backchannel(now, self.number, sound, turn.number, self._text)

    def _suitable(self) -> str:
        """Return the hum in the user's language if the voice speaks it, else in another."""
        info = self._generator.info
        if not info.speaks:
            return ""
        spoken = info.languages or tuple(HUMS)
        languages = (self._language, *HUMS)
        return next((HUMS[code] for code in languages if code in HUMS and code in spoken), "")


def _hum(speaker: TextSpeaker, text: str) -> Audio:
    """Return ``text`` as a hum, without silence around it (float32 mono 24 kHz)."""
    sound = speaker.say(text)
    if not sound.any():
        return np.zeros(0, np.float32)
    begin, end = span_of_sound(sound)
    return np.asarray(sound[begin:end] * from_db(SOFTER_DB), np.float32)
