"""``covo bench``: measure the parts of the assistant on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from covo_cli.commands import train
from covo_cli.commands.common import JsonFile, print_figures, save_json, say, weight_store
from covo_cli.commands.serve import bench_serve
from covo_cli.commands.voices import bench_voices, complete_voice
from covo_cli.settings.flags import with_flags
from covo_cli.settings.sections import DUPLEX_PROMPT_SECONDS

app = typer.Typer(no_args_is_help=True, help="Measure the parts of the assistant on this machine.")


@app.callback()
def _group() -> None:
    """Measure the parts of the assistant on this machine."""


@app.command()
def vad(json_file: JsonFile = None) -> None:
    """Measure the voice activity detectors.

    False triggers in noise, misses and delay; takes about a minute.
    """
    from hibari import Hibari

    from audio_io.vad import SileroVad, WebRtcVad
    from covo_cli.bench.vad import measure, vad_tables
    from covo_cli.process.terminal import PlainConsole

    model = weight_store().path("silero-vad", "silero_vad_16k.onnx")
    synthesiser = Hibari()
    figures = measure(
        {
            "silero": lambda: SileroVad(model),
            "webrtc": WebRtcVad,
            "webrtc, 1": lambda: WebRtcVad(aggressiveness=1),
        },
        lambda text: synthesiser(text, seed=1),
    )
    save_json(json_file, figures)
    console = PlainConsole()
    for table in vad_tables(figures):
        console.print(table)


@app.command()
@with_flags(["voice.name"], {"voice.name": complete_voice})
def conversation(
    flags: Mapping[str, object],
    questions: Annotated[int, typer.Option(help="Number of questions.", min=1)] = 40,
    asker: Annotated[str, typer.Option(help="Voice that asks.")] = "michael",
    idle: Annotated[float, typer.Option(help="Seconds of silence to measure.", min=1)] = 30.0,
    json_file: JsonFile = None,
) -> None:
    """Hold a long conversation in real time.

    Measures latency, gaps, intelligibility, memory, and the cost of listening to silence and to
    speech. Latencies are also given over that of the four models one after another on this machine,
    with 0.35 s of silence.
    """
    from covo_cli.bench.goals import goals_table
    from covo_cli.bench.lite import bench_conversation
    from covo_cli.bench.words import WORD_PACKAGES
    from covo_cli.process.packages import require_packages
    from covo_cli.process.terminal import PlainConsole
    from covo_cli.settings.settings import load_settings

    require_packages("eval", *WORD_PACKAGES)
    settings = load_settings(flags)
    figures = bench_conversation(settings, questions, asker, idle, say)
    save_json(json_file, figures)
    print_figures("Conversation", figures, without=("machine", "turns", "answers", "goals"))
    PlainConsole().print(goals_table(figures, "Goals, whatever the machine"))


@app.command()
def echo(
    minutes: Annotated[float, typer.Option(help="Minutes of speech per path.", min=0.1)] = 10.0,
    barge_ins: Annotated[int, typer.Option(help="Number of interruptions.", min=0)] = 10,
    delay: Annotated[
        list[int] | None, typer.Option(help="Delay of the path in ms; repeatable.", min=0)
    ] = None,
    cancel: Annotated[bool, typer.Option(help="Cancel the echo.")] = True,
    json_file: JsonFile = None,
) -> None:
    """Measure whether the assistant interrupts itself.

    Its speech returns to the microphone as an echo from an open loudspeaker.
    """
    from covo_cli.bench.lite import bench_echo
    from covo_cli.settings.settings import load_settings

    delays = [ms / 1000 for ms in delay or (20, 80, 150)]
    figures = bench_echo(load_settings(), delays, minutes, barge_ins, cancel, say)
    save_json(json_file, figures)
    for path in figures["paths"]:
        print_figures(f"Echo after {path['delay_ms']} ms", path)


@app.command()
def soak(
    minutes: Annotated[float, typer.Option(help="Minutes of conversation.", min=0.1)] = 60.0,
    pace: Annotated[
        Literal["fast", "real"], typer.Option(help="fast counts simulated minutes.")
    ] = "fast",
    engine: Annotated[
        Literal["lite", "scripted"], typer.Option(help="scripted needs no models.")
    ] = "lite",
    seed: Annotated[int, typer.Option(help="Seed of what is said and goes wrong.", min=0)] = 1,
    settle: Annotated[
        float, typer.Option(help="Minutes before everything must be flat.", min=0)
    ] = 10.0,
    json_file: JsonFile = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the gauges to this .png file.")] = None,
) -> None:
    """Talk for an hour under disturbances and measure whether anything grows.

    Memory, threads, open files, queues and step times by the minute, while the user interrupts,
    types, mutes and changes the voice, and devices of a simulated sound card go away.
    """
    from covo_cli.bench.figures import check_plot
    from covo_cli.bench.goals import goals_table
    from covo_cli.bench.lite import bench_soak
    from covo_cli.bench.soak import SoakBench
    from covo_cli.bench.soak.plot import save_soak_plot
    from covo_cli.process.terminal import PlainConsole
    from covo_cli.settings.settings import load_settings

    if plot is not None:
        check_plot(plot)
    bench = SoakBench(minutes, pace == "real", seed, settle)
    figures = bench_soak(load_settings(), engine, bench, say)
    save_json(json_file, figures)
    if plot is not None:
        save_soak_plot(plot, figures)
    print_figures("Soak", figures, without=("machine", "flatness", "by_minute", "goals"))
    print_figures(f"After {settle:g} minutes", figures["flatness"])
    PlainConsole().print(goals_table(figures, "Goals: flat, and alive"))


@app.command()
def speakers(
    voice: Annotated[
        list[str] | None,
        typer.Option(
            help="Voice to tell from the others; repeatable.", autocompletion=complete_voice
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure whether the user's voice is told from others.

    Every voice is the user once.
    """
    from covo_cli.bench.lite import bench_speakers
    from covo_cli.errors import CliError
    from covo_cli.settings.settings import load_settings

    voices = voice or ["heart", "bella", "emma", "george", "michael"]
    if len(set(voices)) < 2:
        raise CliError("there is nobody else to tell the voice from; name two voices or more")
    figures = bench_speakers(load_settings(), voices, say)
    save_json(json_file, figures)
    print_figures("Whose voice it is", figures, without=("machine",))


@app.command()
def startup(
    runs: Annotated[int, typer.Option(help="Number of processes to time.", min=1)] = 5,
    json_file: JsonFile = None,
) -> None:
    """Time `covo --help` and a whole short conversation."""
    from covo_cli.bench.figures import machine
    from covo_cli.bench.startup import measure_startup

    figures = {"machine": machine(), **measure_startup(runs)}
    save_json(json_file, figures)
    print_figures("Seconds, whole processes", figures, without=("machine",))


@app.command()
def network(
    size: Annotated[str, typer.Option(help="full (as published), mid or tiny.")] = "full",
    device: Annotated[
        str, typer.Option(help="auto (the fastest), cuda, cuda:1, mps or cpu.")
    ] = "auto",
    precision: Annotated[
        str, typer.Option(help="Language model: bf16, fp16, fp32, int8 or int4.")
    ] = "bf16",
    token2wav: Annotated[
        str,
        typer.Option(help="token2wav: fp32, bf16 or fp16; auto: bf16, on the CPU fp32."),
    ] = "auto",
    minutes: Annotated[
        float, typer.Option(help="Minutes of conversation in the cache.", min=0.5)
    ] = 10.0,
    reply: Annotated[float, typer.Option(help="Seconds of reply.", min=1.0)] = 10.0,
    runs: Annotated[int, typer.Option(help="Repetitions of each stage.", min=1)] = 5,
    steps: Annotated[int, typer.Option(help="Number of decode steps to time.", min=4)] = 200,
    streams: Annotated[
        int, typer.Option(help="Replies to generate at once, as for training data.", min=1, max=256)
    ] = 1,
    sessions: Annotated[
        int,
        typer.Option(help="Conversations at once, as in `covo serve`.", min=1, max=64),
    ] = 1,
    json_file: JsonFile = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the breakdown to this .png file.")] = None,
) -> None:
    """Measure the Covo network with random weights.

    Compares its speed with the limits of the device.
    """
    from covo_cli.process.packages import require_packages

    require_packages("covo", "torch", "transformers", "safetensors")
    if plot is not None:
        require_packages("plot", "matplotlib")
    from covo_cli.bench.figures import check_plot
    from covo_cli.bench.network import measure_network, network_bench
    from covo_cli.bench.network.plot import save_plot
    from covo_cli.bench.network.tables import network_tables
    from covo_cli.process.terminal import PlainConsole

    if plot is not None:
        check_plot(plot)
    bench = network_bench(
        size,
        device=device,
        precision=precision,
        token2wav=token2wav,
        minutes=minutes,
        reply_seconds=reply,
        runs=runs,
        steps=steps,
        streams=streams,
        sessions=sessions,
    )
    figures = measure_network(bench, say)
    save_json(json_file, figures)
    for table in network_tables(figures):
        PlainConsole().print(table)
    if plot is not None:
        save_plot(plot, figures)


@app.command()
def duplex(
    size: Annotated[str, typer.Option(help="Size of the network: full or tiny.")] = "tiny",
    device: Annotated[str, typer.Option(help="Compute device: auto, cuda, cpu ...")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = "bf16",
    voice: Annotated[
        bool, typer.Option("--voice", help="Speak as well, paced in real time.")
    ] = False,
    prompt_seconds: Annotated[
        float, typer.Option(help="Seconds of the voice prompt; 0: all.", min=0.0)
    ] = DUPLEX_PROMPT_SECONDS,
    minutes: Annotated[
        float | None,
        typer.Option(help="Minutes of conversation; default: 30, with --voice 2.", min=0.02),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure the steps of the full-duplex loop.

    Shows whether their cost stays constant, and with --voice whether the speech keeps pace beside
    them; the weights are random.
    """
    from rich.progress import Progress

    from covo_cli.engines.covo_engine import check_packages
    from covo_cli.process.terminal import PlainConsole

    check_packages()
    from covo_cli.bench.duplex.steps import measure_steps
    from covo_cli.bench.duplex.voice import duplex_bench, measure_voice
    from covo_cli.bench.goals import goals_table
    from model.covo.config.device import named_device
    from model.covo.config.precision import Precision
    from model.covo.memory.fit import free_memory

    where = named_device(device)
    free_memory(str(where))  # raises for a missing device
    # Redraw rarely: drawing slows down the measured work.
    with Progress(refresh_per_second=1) as shown:
        task = shown.add_task("chunks", total=None)

        def progress(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        if voice:
            bench = duplex_bench(size, where, precision, minutes or 2.0, prompt_seconds)
            figures = measure_voice(bench, progress)
        else:
            named = Precision.named(precision)
            figures = measure_steps(size, where, named, minutes or 30.0, progress)
    save_json(json_file, figures)
    title = "Full duplex with its voice" if voice else "A step of the full-duplex loop"
    print_figures(title, figures, without=("machine", "goals"))
    if voice:
        PlainConsole().print(goals_table(figures))


@app.command()
def turns(
    model: Annotated[Path, typer.Option(help="Network trained on tones.")],
    trials: Annotated[int, typer.Option(help="Trials per behaviour.", min=1)] = 100,
    json_file: JsonFile = None,
) -> None:
    """Test a full-duplex network trained on tones.

    Measures its four behaviours on held-out dialogues.
    """
    from covo_cli.engines.covo_engine import check_packages
    from covo_cli.process.terminal import PlainConsole

    check_packages()
    from covo_cli.bench.duplex.behaviours import measure_behaviours
    from model.covo.config.precision import Precision
    from model.duplex.network.network import load_duplex

    console = PlainConsole()
    network = load_duplex(model, precision=Precision.FP32)
    with console.status("") as status:
        figures = measure_behaviours(network, trials, status.update)
    save_json(json_file, figures)
    for name in ("network", "chance", "network, deaf", "long conversations"):
        print_figures(name, figures[name])


app.command("serve")(bench_serve)
app.command("train")(train.measure_training_step)
app.command("voices")(bench_voices)
