"""The full-duplex engine, from the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from covo_cli.covo_engine import check_packages, covo_folder
from covo_cli.errors import SettingsError
from covo_cli.settings import Settings

if TYPE_CHECKING:
    from model.duplex.assistant import DuplexAssistant
    from model.duplex.engine import DuplexEngine
    from model.engine import EngineInfo, Progress
    from model.speech import SpeechDetector
    from model.work import Executor

NAME = "covo-fd"


def build_duplex(settings: Settings, detector: SpeechDetector, executor: Executor) -> DuplexEngine:
    """The engine on the checkpoint that ``covo.model`` names, looked at and not loaded yet.

    Raises: as :func:`duplex_network`.
    """
    info, load = duplex_network(settings)
    from model.duplex.engine import DuplexEngine

    return DuplexEngine(load, info, detector, executor)


def duplex_network(
    settings: Settings,
) -> tuple[EngineInfo, Callable[[Progress], DuplexAssistant]]:
    """What the checkpoint that ``covo.model`` names is, and what loads it.

    Raises: SettingsError, WeightsError, NetworkConfigError (also for a half-duplex checkpoint).
    """
    folder = covo_folder(settings)
    check_packages()
    from model.covo.config import CovoConfig
    from model.covo.device import AUTO, named_device
    from model.covo.precision import Precision
    from model.duplex.assistant import load_assistant
    from model.duplex.profile_file import FILE, read_profile, require_duplex
    from model.engine import EngineInfo

    covo = settings.covo
    require_duplex(folder)
    profile = read_profile(folder / FILE)
    profile.check(CovoConfig.read(folder / "config.json"))
    precision = None if covo.precision == AUTO else Precision.named(covo.precision)
    if precision is not None and precision.quantised:
        raise SettingsError(
            f"the full-duplex engine does not run in {precision} yet: use auto, bf16, fp16 or fp32"
        )
    if covo.text_only:
        raise SettingsError("the full-duplex engine always speaks: --text-only does not go with it")
    device = str(named_device(covo.device))
    info = EngineInfo(
        NAME,
        f"the full-duplex network in {folder.name}, {profile.chunk_ms} ms at a time, on {device}",
        profile.speech,
        device,
        {"network": str(folder), "speech": profile.speech},
    )
    return info, lambda progress: load_assistant(
        folder, progress, device=device, precision=precision
    )
