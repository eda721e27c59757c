"""Render a sample of every voice, and a page that plays them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from urllib.parse import quote

from audio_io.clock import ASSISTANT_RATE
from audio_io.files import write_audio
from audio_io.signal import Audio
from covo_cli.errors import CliError
from covo_cli.process import whole_file
from model.errors import ModelError
from voices.folders import make_folder
from voices.pack import VoiceFigures, VoicePack

PAGE = "index.html"
_UNITS = {"pitch": "Hz", "brightness": "Hz", "pace": "/s"}


@dataclass(frozen=True, slots=True)
class VoiceSample:
    """A voice, the ``file`` that holds its sample, and ``like``: the voice most like it, or ""."""

    pack: VoicePack
    file: str
    like: str = ""


def render_sheet(
    packs: Iterable[VoicePack],
    folder: Path,
    speak: Callable[[VoicePack], Audio],
    like: Callable[[VoicePack], str],
    failed: Callable[[str], None],
) -> int:
    """Write what each voice says into ``folder``, then the page; return how many voices it has.

    ``like``: names the voice most like one. ``failed``: is told of each voice that cannot speak.
    Raises: CliError, AudioFileError.
    """
    try:
        make_folder(folder)
        samples = []
        for pack in packs:
            try:
                sound = speak(pack)
            except (ModelError, CliError) as error:
                failed(str(error))
                continue
            file = f"{pack.name}.flac"
            write_audio(folder / file, sound, ASSISTANT_RATE)
            samples.append(VoiceSample(pack, file, like(pack)))
        if samples:
            whole_file.write_text(folder / PAGE, page(samples))
    except OSError as error:
        raise CliError(f"cannot write into {folder}: {error.strerror or error}") from error
    return len(samples)


def page(samples: Sequence[VoiceSample]) -> str:
    """Return the page that lists and plays ``samples``, whose files lie beside it."""
    template = resources.files("covo_cli.voices").joinpath("sheet.html").read_text("utf-8")
    figures = [sample.pack.figures for sample in samples if sample.pack.figures]
    languages = sorted({sample.pack.language for sample in samples})
    licences = sorted({sample.pack.licence for sample in samples})
    return Template(template).substitute(
        count="1 voice" if len(samples) == 1 else f"{len(samples)} voices",
        languages="".join(f"<option>{escape(language)}</option>" for language in languages),
        rows="\n".join(_row(sample, figures) for sample in samples),
        licences=escape(", ".join(licences)),
    )


def _row(sample: VoiceSample, among: Sequence[VoiceFigures]) -> str:
    pack = sample.pack
    data = {"name": pack.name, "language": pack.language}
    bars = []
    if pack.figures is not None:
        for name in (field.name for field in fields(VoiceFigures)):
            value = getattr(pack.figures, name)
            everybody = [getattr(figures, name) for figures in among]
            at = (value - min(everybody)) / (max(everybody) - min(everybody) or 1)
            data[name] = f"{value:g}"
            shown = f"{value:.1f}" if name == "pace" else f"{value:.0f}"
            bars.append(
                f'<dt>{name}</dt><dd class="bar" style="--at:{at:.2f}"></dd>'
                f"<dd>{shown} {_UNITS[name]}</dd>"
            )
    who = [pack.gender or "voice", pack.language, str(pack.lite.tuning) if pack.lite else ""]
    like = f'<p class="like">most like {escape(sample.like)}</p>' if sample.like else ""
    attributes = " ".join(f'data-{key}="{escape(value)}"' for key, value in data.items())
    name = escape(pack.name)
    return (
        f'<li {attributes}><button type="button" aria-label="Play {name}">{_ICONS}</button>'
        f'<h2><a href="{quote(sample.file)}">{name}</a></h2>'
        f'<p class="who">{escape(" · ".join(filter(None, who)))}</p>'
        f"<dl>{''.join(bars)}</dl>{like}</li>"
    )


_ICONS = (
    '<svg class="play" viewBox="0 0 24 24"><path d="M7 4v16l13-8z"/></svg>'
    '<svg class="stop" viewBox="0 0 24 24"><path d="M6 6h12v12H6z"/></svg>'
)
