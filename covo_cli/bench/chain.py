"""The plain chain: the embedded engine's models one after another, without turn taking.

A fixed piece of the engine's work, timed in the same run as its latencies: a latency divided by the
chain's hardly depends on the speed of the machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle

import numpy as np

from audio_io.clock import FRAME, samples
from audio_io.signal import Audio, SpeechDetector
from covo_cli.bench.speech import spoken
from covo_cli.errors import CliError
from model.hearing.recognition import LoadableRecognizer
from model.lite.chat import ChatModel
from model.lite.prompt import Prompt, build_messages
from model.lite.synthesizer import Synthesizer
from model.lite.text.clauses import ClauseSplitter

SILENCE_S = 0.35
"""Silence after a question; nothing is computed before it has passed."""

MEDIAN_AT_MOST, P90_AT_MOST = 0.8, 1.2
"""Goals: the median and the 90th percentile of an engine's latencies, over the chain's median."""

VOICE = "heart"
"""The voice of the chain's questions."""

QUESTIONS = (
    "What is the tallest mountain in the world?",
    "How long does it take to boil an egg?",
    "Why is the sea salty?",
    "Who painted the Mona Lisa?",
    "Can you tell me something about elephants?",
)

_SPEECH = 0.5
"""Probability at which the detector hears speech."""


@dataclass(frozen=True, slots=True)
class ChainTime:
    """Seconds that each model took for one question; ``detect``: for one frame, since the earlier
    frames are done while they come in."""

    detect: float
    recognize: float
    write: float
    speak: float

    @property
    def total(self) -> float:
        """Seconds from the end of the question to the first sound of the answer."""
        return SILENCE_S + self.detect + self.recognize + self.write + self.speak


@dataclass(frozen=True, slots=True)
class ChainFigures:
    """Seconds of the chain over ``questions`` questions; ``parts``: the median of each part."""

    questions: int
    median: float
    shortest: float
    longest: float
    parts: dict[str, float]


def chain_figures(times: Sequence[ChainTime]) -> ChainFigures:
    """Summarise one or more ``times``."""
    totals = [one.total for one in times]
    return ChainFigures(
        len(times),
        round(statistics.median(totals), 3),
        round(min(totals), 3),
        round(max(totals), 3),
        {
            "silence": SILENCE_S,
            **{
                name: round(statistics.median(asdict(one)[name] for one in times), 4)
                for name in asdict(times[0])
            },
        },
    )


def chain_questions(voice: Synthesizer) -> list[Audio]:
    """Return the chain's questions, spoken by ``voice`` (float32 mono 16 kHz)."""
    return [spoken(text, voice) for text in QUESTIONS]


class PlainChain:
    """Times the models on ``questions`` (float32 mono 16 kHz), one at a time, in turn.

    The models are the engine's own; they must not be at work meanwhile.
    """

    def __init__(
        self,
        detector: SpeechDetector,
        recognizer: LoadableRecognizer,
        chat: ChatModel,
        prompt: Prompt,
        synthesizer: Synthesizer,
        questions: Sequence[Audio],
    ) -> None:
        self._detector = detector
        self._recognizer = recognizer
        self._chat = chat
        self._prompt = prompt
        self._synthesizer = synthesizer
        self._questions = cycle(questions)

    def warm_up(self) -> None:
        """Load the models and run them once. Raises: ModelError, CliError."""
        self._recognizer.load()
        self._chat.load()
        self._synthesizer.load()
        self.time()

    def time(self) -> ChainTime:
        """Time the next question. Raises: ModelError, CliError."""
        question = next(self._questions)
        # The engine reads what comes before a turn while the user talks.
        self._chat.prepare(build_messages(self._prompt, ()))
        began = time.perf_counter()
        heard = self._hear(question)
        frames = len(question) // FRAME
        heard_at = time.perf_counter()
        words = self._recognizer.transcribe(heard).text
        if not words:
            raise CliError("the recogniser understood nothing: run covo doctor")
        recognized_at = time.perf_counter()
        clause = self._first_clause(words)
        written_at = time.perf_counter()
        next(self._synthesizer.alone(clause), None)
        spoken_at = time.perf_counter()
        return ChainTime(
            detect=(heard_at - began) / frames,
            recognize=recognized_at - heard_at,
            write=written_at - recognized_at,
            speak=spoken_at - written_at,
        )

    def _hear(self, question: Audio) -> Audio:
        """Return the question up to its last speech, and the silence that is waited for."""
        self._detector.reset()
        last = 0
        for end in range(FRAME, len(question) + 1, FRAME):
            if self._detector.process(question[end - FRAME : end]) >= _SPEECH:
                last = end
        return np.pad(question[:last], (0, samples(SILENCE_S)))

    def _first_clause(self, words: str) -> str:
        splitter = ClauseSplitter()
        stopped = False
        parts = self._chat.stream(build_messages(self._prompt, (), words), lambda: stopped)
        for part in parts:
            if isinstance(part, str) and (clauses := splitter.feed(part)):
                stopped = True
                return clauses[0]
        return "".join(splitter.flush())
