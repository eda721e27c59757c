"""``covo`` without a command: what to do next on this machine."""

from __future__ import annotations

from datetime import datetime

from audio_io.errors import DeviceError
from audio_io.live.devices import PortAudio, find_device
from covo_cli import __version__
from covo_cli.engines.model_choice import chat_file, needed_pieces, recognizer_folder
from covo_cli.errors import SessionError
from covo_cli.process.log import native_log_path
from covo_cli.process.native import send_native_stderr_to
from covo_cli.process.text import clean, when
from covo_cli.sessions.info import read_info
from covo_cli.sessions.store import SessionStore
from covo_cli.settings.sections import NETWORK
from covo_cli.settings.settings import Settings, load_settings, models_dir, sessions_dir
from model.errors import WeightsError
from model.weights.files import WeightState
from model.weights.packages import WeightStore
from voices.errors import VoiceError


def next_steps() -> tuple[str, ...]:
    """Return five lines: the state of weights, microphone and recordings, and the next command.

    Raises: SettingsError.
    """
    settings = load_settings()
    microphone, heard = _microphone(settings)
    return (
        f"covo {__version__}: talk to your computer.",
        f"weights       {_weights(settings)}",
        f"microphone    {clean(microphone)}",
        f"last session  {clean(_last_session(settings))}",
        f"next          {'covo chat' if heard else 'covo demo'}    "
        "(covo doctor checks everything; covo --help lists the commands)",
    )


def _weights(settings: Settings) -> str:
    store = WeightStore(models_dir(settings))
    statuses = store.status()
    missing = [status.piece for status in statuses if status.state is not WeightState.READY]
    if broken := [piece.name for piece in missing if piece.module]:
        return f"{broken[0]} came with covo and is damaged: install covo again"
    try:
        if not needed_pieces(settings).isdisjoint(piece.name for piece in missing):
            size = sum(piece.download for piece in missing) / 1e6
            return f"missing: the next command offers to download them ({size:.0f} MB)"
        chat_file(settings)
        if settings.hearing.model:
            recognizer_folder(settings, store)
        if settings.engine.name in NETWORK:
            from covo_cli.engines.covo_engine import covo_folder

            covo_folder(settings)
    except (WeightsError, VoiceError) as error:
        return str(error)
    return "ready"


def _microphone(settings: Settings) -> tuple[str, bool]:
    """Return the microphone's name, or what is wrong, and whether there is one."""
    send_native_stderr_to(native_log_path())
    try:
        return find_device(PortAudio().devices(), settings.audio.input, "input").name, True
    except DeviceError as error:
        return str(error), False


def _last_session(settings: Settings) -> str:
    store = SessionStore(sessions_dir(settings))
    try:
        names = store.names()
    except SessionError as error:
        return str(error)
    if not names:
        return "none yet"
    info, _ = read_info(store.root / names[0])
    begun = when(info.started, datetime.now().astimezone())
    return f"{begun} (covo chat --continue takes it up, covo sessions show last shows it)"
