"""Check whether this machine is ready for a conversation; each check names the remedy.

*Failed*: ``covo chat`` does not work. *Warning*: it works with a restriction. Every check takes
what it looks at as an argument, so that tests can show it a broken machine.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence

import psutil

from audio_io.live.devices import PortAudio
from covo_cli.doctor import machine, sound, wiring
from covo_cli.doctor.check import Check, Status
from covo_cli.doctor.machine import Gpu, find_gpus
from covo_cli.process.log import log_dir
from covo_cli.settings.sections import REMOTE
from covo_cli.settings.settings import (
    config_path,
    load_settings,
    models_dir,
    sessions_dir,
    voices_dir,
)
from covo_cli.welcome.found_servers import AUTO_URL
from model.endpoints.local_servers import find_local_servers
from model.weights.packages import WeightStore
from voices.store import VoiceStore

__all__ = ["Check", "Gpu", "Status", "find_gpus", "run_checks"]


def run_checks(gpus: Sequence[Gpu], *, microphone: bool = False) -> Iterator[Check]:
    """Run all checks, one by one. ``microphone``: also record for a second."""
    yield Check("Python", Status.OK, platform.python_version())
    yield machine.check_packages()
    check, settings = wiring.check_settings(load_settings)
    yield check
    check, choice = wiring.check_engine(settings)
    yield check
    synthesizer = ""
    if choice.name == "covo":
        yield wiring.check_covo(settings, choice.model)
    elif choice.name == "covo-fd":
        yield wiring.check_duplex(settings)
    elif choice.name in REMOTE:
        yield wiring.check_remote(settings)
    else:
        store = VoiceStore(voices_dir())
        check, synthesizer = wiring.check_voice(store, settings.voice.name, choice.name)
        yield check
        yield from wiring.check_chat(settings)
        yield from wiring.check_tools(settings, choice.name)
        wants_one = settings.chat.url == AUTO_URL
        yield from wiring.check_servers(find_local_servers(), wants_one=wants_one)
    weights = WeightStore(models_dir(settings))
    yield from wiring.check_hearing(settings, weights)
    statuses = weights.verify()
    unneeded = wiring.unneeded_pieces(settings, synthesizer, choice.name)
    yield from wiring.check_weights(statuses, unneeded)
    memory = psutil.virtual_memory()
    yield machine.check_memory(memory.available, memory.total, psutil.cpu_count())
    yield machine.check_gpu(gpus)
    yield machine.check_disk(sessions_dir(settings), record=settings.session.record)
    yield from machine.check_folders(
        {
            "voices": voices_dir(),
            "weights": models_dir(settings),
            "settings": config_path().parent,
            "log files": log_dir(),
        }
    )
    check, backend = sound.check_portaudio(PortAudio)
    yield check
    if backend is None:
        return
    check, device = sound.check_device(backend, "input", settings.audio.input)
    yield check
    wanted = settings.audio
    if device is not None:
        yield from sound.check_channels(device, wanted.channels)
    if microphone and device is not None:
        yield sound.check_microphone(
            lambda: sound.record(backend, wanted.input, 1.0, wanted.channels)[1]
        )
    check, _ = sound.check_device(backend, "output", settings.audio.output)
    yield check
