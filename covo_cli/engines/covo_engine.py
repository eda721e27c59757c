"""Build the Covo-Audio engine from the settings."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from covo_cli.engines.persona import read_persona
from covo_cli.errors import SettingsError
from covo_cli.settings.settings import Settings, models_dir, voices_dir
from voices.installation import add_extra

if TYPE_CHECKING:
    from model.covo.conversation.generator import CovoGenerator
    from model.covo.loading.assemble import CovoModel, NetworkSettings
    from model.covo.speech.voice_catalogue import VoiceCatalogue

_PACKAGES = ("torch", "transformers", "safetensors")


def covo_folder(settings: Settings) -> Path:
    """Return the chosen model's folder. Raises: WeightsError."""
    from model.weights.hub.store import find_model

    return find_model(settings.covo.model, models_dir(settings))


def pick_covo(settings: Settings) -> CovoModel:
    """Inspect the model without loading it; torch is imported only if its weights are here.

    Raises: ModelError, SettingsError with the reason if it does not suit this machine.
    """
    folder = covo_folder(settings)
    check_packages()
    from model.covo.config.device import AUTO, pick_device

    if settings.covo.device == AUTO and pick_device() == "cpu":
        raise SettingsError("no GPU found (--engine covo runs it on the CPU, slowly)")
    return _inspect(folder, network_settings(settings))


def covo_model(
    settings: Settings, *, text_only: bool | None = None, sessions: int = 1
) -> CovoModel:
    """Inspect the model for ``sessions`` conversations at once without loading it. ``text_only``
    overrides the setting.

    Raises: SettingsError, WeightsError, NetworkConfigError, NetworkMemoryError.
    """
    folder = covo_folder(settings)
    check_packages()
    return _inspect(folder, network_settings(settings, text_only=text_only, sessions=sessions))


def build_covo(settings: Settings, model: CovoModel | None = None) -> CovoGenerator:
    """Build the reply generator on ``model`` (default: :func:`covo_model`) without loading it.

    Raises: SettingsError, VoiceError, ModelError.
    """
    model = model or covo_model(settings)
    from model.covo.loading.assemble import build_generator

    return build_generator(model, covo_voices(settings), voice=settings.covo.voice)


def covo_voices(settings: Settings) -> VoiceCatalogue:
    """Return Covo-Audio's voices. Raises: WeightsError."""
    from model.covo.speech.voice_catalogue import VoiceCatalogue
    from voices.store import VoiceStore

    store = VoiceStore(voices_dir())
    return VoiceCatalogue(covo_folder(settings), store.names(), store.get)


def network_settings(
    settings: Settings, *, text_only: bool | None = None, sessions: int = 1
) -> NetworkSettings:
    """Convert the settings for the network. Raises: SettingsError."""
    from model.covo.language.sampling import SamplingSettings
    from model.covo.loading.assemble import NetworkSettings

    covo = settings.covo
    return NetworkSettings(
        device=covo.device,
        precision=covo.precision,
        token2wav_precision=covo.token2wav_precision,
        context_minutes=covo.context_minutes,
        reply_tokens=covo.reply_tokens,
        sampling=SamplingSettings(covo.temperature, covo.top_p, covo.top_k, covo.seed),
        voice_prompt_seconds=covo.voice_prompt_seconds or None,
        flow_steps=covo.flow_steps or None,
        guidance=_guidance(covo.guidance),
        graph=covo.cuda_graph,
        text_only=covo.text_only if text_only is None else text_only,
        persona=read_persona(settings.chat.persona),
        sessions=sessions,
        loudness=settings.voice.loudness,
    )


def check_packages() -> None:
    """Check that the network's packages are installed. Raises: SettingsError."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingsError(f"Covo-Audio needs {', '.join(missing)}: {add_extra('covo')}")


def _inspect(folder: Path, settings: NetworkSettings) -> CovoModel:
    from model.covo.loading.assemble import CovoModel
    from model.duplex.protocol.profile import require_half_duplex

    require_half_duplex(folder)
    return CovoModel(folder, settings)


def _guidance(text: str) -> float | None:
    if text in ("", "off"):
        return -1.0 if text else None
    return float(text)
