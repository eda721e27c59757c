"""Measure how soon, how fast and how clearly voices of the embedded engine speak.

Every voice says the same clauses in pieces, as in replies, and each of them as a whole.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
from rich.table import Table

from audio_io.clock import ASSISTANT_RATE, USER_RATE
from audio_io.resample import resample
from audio_io.signal import Audio
from covo_cli.bench.figures import summary
from covo_cli.bench.goals import Figures, Goal
from covo_cli.bench.words import word_error_rate
from model.hearing.identity.profile import SpeakerEmbedder
from model.hearing.recognition import Recognizer
from model.lite.synthesizer import Synthesizer

CLAUSES = {
    "en": (
        "The sea is salty because rivers carry minerals into it,",
        "Yes, I can help you with that.",
        "It takes about seven minutes to boil an egg,",
        "Elephants are the largest animals that live on land today,",
        "Good morning, how did you sleep?",
        "That depends on how far you want to travel,",
        "The painting hangs in a museum in Paris,",
        "I am sorry, but I did not understand the last part.",
        "Most people drink their coffee with milk and sugar,",
        "Let us begin with the first question.",
        "Water boils at a lower temperature in the mountains,",
        "No, I have never heard of that book.",
        "The train leaves every hour from the central station,",
        "A healthy breakfast could be bread with cheese and fruit,",
        "Of course, here is a short story about a brave little dog.",
        "The moon is much smaller than the earth,",
        "You could ask your neighbour whether she has seen the cat.",
        "In winter the lake is frozen for several weeks,",
        "Thank you, that is very kind of you.",
        "The capital of Canada is Ottawa,",
    ),
    "es": (
        "El mar es salado porque los ríos arrastran minerales,",
        "Sí, claro que puedo ayudarte con eso.",
        "Un huevo tarda unos siete minutos en cocerse,",
        "Los elefantes son los animales más grandes de la tierra,",
        "Buenos días, ¿has dormido bien esta noche?",
        "Eso depende de lo lejos que quieras viajar,",
        "El cuadro está colgado en un museo de París,",
        "Lo siento, pero no he entendido la última parte.",
        "Mucha gente toma el café con leche y azúcar,",
        "Vamos a empezar con la primera pregunta.",
        "En la montaña el agua hierve a menos temperatura,",
        "No, nunca he oído hablar de ese libro.",
        "El tren sale cada hora de la estación central,",
        "Un desayuno sano puede ser pan con queso y fruta,",
        "Por supuesto, este es un cuento sobre un perro muy valiente.",
        "La luna es mucho más pequeña que nuestro planeta,",
        "Puedes preguntar a tu vecina si ha visto al gato.",
        "En invierno el lago se hiela durante varias semanas,",
        "Gracias, es muy amable de tu parte.",
        "La capital de la provincia de Ontario es Toronto,",
    ),
}
"""By language, first clauses of replies, long and short ones in turn."""

SWAPPED_FROM = ("heart", "michael")
"""The voice that is swapped for another; the second for the first itself."""

_LATER = 3
"""Replies after the first one of a new voice, whose median it is compared with."""


@dataclass(frozen=True, slots=True)
class SpokenClause:
    """A clause as it was spoken: the seconds until its ``first`` sound and until the ``last``, and
    the sound, float32 mono 24 kHz."""

    first: float
    last: float
    sound: Audio = field(repr=False)


def measure_voice(
    voice: Synthesizer,
    recognizer: Recognizer,
    embedder: SpeakerEmbedder,
    clauses: Sequence[str],
    memory: Callable[[], float],
) -> dict[str, Any]:
    """Return JSON-ready figures of a loaded ``voice`` (seconds, megabytes, shares).

    ``recognizer`` tells what is understood of the pieces, ``embedder`` how alike they are to the
    whole. ``memory``: returns the memory in use, before anything is made as a whole.

    Raises: SynthesizerError.
    """
    pieces = [_in_pieces(voice, clause) for clause in clauses]
    understood = [recognizer.transcribe(_at_user_rate(spoken)).text for spoken in pieces]
    megabytes = memory()
    voice.say(clauses[0])  # loads what makes a whole
    whole = [_whole(voice, clause) for clause in clauses]
    alike = [
        float(np.dot(*(embedder.embed(_at_user_rate(spoken)) for spoken in both)))
        for both in zip(pieces, whole, strict=True)
    ]
    return {
        "synthesiser": voice.name,
        "in_pieces": _times(pieces),
        "whole": _times(whole),
        "likeness": summary(alike, median=50, lowest=0),
        "word_error_rate": round(word_error_rate(list(zip(clauses, understood, strict=True))), 4),
        "memory_mb": round(megabytes),
        "understood": understood,
    }


def time_swap(old: Synthesizer, new: Synthesizer, clause: str) -> dict[str, float]:
    """Return what it costs to go from the voice ``old`` to ``new``, in seconds.

    ``load``: work between the replies. ``first_reply``: how much later than in the replies after it
    the first sound comes. Raises: SynthesizerError.
    """
    _in_pieces(old, clause)
    began = time.perf_counter()
    new.load()
    load = time.perf_counter() - began
    first, *later = (_in_pieces(new, clause).first for _ in range(1 + _LATER))
    return {"load": round(load, 3), "first_reply": round(first - statistics.median(later), 3)}


def resident_mb() -> float:
    """Return the resident memory of this process in MB."""
    return float(psutil.Process().memory_info().rss / 2**20)


def _most(value: Callable[[Figures], float]) -> Callable[[Figures], float]:
    """Return the highest ``value`` of all voices."""
    return lambda figures: max(map(value, figures["voices"].values()))


GOALS = (
    Goal("first sound, median (s)", 0.5, _most(lambda v: v["in_pieces"]["first_sound"]["median"])),
    Goal("first sound after a swap, later by (s)", 0.1, _most(lambda v: v["swap"]["first_reply"])),
    Goal("memory of lite (MB)", 800, _most(lambda v: v["memory_mb"])),
)
"""Each holds for every voice."""


def voices_table(figures: Mapping[str, Any]) -> Table:
    """Return the figures of all voices, a row for each."""
    table = Table("voice", title="Voices: seconds to the first sound, and what it costs")
    for name in ("median", "most", "whole", "work/s", "alike", "wrong", "MB", "swap"):
        table.add_column(name, justify="right")
    for name, of in figures["voices"].items():
        first = of["in_pieces"]["first_sound"]
        table.add_row(
            name,
            f"{first['median']:.2f}",
            f"{first['max']:.2f}",
            f"{of['whole']['first_sound']['median']:.2f}",
            f"{of['in_pieces']['real_time_factor']:.2f}",
            f"{of['likeness']['median']:.2f}",
            f"{of['word_error_rate']:.1%}",
            str(of["memory_mb"]),
            f"{of['swap']['load']:.2f} {of['swap']['first_reply']:+.2f}",
        )
    table.caption = (
        "whole: a clause in one piece; work/s: seconds of synthesis for one of speech; alike: "
        "pieces and whole (CAM++); wrong: words; swap: loading, and the first reply later by"
    )
    return table


def _in_pieces(voice: Synthesizer, clause: str) -> SpokenClause:
    began, times, pieces = time.perf_counter(), list[float](), list[Audio]()
    for piece in voice.alone(clause):
        times.append(time.perf_counter() - began)
        pieces.append(piece.samples)
    return SpokenClause(times[0], times[-1], np.concatenate(pieces))


def _whole(voice: Synthesizer, clause: str) -> SpokenClause:
    began = time.perf_counter()
    sound = voice.say(clause)
    seconds = time.perf_counter() - began
    return SpokenClause(seconds, seconds, sound)


def _times(spoken: Sequence[SpokenClause]) -> dict[str, Any]:
    work = sum(clause.last for clause in spoken)
    return {
        "first_sound": summary([clause.first for clause in spoken], median=50, p90=90, max=100),
        "last_sound": summary([clause.last for clause in spoken], median=50, p90=90, max=100),
        "real_time_factor": round(
            work * ASSISTANT_RATE / sum(len(clause.sound) for clause in spoken), 3
        ),
    }


def _at_user_rate(spoken: SpokenClause) -> Audio:
    return resample(spoken.sound, ASSISTANT_RATE, USER_RATE)
