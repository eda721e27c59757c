"""Engines of several conversations: what they share, and what each has of its own."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest

from covo_cli.engines.engines import EngineChoice, build_engine, for_sessions
from covo_cli.settings.settings import load_settings
from model.turns.controller import TurnTakingEngine
from model.weights.packages import WeightStore


@pytest.fixture
def engines(tmp_path: Path, monkeypatch) -> list[TurnTakingEngine]:
    """Two that are built for one server, not loaded."""
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setattr(WeightStore, "path", lambda self, piece, file: tmp_path / file)
    monkeypatch.setattr(WeightStore, "whole", lambda self, piece: tmp_path)
    settings = load_settings({"audio.vad": "webrtc"})
    choice = for_sessions(settings, EngineChoice("lite", "tried"), 2)
    return [build_engine(settings, real_time=True, choice=choice) for _ in range(2)]


def test_engines_of_one_server_share_models_and_no_state(engines):
    one, other = (engine._context for engine in engines)
    words = [context.recognition._recognizer for context in (one, other)]
    shared = [
        (words[0]._shared, words[1]._shared),
        (one.probe._sound_model, other.probe._sound_model),
        (engines[0]._embedder, engines[1]._embedder),
        (one.generator._voices, other.generator._voices),
        (one.generator.synthesizer, other.generator.synthesizer),
    ]
    own = [
        tuple(words),
        (engines[0]._detector, engines[1]._detector),
        (one.generator, other.generator),
        (one.generator.chat, other.generator.chat),
        (one.probe._outlook_model, other.probe._outlook_model),
    ]
    assert all(mine is theirs and mine is not None for mine, theirs in shared)
    assert all(mine is not theirs and mine is not None for mine, theirs in own)


def test_what_is_shared_is_freed_with_the_last_engine(engines):
    embedder = weakref.ref(engines[0]._embedder)
    while engines:
        assert embedder() is not None
        engines.pop().close()
        gc.collect()
    assert embedder() is None
