"""``covo devices``: list, choose and test microphones and speakers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.commands.common import JsonFlag, print_json

if TYPE_CHECKING:
    from audio_io.levels import Level
    from audio_io.live.devices import Backend, Device, Kind
    from audio_io.signal import Audio

app = typer.Typer(help="List, choose and test microphones and speakers.")

RECORD_SECONDS = 2.0


@app.callback(invoke_without_command=True)
def list_devices(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List, choose and test microphones and speakers."""
    if context.invoked_subcommand is not None:
        return
    from covo_cli.settings.settings import load_settings

    devices = list(_backend().devices())
    audio = load_settings().audio
    chosen = {"input": _chosen(devices, audio.input, "input")}
    chosen["output"] = _chosen(devices, audio.output, "output")
    if as_json:
        records = [
            dataclasses.asdict(device)
            | {f"used_for_{kind}": device == used for kind, used in chosen.items()}
            for device in devices
        ]
        print_json(records)
        return
    _print_table(devices, chosen)
    for kind, wanted in (("input", audio.input), ("output", audio.output)):
        if wanted and chosen[kind] is None:
            typer.echo(f"The {kind} device '{wanted}' of the settings is not connected.", err=True)
    if not devices:
        typer.echo("No sound devices found. Sound files work without: covo chat --input FILE")


@app.command()
def use(
    input_: Annotated[
        str | None,
        typer.Option("--input", help="Id or part of the name; '' for the system default."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", help="Id or part of the name; '' for the system default."),
    ] = None,
) -> None:
    """Choose the devices to use.

    Each is opened once as a check, and remembered by name.
    """
    from covo_cli.errors import CliError
    from covo_cli.settings.settings import save_setting

    if input_ is None and output is None:
        raise CliError("name a device: covo devices use --input NAME --output NAME")
    backend = _backend()
    kinds: list[tuple[Kind, str | None]] = [("input", input_), ("output", output)]
    found = [(kind, _checked(backend, name, kind)) for kind, name in kinds if name is not None]
    for kind, name in found:
        save_setting(f"audio.{kind}", name)
        typer.echo(f"{kind}: {name or 'system default'}")


@app.command("test")
def try_out(
    input_: Annotated[
        str | None, typer.Option("--input", help="Microphone: id or part of its name.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", help="Speaker: id or part of its name.")
    ] = None,
) -> None:
    """Play a chime, record, and show the level.

    Exits with 1 if the microphone delivers only zeros.
    """
    from audio_io.levels import FLOOR_DB, measure
    from audio_io.live.devices import permission_hint
    from covo_cli.doctor.sound import record
    from covo_cli.settings.settings import load_settings

    audio = load_settings().audio
    backend = _backend()
    speaker = _play_chime(backend, audio.output if output is None else output)
    typer.echo(f"speaker: {speaker} (did you hear two notes?)")
    wanted = audio.input if input_ is None else input_
    typer.echo(f"microphone: speak for {RECORD_SECONDS:.0f} seconds ...")
    microphone, recorded = record(backend, wanted, RECORD_SECONDS, audio.channels)
    level = measure(recorded)
    if level.peak <= FLOOR_DB:
        typer.echo(f"microphone: {microphone} delivers only zeros: {permission_hint()}", err=True)
        raise typer.Exit(1)
    typer.echo(f"microphone: {microphone}, {_describe(level)}")


def _backend() -> Backend:
    from audio_io.live.devices import PortAudio

    return PortAudio()


def _chosen(devices: Sequence[Device], wanted: str, kind: Kind) -> Device | None:
    from audio_io.errors import DeviceError
    from audio_io.live.devices import find_device

    try:
        return find_device(devices, wanted, kind)
    except DeviceError:
        return None


def _checked(backend: Backend, wanted: str, kind: Kind) -> str:
    """Return the name under which to save ``wanted``; "" stays "". Raises: DeviceError."""
    from audio_io.live.devices import find_device, stable_name

    devices = backend.devices()
    device = find_device(devices, wanted, kind)
    backend.open(device, kind, lambda frames: None).close()
    return stable_name(device, devices, kind) if wanted.strip() else ""


def _print_table(devices: Sequence[Device], chosen: dict[str, Device | None]) -> None:
    from rich.table import Table
    from rich.text import Text

    from covo_cli.process.terminal import PlainConsole

    table = Table(box=None, pad_edge=False)
    for heading in ("id", "name", "in", "out", "rate", "used for"):
        right = heading not in ("name", "used for")
        table.add_column(heading, justify="right" if right else "left")
    for device in devices:
        uses = []
        defaults = (("input", device.default_input), ("output", device.default_output))
        for kind, default in defaults:
            if device == chosen[kind]:
                uses.append(f"{kind} (system default)" if default else kind)
            elif default:
                uses.append(f"default {kind}")
        table.add_row(
            str(device.id),
            Text.assemble(device.name, (f" {device.host_api}", "dim")),
            str(device.inputs or "-"),
            str(device.outputs or "-"),
            f"{device.rate} Hz",
            ", ".join(uses),
        )
    if devices:
        PlainConsole().print(table)


def _describe(level: Level) -> str:
    text = f"peak {level.peak:.0f} dBFS, mean {level.rms:.0f} dBFS"
    if level.peak >= -0.1:
        return f"{text}: clipping; turn the microphone down"
    if level.peak < -50:
        return f"{text}: very quiet; turn the microphone up or move closer"
    return f"{text}: good"


def _chime() -> Audio:
    """Return two soft notes, 660 Hz and 880 Hz, at 24 kHz."""
    import numpy as np

    from audio_io.clock import ASSISTANT_RATE

    time = np.arange(round(0.35 * ASSISTANT_RATE)) / ASSISTANT_RATE
    fade = np.minimum(1.0, time / 0.01) * np.exp(-time / 0.12)
    notes = [0.3 * fade * np.sin(2 * np.pi * pitch * time) for pitch in (660.0, 880.0)]
    return np.concatenate(notes).astype(np.float32)


def _play_chime(backend: Backend, wanted: str) -> str:
    """Play the chime and return the device's name. Raises: AudioError."""
    import time

    from audio_io.errors import DeviceError
    from audio_io.live.speaker import LiveSpeaker

    speaker = LiveSpeaker(wanted, backend)
    chime = _chime()
    speaker.start()
    try:
        speaker.play(0, chime)
        deadline = time.monotonic() + 5.0
        while speaker.played.samples < len(chime):
            if time.monotonic() > deadline:
                raise DeviceError(
                    f"speaker '{speaker.status.device}' accepts no sound; "
                    "choose another with `covo devices use --output NAME`"
                )
            time.sleep(0.02)
        return speaker.status.device
    finally:
        speaker.close()
