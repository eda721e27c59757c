"""What a soak runs: an engine and what its user says, at random from a seed."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from audio_io.clock import ASSISTANT_RATE, USER_RATE
from audio_io.files import read_audio
from audio_io.levels import at_level
from audio_io.signal import Audio
from audio_io.vad import WebRtcVad
from covo_cli.bench.read_aloud import ReadAloud
from covo_cli.bench.speech import PERSON_DB
from covo_cli.conversation.demo import SCRIPT
from covo_cli.engines.engines import (
    EngineChoice,
    build_engine,
    turn_settings,
    voices_to_choose,
)
from covo_cli.evaluation.running.scripted_engine import Oracle, SteadyClock, SteadyRecognizer
from covo_cli.evaluation.scenarios.vocal import cough
from covo_cli.settings.settings import Settings
from covo_cli.simulation.scripted_user import Line, ScriptedUser, Start, StartRule
from model.engine import Engine, EngineInfo
from model.hearing.recognition import Recognizer
from model.jobs.thread_executor import ThreadExecutor
from model.jobs.virtual_executor import VirtualExecutor
from model.turns.controller import TurnTakingEngine
from model.turns.phrases import phrases_of

SCRIPTED = "scripted"
REPLY_S = 8.0
WORD_S = 0.35

_LINES_PER_MINUTE = 40
"""More than anyone says."""
_EVERY = 6
"""Of the voices only every sixth is chosen, so that each comes again: what is loaded with the first
British one is no rise in the last minutes."""
_RULES = (
    (StartRule.AFTER_REPLY, 0.3, 4.0),
    (StartRule.AFTER_REPLY, 0.3, 4.0),
    (StartRule.DURING_REPLY, 0.3, 6.0),
    (StartRule.AFTER_LINE, 0.2, 2.0),
)
"""When a line may start: the rule, and the least and most seconds."""


@dataclass(frozen=True, slots=True)
class SoakSubject:
    """An engine, not loaded yet, its user, and the voices that it can change to."""

    engine: Engine
    user: ScriptedUser
    voices: Sequence[str]


def recorded_lines() -> list[Line]:
    """Return the demo's questions, and a cough."""
    folder = Path(str(resources.files("covo_cli") / "demo_audio"))
    said = [Line(read_audio(folder / name, USER_RATE), text) for name, text, _ in SCRIPT]
    return [*said, Line(at_level(cough(1), PERSON_DB), "")]


def random_user(lines: Sequence[Line], minutes: float, rng: np.random.Generator) -> ScriptedUser:
    """Return a user who says ``lines`` at random, mostly after a reply, at times into one."""
    said = []
    for _ in range(math.ceil(minutes * _LINES_PER_MINUTE)):
        line = lines[int(rng.integers(len(lines)))]
        rule, least, most = _RULES[int(rng.integers(len(_RULES)))]
        if not line.text:
            rule = StartRule.DURING_REPLY
        said.append(Line(line.audio, line.text, Start(rule, float(rng.uniform(least, most)))))
    return ScriptedUser(said, paced=False)


def scripted_subject(settings: Settings, user: ScriptedUser, *, paced: bool) -> SoakSubject:
    """Return real turn taking around replies and words that need no model."""
    oracle = Oracle([line.text for line in user.lines], user)
    return SoakSubject(scripted_engine(settings, oracle, paced=paced), user, ("first", "second"))


def scripted_engine(settings: Settings, oracle: Recognizer, *, paced: bool) -> TurnTakingEngine:
    """Return real turn taking around replies of tones and the words that ``oracle`` knows."""
    clock = _WallClock() if paced else SteadyClock()
    info = EngineInfo(SCRIPTED, "real turn taking; words and replies are scripted", "", "cpu", {})
    return TurnTakingEngine(
        ReadAloud(info, _tones, REPLY_S, hears=False, pass_time=clock.pass_time),
        WebRtcVad(),
        ThreadExecutor() if paced else VirtualExecutor(clock),
        turn_settings(settings),
        SteadyRecognizer(oracle, clock, "a recogniser that never errs"),
        phrases_of("en"),
    )


def real_subject(settings: Settings, name: str, user: ScriptedUser, *, paced: bool) -> SoakSubject:
    """Return the engine ``name`` with its models. Raises: the errors of any room."""
    choice = EngineChoice(name, "measured")
    engine = build_engine(settings, real_time=paced, choice=choice)
    return SoakSubject(engine, user, tuple(voices_to_choose(settings, choice))[::_EVERY])


class _WallClock(SteadyClock):
    def pass_time(self, duration: float) -> None:
        time.sleep(duration)


def _tones(text: str) -> list[Audio]:
    """Return a tone for each word of ``text``."""
    at = np.arange(round(WORD_S * ASSISTANT_RATE)) / ASSISTANT_RATE
    pitches = [150 + 10 * len(word) for word in text.split()]
    return [np.asarray(0.1 * np.sin(2 * np.pi * pitch * at), np.float32) for pitch in pitches]
