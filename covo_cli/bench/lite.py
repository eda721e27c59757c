"""Set up the embedded engine's benchmarks from the settings."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from covo_cli.bench.chain import QUESTIONS, VOICE, PlainChain, chain_figures
from covo_cli.bench.conversation import beside_chain, measure_conversation, measure_idle
from covo_cli.bench.echo import measure_echo
from covo_cli.bench.figures import machine
from covo_cli.bench.goals import judge
from covo_cli.bench.listening import listening_cost
from covo_cli.bench.soak import SoakBench, measure_soak
from covo_cli.bench.soak.subject import (
    SCRIPTED,
    random_user,
    real_subject,
    recorded_lines,
    scripted_subject,
)
from covo_cli.bench.speakers import PROFILE, SENTENCES, measure_speakers
from covo_cli.bench.speech import as_lines, questions, spoken
from covo_cli.bench.voices import (
    CLAUSES,
    GOALS,
    SWAPPED_FROM,
    measure_voice,
    resident_mb,
    time_swap,
)
from covo_cli.engines.engines import EngineChoice, check_heeded, turn_taking
from covo_cli.engines.small_models import SharedModels, detector, lite_cascade, whisper
from covo_cli.process.native import keep_heap_small, return_free_memory
from covo_cli.sessions.recorder import SessionMeta, SessionRecorder
from covo_cli.settings.settings import Settings, models_dir, voices_dir
from covo_cli.simulation.scripted_user import Line
from model.engine import Engine
from model.hearing.identity.profile import CamPlusPlusEmbedder
from model.jobs.processes import WorkerProcesses
from model.jobs.thread_executor import ThreadExecutor
from model.lite import SynthesizerMaker
from model.lite.cascade import Cascade
from model.lite.recognizer import WhisperRecognizer
from model.weights.packages import WeightStore
from voices.store import VoiceStore

SOAK_QUESTIONS = 12
LISTENING_QUESTIONS = 8

Progress = Callable[[str], None]


def bench_conversation(
    settings: Settings, count: int, asker: str, idle: float, progress: Progress
) -> dict[str, Any]:
    """Run and record :mod:`covo_cli.bench.conversation`."""
    weights = WeightStore(models_dir(settings))
    progress(f"rendering the questions of {asker}")
    # Render in another process, so that this one's memory is the engine's alone.
    with WorkerProcesses(1) as pool:
        asked = pool.submit(_rendered, settings, asker, questions()[:count]).result()
        of_chain = pool.submit(_rendered, settings, VOICE, QUESTIONS).result()
    progress("listening to speech")
    with WorkerProcesses(1) as pool:
        listening = pool.submit(listening_cost, settings, asked[:LISTENING_QUESTIONS]).result()
    lines = list(islice(cycle(asked), count))
    progress("loading the engine")
    check_heeded(settings, EngineChoice("lite", "measured"))
    began = time.perf_counter()
    engine, cascade, heard_by = _loaded_engine(settings, SharedModels())
    loaded = time.perf_counter() - began
    chain = PlainChain(
        detector(settings),
        heard_by,
        cascade.chat,
        cascade.prompt,
        cascade.synthesizer,
        [line.audio for line in of_chain],
    )
    recognizer = WhisperRecognizer(weights.whole("whisper-base"))  # loads after the conversation
    try:
        progress("timing the plain chain")
        chain.warm_up()
        chain_times = [chain.time() for _ in QUESTIONS]
        progress("listening to silence")
        idle_cost = measure_idle(engine, idle) if idle else None
        with tempfile.TemporaryDirectory() as folder:
            recorder = SessionRecorder(Path(folder), SessionMeta(engine.info, "bench", "bench"))
            figures = measure_conversation(engine, lines, recognizer, recorder, progress=progress)
        progress("timing the plain chain again")
        chain_times += [chain.time() for _ in QUESTIONS]
    finally:
        engine.close()
    return {
        "machine": machine(),
        "engine": dataclasses.asdict(engine.info)["parts"],
        "voice": settings.voice.name,
        "load_seconds": round(loaded, 2),
        "idle": idle_cost,
        **beside_chain({"listening": listening, **figures}, chain_figures(chain_times)),
    }


def bench_echo(
    settings: Settings,
    delays: Sequence[float],
    minutes: float,
    barge_ins: int,
    cancel: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Run :mod:`covo_cli.bench.echo`."""
    weights = WeightStore(models_dir(settings))
    voices = _voices(settings, weights)
    person = voices("michael")
    figures = measure_echo(
        weights.path("silero-vad", "silero_vad_16k.onnx"),
        voices(settings.voice.name),
        spoken("Can you read something to me?", person),
        spoken("Okay, stop. I have another question.", person),
        delays=delays,
        minutes=minutes,
        barge_ins=barge_ins,
        cancel=cancel,
        progress=progress,
    )
    return {"machine": machine(), **figures}


def bench_soak(
    settings: Settings, engine: str, bench: SoakBench, progress: Progress
) -> dict[str, Any]:
    """Run :mod:`covo_cli.bench.soak` with the engine ``engine``, or a scripted one."""
    rng = np.random.default_rng([bench.seed, 1])
    if engine == SCRIPTED:
        user = random_user(recorded_lines(), bench.minutes, rng)
        return measure_soak(bench, scripted_subject(settings, user, paced=bench.paced), progress)
    progress("rendering the questions")
    # In another process, so that this one's memory is the engine's alone.
    with WorkerProcesses(1) as pool:
        asked = pool.submit(_rendered, settings, "michael", questions()[:SOAK_QUESTIONS]).result()
    user = random_user([*asked, *recorded_lines()], bench.minutes, rng)
    progress("loading the engine")
    return measure_soak(bench, real_subject(settings, engine, user, paced=bench.paced), progress)


def bench_speakers(settings: Settings, voices: Sequence[str], progress: Progress) -> dict[str, Any]:
    """Run :mod:`covo_cli.bench.speakers` on ``voices``."""
    weights = WeightStore(models_dir(settings))
    embedder = CamPlusPlusEmbedder(weights.path("campplus", "campplus_cn_en_common.pt"))
    voice_of = _voices(settings, weights)
    said = {}
    for name in voices:
        progress(f"{name} speaks")
        said[name] = [spoken(text, voice_of(name)) for text in (PROFILE, *SENTENCES)]
    progress("comparing the voices")
    return measure_speakers(embedder, said)


def bench_voices(
    settings: Settings, voices: Sequence[str], count: int, progress: Progress
) -> Iterator[dict[str, Any]]:
    """Run :mod:`covo_cli.bench.voices` on ``voices``, each saying ``count`` clauses.

    Each in a process of its own, with the whole engine around it, so that its memory is counted.
    Yields the figures so far after every voice.
    """
    figures: dict[str, Any] = {"machine": machine(), "clauses": count, "voices": {}}
    with WorkerProcesses(1, tasks_each=1) as pool:
        for number, name in enumerate(voices, 1):
            progress(f"{name} speaks ({number} of {len(voices)})")
            found = pool.submit(_voice_figures, settings, name, count).result()
            figures["voices"][name] = found
            yield {**figures, "goals": judge(GOALS, figures, counts=True)}


def _voice_figures(settings: Settings, name: str, count: int) -> dict[str, Any]:
    keep_heap_small()
    language = VoiceStore(voices_dir()).get(name).language.partition("-")[0]
    clauses = list(islice(cycle(CLAUSES[language]), count))
    settings = dataclasses.replace(
        settings,
        voice=dataclasses.replace(settings.voice, name=name),
        hearing=dataclasses.replace(settings.hearing, language=language),
    )
    weights, shared = WeightStore(models_dir(settings)), SharedModels()
    embedder = shared.speakers.get(
        lambda: CamPlusPlusEmbedder(weights.path("campplus", "campplus_cn_en_common.pt"))
    )
    engine, cascade, heard_by = _loaded_engine(settings, shared)
    try:
        embedder.load()
        voice = cascade.synthesizer
        figures = measure_voice(voice, heard_by, embedder, clauses, resident_mb)
    finally:
        engine.close()
    other = next(voice for voice in SWAPPED_FROM if voice != name)
    make = _voices(settings, weights)
    swap = time_swap(make(other), make(name), clauses[0])
    return {"recogniser": heard_by.name, **figures, "swap": swap}


def _loaded_engine(
    settings: Settings, shared: SharedModels
) -> tuple[Engine, Cascade, WhisperRecognizer]:
    """Return the engine lite, its reply generator and its recogniser, loaded."""
    cascade, heard_by = lite_cascade(settings, shared=shared), whisper(settings, shared)
    engine = turn_taking(settings, cascade, ThreadExecutor(), heard_by, shared=shared)
    engine.warm_up(lambda stage: None)
    return_free_memory()
    return engine, cascade, heard_by


def _rendered(settings: Settings, voice: str, texts: Sequence[str]) -> list[Line]:
    return as_lines(texts, _voices(settings, WeightStore(models_dir(settings)))(voice))


def _voices(settings: Settings, weights: WeightStore) -> SynthesizerMaker:
    return SynthesizerMaker(weights, VoiceStore(voices_dir()).get)
