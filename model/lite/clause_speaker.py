"""Speak the clauses of a reply one after another, each once and with its words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from model.lite.kokoro.head_start import HeadStart
from model.lite.synthesizer import SpokenPiece, Synthesizer
from model.lite.text.clauses import letters
from model.lite.text.markup import replacement
from model.lite.text.speakable import no_sounds, unsayable
from model.playback.spoken_text import said_by
from model.reply import ReplyAudio, ReplyNotice

_SAID = (60.0, 4.0)
"""Letters that are taken to have been said, and in how many seconds, before anything was."""


class ClauseSpeaker:
    """Speaks one reply with ``synthesizer``.

    ``waiting``: returns the clauses that are written and not begun.
    """

    def __init__(self, synthesizer: Synthesizer, waiting: Callable[[], Sequence[str]]) -> None:
        self._synthesizer = synthesizer
        self._waiting = waiting
        self._start: HeadStart[ReplyAudio] = HeadStart(synthesizer.pace, self._later)
        self._silent = ""
        self._told = False
        self._replaced: set[str] = set()
        self._letters, self._seconds = _SAID

    def speak(self, clause: str, *, aloud: bool) -> Iterator[ReplyAudio | ReplyNotice]:
        """Yield the sound of ``clause``; unless ``aloud``, its words go with the next sound.

        Raises: SynthesizerError.
        """
        say = clause if aloud else ""
        if phrase := replacement(clause):
            say = "" if phrase in self._replaced else clause
            self._replaced.add(phrase)
        words = unsayable(say, self._synthesizer.language)
        if words and not self._told:
            self._told = True
            yield ReplyNotice("warning", no_sounds(words))
        said, begin = self._silent + clause, 0
        for piece in self._synthesizer.pieces(say, self._start) if say else ():
            end = said_by(said, piece.share)
            sound = ReplyAudio(piece.samples, said[begin:end])
            begin = end
            self._count(piece, sound.text)
            yield from self._start.add(sound, piece.seconds, piece.share)
        self._silent = said[begin:]
        yield from self._start.end_clause()

    def end(self) -> Iterator[ReplyAudio]:
        """Yield the sound that is still held back."""
        yield from self._start.end()

    def _count(self, piece: SpokenPiece, said: str) -> None:
        self._letters += letters(said)
        self._seconds += piece.seconds

    def _later(self) -> list[float]:
        """Return how long the written clauses will probably be."""
        each = self._seconds / self._letters
        return [letters(clause) * each for clause in self._waiting()]
