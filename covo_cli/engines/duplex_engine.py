"""Build the full-duplex engine from the settings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from covo_cli.engines.covo_engine import check_packages, covo_folder, covo_voices, network_settings
from covo_cli.errors import SettingsError
from covo_cli.settings.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from audio_io.signal import SpeechDetector
    from model.duplex.assemble import DuplexModel
    from model.duplex.engine import DuplexEngine
    from model.hearing.recognition import LoadableRecognizer
    from model.jobs.executor import Executor


def duplex_model(settings: Settings, *, sessions: int = 1) -> DuplexModel:
    """Inspect the checkpoint named by ``covo.model`` for ``sessions`` conversations at once. Loads
    nothing.

    Raises: SettingsError, VoiceError, ModelError (also for a half-duplex checkpoint).
    """
    folder = covo_folder(settings)
    check_packages()
    from model.duplex.assemble import DuplexModel

    if settings.covo.text_only:
        raise SettingsError("the full-duplex engine always speaks; drop --text-only")
    voices = covo_voices(settings)
    return DuplexModel(
        folder, network_settings(settings, sessions=sessions), voices, settings.covo.voice
    )


def build_duplex(
    settings: Settings,
    detector: SpeechDetector,
    executor: Executor,
    recognizer: Callable[[], LoadableRecognizer],
    model: DuplexModel | None = None,
) -> DuplexEngine:
    """Build the engine on ``model`` (default: :func:`duplex_model`) without loading it. Raises: as
    :func:`duplex_model`."""
    model = model or duplex_model(settings)
    from model.duplex.engine import DuplexEngine

    if not settings.covo.transcript:
        return DuplexEngine(model.load, model.info, detector, executor)
    parts = {**model.info.parts, "recogniser": "Whisper base int8, transcript only"}
    info = replace(model.info, parts=parts)
    return DuplexEngine(model.load, info, detector, executor, recognizer)
