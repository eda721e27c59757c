"""Stage ``compare``: ask the student the held-out questions, and let its teacher judge.

The output is ``comparison/``: the student's replies, the teacher's opinion of them and of its own,
what is heard of the sound of both, and the figures in the manifest. Asked are the first turns of
the held-out conversations, clean: the teacher, too, heard them without anything before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from audio_io.clock import USER_RATE
from audio_io.files import read_audio
from audio_io.levels import at_level
from audio_io.signal import Audio
from covo_cli.errors import CliError
from covo_cli.fd.answers import load_teacher
from covo_cli.fd.judging.calibrating import load_student, student_digest
from covo_cli.fd.judging.compare import (
    AnswerComparison,
    JudgedAnswer,
    MisheardWords,
    ReadAnswers,
    ReadReply,
    compare_answers,
)
from covo_cli.fd.judging.keys import is_right, read_keys
from covo_cli.fd.judging.sound import ReadSound
from covo_cli.fd.judging.student import Student, StudentReply
from covo_cli.fd.laying.layout import SPEECH_DB
from covo_cli.fd.laying.maker import DialogueMaker
from covo_cli.fd.recipe import FdRecipe
from covo_cli.fd.records import ANSWERS, COMPARISON, QUESTIONS, TRAINED, SaidReply, SpokenTurn
from covo_cli.fd.work import Journal, Stage, digest, require, weights_digest
from model.covo.config.network_config import CovoConfig
from model.covo.conversation.answer import alternated
from model.covo.language.tokenizer import CovoTokenizer
from model.covo.memory.plan import USER_TOKENS_PER_SECOND
from model.duplex.network.loop import DuplexLoop
from model.duplex.protocol.profile import FILE, read_profile

REPLIES, OPINIONS, HEARD = "replies.jsonl", "opinions.jsonl", "heard.jsonl"
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the teacher makes of its own answer and of the student's."""

    teacher: JudgedAnswer
    student: JudgedAnswer


class ComparisonStage:
    """The stage in the work ``folder``; ``device`` as torch names it. ``keys``: a file of
    wanted words (:mod:`covo_cli.fd.judging.keys`). ``read``: reads the sound of replies, or tells
    why nothing can. Raises: CliError."""

    def __init__(
        self,
        folder: Path,
        recipe: FdRecipe,
        device: str,
        keys: Path | None = None,
        read: ReadSound | str = "nothing reads it",
    ) -> None:
        self._folder, self._recipe = folder, recipe
        self._device, self._read = device, read
        self._keys = {} if keys is None else read_keys(keys)
        self._student = folder / TRAINED
        self._model = Path(recipe.model.folder)
        self.stage = Stage(
            folder / COMPARISON,
            {
                "recipe": recipe.numbers("model", "answers"),
                "model": weights_digest(self._model),
                "questions": require(folder / QUESTIONS, "questions"),
                "answers": require(folder / ANSWERS, "answers"),
                "student": student_digest(folder),
                "profile": digest(self._student / FILE),
                "keys": "" if keys is None else digest(keys),
            },
        )
        maker = DialogueMaker(folder, recipe, read_profile(folder), held_out=True)
        self._sounds = maker.sounds
        self._asked: list[tuple[SpokenTurn, SaidReply]] = [
            (maker.conversations[index].turns[0], maker.answers[index].replies[0])
            for index in maker.usable
        ]
        self._languages = [maker.conversations[index].language for index in maker.usable]
        self._replies = Journal(self.stage.folder / REPLIES, StudentReply)
        self._opinions = Journal(self.stage.folder / OPINIONS, Opinion)
        self._heard = Journal(self.stage.folder / HEARD, ReadAnswers)

    def __len__(self) -> int:
        return (2 if isinstance(self._read, str) else 3) * len(self._asked)

    @property
    def done(self) -> int:
        """Return how many questions were asked, judged, and heard."""
        return len(self._replies) + len(self._opinions) + len(self._heard)

    def run(self) -> Iterator[int]:
        """Ask, judge, and listen; yield how much is done.

        Raises: CliError, NetworkConfigError, NetworkInputError, WeightsError.
        """
        if len(self._replies) < len(self._asked):
            yield from self._ask()
        if len(self._opinions) < len(self._asked):
            yield from self._judge()
        heard = len(self._heard)
        if not isinstance(self._read, str):
            yield from self._listen(self._read)
        if not self.stage.complete or len(self._heard) > heard:
            self._finish()

    @property
    def comparison(self) -> AnswerComparison:
        """Return the comparison of all answers. Raises: CliError if the student gave none."""
        pairs = [(one.teacher, one.student) for one in self._opinions]
        if not any(student.tokens for _, student in pairs):
            raise CliError(
                f"the student in {self._student} answers none of the questions; is shift_bias in "
                f"its {FILE} too low, or was the training too short?"
            )
        misheard = MisheardWords.of([*self._heard]) if len(self._heard) == len(pairs) else None
        return compare_answers(pairs, misheard)

    def _ask(self) -> Iterator[int]:
        network = load_student(self._folder, self._device)
        student = Student(DuplexLoop(network), self._recipe.answers.limit)
        while (number := len(self._replies)) < len(self._asked):
            question = at_level(self._sound(number), SPEECH_DB)
            self._replies.append([student.answer(question, self._recipe.seed + number)])
            yield self.done

    def _judge(self) -> Iterator[int]:
        limit = self._recipe.answers.limit
        longest = max(turn.seconds for turn, _ in self._asked) * USER_TOKENS_PER_SECOND
        # A student's reply may have as many text tokens as chunks, beside its codes.
        teacher = load_teacher(self._recipe, self._device, longest + 2 * limit, streams=1)
        tokenizer = self._tokenizer()
        spelled = frozenset(tokenizer.text_ids)
        while (number := len(self._opinions)) < len(self._asked):
            turn, said = self._asked[number]
            reply = self._replies[number]
            text = tuple(token for token in reply.text if token in spelled)
            codes = [tokenizer.size + code for code in reply.codes]  # behind the text's ids
            answers = (said.tokens, alternated(text, codes))
            logs = teacher.log_probabilities(self._sound(number), answers)
            judged = (
                JudgedAnswer(
                    is_right(self._keys, turn.text, tokenizer.decode(own)),
                    tokens=len(own),
                    log_probability=round(log, _DIGITS),
                )
                for own, log in zip((said.text, text), logs, strict=True)
            )
            self._opinions.append([Opinion(*judged)])
            yield self.done

    def _listen(self, read: ReadSound) -> Iterator[int]:
        tokenizer = self._tokenizer()
        spelled = frozenset(tokenizer.text_ids)
        while (number := len(self._heard)) < len(self._asked):
            (_, said), reply = self._asked[number], self._replies[number]
            language = self._languages[number]
            # Of a reply that was broken off, not everything that is written was spoken.
            whole = reply if reply.complete else StudentReply()
            both = (
                ReadReply(
                    tokenizer.decode([token for token in text if token in spelled]),
                    read(codes, language),
                )
                for text, codes in ((said.text, said.codes), (whole.text, whole.codes))
            )
            self._heard.append([ReadAnswers(*both)])
            yield self.done

    def _tokenizer(self) -> CovoTokenizer:
        return CovoTokenizer.read(self._model, CovoConfig.read(self._model / "config.json"))

    def _sound(self, number: int) -> Audio:
        return read_audio(self._sounds / self._asked[number][0].sound, USER_RATE)

    def _finish(self) -> None:
        found = self.comparison
        misheard = found.misheard
        first = sorted(one.first_word for one in self._replies if one.first_word is not None)
        counts: dict[str, Any] = {
            "questions": len(self._asked),
            "with a key": 0 if found.teacher is None else found.teacher.n,
            "replies without an end": sum(
                bool(one.text) and not one.complete for one in self._replies
            ),
            "answered": round(found.answered, _DIGITS),
            "accuracy": found.accuracy,
            "teacher": msgspec.to_builtins(found.teacher),
            "student": msgspec.to_builtins(found.student),
            "gain": msgspec.to_builtins(found.gain),
            "perplexity": round(found.perplexity, _DIGITS),
            "length": round(found.length, _DIGITS),
            "sound not read": self._read if isinstance(self._read, str) else None,
            "misheard, teacher": misheard and round(misheard.teacher, _DIGITS),
            "misheard, student": misheard and round(misheard.student, _DIGITS),
            "first word, median s": round(median(first), _DIGITS) if first else None,
            "first word, latest s": first[-1] if first else None,
            "gates missed": list(found.missed),
        }
        known = {name: value for name, value in counts.items() if value is not None}
        self.stage.finish(known, {}, REPLIES, OPINIONS, HEARD)
