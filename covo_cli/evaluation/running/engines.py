"""Make an engine for each evaluated conversation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from covo_cli.bench.chain import VOICE, PlainChain, chain_questions
from covo_cli.bench.read_aloud import SENTENCES, ReadAloud
from covo_cli.engines.engines import ASSUMED_LANGUAGE, build_engine, outlook_model, turn_taking
from covo_cli.engines.model_choice import chat_file, recognizer_folder
from covo_cli.engines.persona import read_persona
from covo_cli.engines.small_models import detector
from covo_cli.evaluation import SCRIPTED, RecognizerName
from covo_cli.evaluation.running.scripted_engine import (
    Oracle,
    SteadyClock,
    SteadyOutlook,
    SteadyRecognizer,
)
from covo_cli.evaluation.scenarios.scenario import Scenario
from covo_cli.settings.settings import Settings, models_dir, voices_dir
from covo_cli.simulation.scripted_user import ScriptedUser
from model.engine import Engine, EngineInfo
from model.hearing.languages import AUTO
from model.hearing.recognition import Recognizer

EngineMaker = Callable[[Scenario, ScriptedUser], Engine]
"""Makes a loaded engine for one conversation."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """How to ``make`` the evaluated engine, and the plain chain of its models, if it is theirs."""

    make: EngineMaker
    chain: PlainChain | None = None


ASSISTANT = "heart"
"""The scripted engine's voice."""


def engine_maker(
    name: str, recognizer: RecognizerName, settings: Settings, threads: int
) -> Evaluated:
    """Load what all conversations share, and return a maker of the engine ``name``.

    ``threads``: per model of the lite engine. Raises: the errors of any room.
    """
    if name == SCRIPTED:
        return Evaluated(_scripted(recognizer, settings, threads))
    if name == "lite":
        return _lite(settings, threads)

    def build(scenario: Scenario, user: ScriptedUser) -> Engine:
        engine = build_engine(settings, real_time=False)
        engine.warm_up(lambda stage: None)
        return engine

    return Evaluated(build)


def _scripted(name: RecognizerName, settings: Settings, threads: int) -> EngineMaker:
    from model.jobs.virtual_executor import VirtualExecutor
    from model.lite import SynthesizerMaker
    from model.lite.recognizer import WhisperRecognizer
    from model.weights.packages import WeightStore
    from voices.store import VoiceStore

    weights = WeightStore(models_dir(settings))
    voice = SynthesizerMaker(weights, VoiceStore(voices_dir()).get)(ASSISTANT)
    sounds = {text: np.concatenate(list(voice.stream(text))) for text in SENTENCES}
    voice.close()
    language = settings.hearing.language
    whisper = None
    if name is RecognizerName.WHISPER:
        folder = weights.whole("whisper-base")
        whisper = WhisperRecognizer(folder, language=language, threads=threads)
        whisper.load()
    shared = outlook_model(settings)
    if shared is not None:
        shared.load()

    def build(scenario: Scenario, user: ScriptedUser) -> Engine:
        clock = SteadyClock()
        texts = [line.text for line in scenario.lines]
        known = ASSUMED_LANGUAGE if language == AUTO else language
        inner: Recognizer = whisper or Oracle(texts, user, known)
        label = "Whisper base" if whisper else "a recogniser that never errs"
        info = EngineInfo(
            "scripted",
            f"real turn taking; replies and latencies are scripted; {label}",
            ASSISTANT,
            "cpu",
            {"replies": "fixed sentences"},
        )
        replies = ReadAloud(
            info,
            lambda text: [sounds[text]],
            scenario.reply,
            hears=False,
            pass_time=clock.pass_time,
        )
        recognizer = SteadyRecognizer(inner, clock, label)
        reader = SteadyOutlook(shared, clock) if shared is not None else None
        return turn_taking(settings, replies, VirtualExecutor(clock), recognizer, reader)

    return build


def _lite(settings: Settings, threads: int) -> Evaluated:
    from model.jobs.virtual_executor import VirtualExecutor
    from model.lite import SynthesizerMaker, choose_chat
    from model.lite.cascade import Cascade
    from model.lite.outlook import SmolOutlook
    from model.lite.recognizer import WhisperRecognizer
    from model.weights.packages import WeightStore
    from voices.store import VoiceStore

    weights = WeightStore(models_dir(settings))
    persona = read_persona(settings.chat.persona)
    chat, prompt = choose_chat(
        weights, chat_file(settings), settings.chat.url, persona, threads=threads
    )
    voices = SynthesizerMaker(weights, VoiceStore(voices_dir()).get, threads=threads)
    voice = voices(settings.voice.name)
    asker = voices(VOICE)
    questions = chain_questions(asker)
    asker.close()

    class Fresh(Cascade):
        """A cascade without history whose models outlive it."""

        def close(self) -> None:
            """Keep the models for the next conversation."""

    class Kept(WhisperRecognizer):
        """A recogniser whose weights outlive the conversation."""

        def close(self) -> None:
            """Keep the weights for the next conversation."""

    class KeptOutlook(SmolOutlook):
        """A language model whose weights outlive the conversation."""

        def close(self) -> None:
            """Keep the weights for the next conversation."""

    folder = recognizer_folder(settings, weights)
    recognizer = Kept(folder, language=settings.hearing.language, threads=threads)
    reader = outlook_model(settings, chat, KeptOutlook)

    def build(scenario: Scenario, user: ScriptedUser) -> Engine:
        cascade = Fresh(
            chat,
            lambda name: voice,
            voice=settings.voice.name,
            prompt=prompt,
            device=f"CPU, {threads} threads",
        )
        engine = turn_taking(settings, cascade, VirtualExecutor(), recognizer, reader)
        engine.warm_up(lambda stage: None)
        return engine

    chain = PlainChain(detector(settings), recognizer, chat, prompt, voice, questions)
    chain.warm_up()
    return Evaluated(build, chain)
