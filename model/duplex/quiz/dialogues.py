"""Two-channel dialogues of the quiz, with the answers that the teacher gave.

The user asks, often with a pause between the syllables, hums over replies and interrupts them with
the next question. Pitch, tempo, level and room are of one speaker a dialogue.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.random import Generator

from audio_io.clock import USER_RATE
from audio_io.files import write_audio
from model.duplex.protocol.grammar import Grammar
from model.duplex.protocol.profile import DuplexProfile
from model.duplex.protocol.sequence import TimedDialogue, TimedReply, TimedToken, cut_in_slots
from model.duplex.quiz.questions import SYLLABLES, QuizQuestion, draw_question
from model.duplex.quiz.teacher import TaughtAnswer
from model.duplex.tones.tones import ROOM, Track, hum, speaker
from model.duplex.training.hard_places import EventKind, UserEvent

QUESTIONS = 3
"""Questions in a dialogue: about 12 s."""
_ANSWER_AFTER = (1, 1, 2)
"""Chunks from the end of a question to SHIFT."""
_STOP_AFTER = (1, 2, 3)
"""Chunks from the start of an interruption to BREAK. Either differs, because a network that is free
to choose needs answers that begin at any of these times."""
_PAUSES = 0.4
"""Share of the questions with a pause in them."""
PAUSE_S = (0.4, 1.6)


class Cutting(StrEnum):
    """Which text an interrupted reply keeps: that of the slots before BREAK, or what was said."""

    SLOTS = "slots"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class TaughtQuestion:
    """A question and the teacher's answer to it."""

    question: QuizQuestion
    answer: TaughtAnswer


def draw_dialogue_questions(
    random: Generator, syllables: Sequence[int] = SYLLABLES
) -> tuple[QuizQuestion, ...]:
    """Draw the questions of one dialogue, of ``syllables``."""
    who = speaker(random)
    return tuple(draw_question(who, random, syllables) for _ in range(QUESTIONS))


def quiz_dialogue(
    grammar: Grammar,
    taught: Sequence[TaughtQuestion],
    random: Generator,
    cutting: Cutting = Cutting.SLOTS,
) -> tuple[TimedDialogue, tuple[UserEvent, ...]]:
    """Return a dialogue in which ``taught`` is asked and answered, and what the user does in it."""
    talk = _Talk(grammar, random, cutting)
    talk.wait(random.uniform(0.1, 1.2))
    for number, one in enumerate(taught):
        talk.ask(one, last=number == len(taught) - 1)
    user = np.concatenate(talk.parts)
    room = random.normal(0, 10 ** (random.uniform(*ROOM) / 20), len(user))
    heard = (user + room).astype(np.float32)
    return TimedDialogue(heard, tuple(talk.replies)), tuple(talk.events)


def write_dialogues(
    folder: Path,
    grammar: Grammar,
    dialogues: Sequence[Sequence[TaughtQuestion]],
    *,
    seed: int,
    cutting: Cutting = Cutting.SLOTS,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Write one dialogue for each of ``dialogues`` into ``folder``, creating it."""
    folder.mkdir(parents=True)
    for number, taught in enumerate(dialogues):
        random = np.random.default_rng((seed, number))
        made, events = quiz_dialogue(grammar, taught, random, cutting)
        rate = grammar.profile.code_rate
        replies = [
            {
                "start": reply.start / rate,
                "codes": reply.codes,
                "text": [{"token": token.id, "at": token.at / rate} for token in reply.text],
                "logprobs": [token.likely for token in reply.text],
            }
            for reply in made.replies
        ]
        path = folder / f"{number:05}.flac"
        write_audio(path, made.user, USER_RATE)
        text = json.dumps({"replies": replies, "events": [asdict(event) for event in events]})
        path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
        progress()


def reply_of(answer: TaughtAnswer, shift: int, profile: DuplexProfile) -> TimedReply:
    """Return ``answer`` as a reply with SHIFT in chunk ``shift``."""
    start = (shift + profile.lead) * profile.codes_per_chunk
    pace = len(answer.codes) / len(answer.text)
    likely = answer.likely or ((),) * len(answer.text)
    text = (
        TimedToken(id, start + round(n * pace), known)
        for n, (id, known) in enumerate(zip(answer.text, likely, strict=True))
    )
    return TimedReply(start, answer.codes, tuple(text))


def cut_in_time(reply: TimedReply, stop: int, grammar: Grammar) -> TimedReply:
    """Return ``reply`` with the text that is said before chunk ``stop``: the control to
    :func:`~model.duplex.protocol.sequence.cut_in_slots`."""
    end = stop * grammar.profile.codes_per_chunk
    text = tuple(token for token in reply.text if token.at < end)
    return TimedReply(reply.start, reply.codes[: end - reply.start], text)


class _Talk(Track):
    """The user's channel, and what is answered."""

    def __init__(self, grammar: Grammar, random: Generator, cutting: Cutting) -> None:
        super().__init__(grammar.profile)
        self.replies: list[TimedReply] = []
        self.events: list[UserEvent] = []
        self._grammar = grammar
        self._random = random
        self._cut = cut_in_slots if cutting is Cutting.SLOTS else cut_in_time
        self._interrupts = False

    def ask(self, taught: TaughtQuestion, *, last: bool) -> None:
        """Ask, and hum over the answer or interrupt it; the next question is the interruption."""
        self._question(taught.question)
        random = self._random
        shift = self.chunk + int(random.choice(_ANSWER_AFTER))
        reply = reply_of(taught.answer, shift, self._grammar.profile)
        over = -(-reply.end // self._grammar.profile.codes_per_chunk)
        self.wait_for(shift)
        event = random.choice(("none", "hum", "interruption", "hum and interruption"))
        if "hum" in event:
            self.wait(random.uniform(0.1, 1.2))
            begin = self._now
            self.say(hum(taught.question.who, random))
            self.events.append(UserEvent(EventKind.BACKCHANNEL, begin, self._now))
        if "interruption" in event:
            self.wait(random.uniform(0.3, 1.2))
        stop = self.next_chunk + int(random.choice(_STOP_AFTER))
        self._interrupts = "interruption" in event and stop < over and not last
        if self._interrupts:
            reply = self._cut(reply, stop, self._grammar)
        else:
            self.wait_for(over + 1)
            self.wait(random.uniform(0.1, 1.5))
        self.replies.append(reply)

    def _question(self, question: QuizQuestion) -> None:
        first, gap, second = question.parts()
        pauses = self._random.random() < _PAUSES
        begin = self._now
        self.say(first)
        silent = self._now
        self.wait(self._random.uniform(*PAUSE_S) if pauses else gap)
        if pauses:
            self.events.append(UserEvent(EventKind.PAUSE, silent, self._now))
        self.say(second)
        if self._interrupts:
            self.events.append(UserEvent(EventKind.INTERRUPTION, begin, self._now))
        self.events.append(UserEvent(EventKind.TURN, begin, self._now))

    @property
    def _now(self) -> float:
        return self.length / USER_RATE
