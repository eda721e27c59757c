"""The voice pack: a folder with ``voice.toml`` and the data of one voice.

A pack serves the embedded engine (``[lite]``: a synthesiser's voice), Covo-Audio (``[covo]``: the
three arrays of its voice prompt) or both::

    format = 1
    name = "anna"                   # same as the folder; a-z, 0-9, - and _
    description = "warm, clear"
    language = "en-US"
    gender = "female"               # optional, as is age; for display only
    licence = "Apache-2.0"
    source = "where the voice comes from"

    [lite]
    synthesizer = "kokoro"          # or "hibari"
    file = "anna.bin"               # kokoro: raw float32 (510, 1, 256); hibari: leave it out
    sha256 = "..."                  # of the file; optional
    real_time_factor = 0.5          # synthesis time / speech time, on two cores
    level = -20.8                   # of the network's sound in dBFS; without it, a sentence is
                                    # spoken at every start to measure it
    [lite.tuning]                   # optional, as is each of them
    speed = 0.9                     # factor of the pace
    pitch = -2.0                    # semitones
    loudness = 3.0                  # dB
    [lite.measured]                 # how it sounds; voiceprint.npy beside it says whom it is like
    pitch = 140.2
    brightness = 2100.0
    pace = 10.5

    [covo]
    speaker = "default_female"      # the speaker's name in the system prompt
    # beside it: prompt_token.npy, prompt_latent.npy, speaker_embed.npy
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from voices.covo_prompt import PROMPT_FILES, CovoPrompt, load_array, read_prompt
from voices.errors import VoiceError
from voices.folders import check_readable
from voices.lite_data import STATISTICS, check_data
from voices.strict_reader import read
from voices.tuning import AS_IT_IS, VoiceTuning

FILE = "voice.toml"
FORMAT = 1
VOICEPRINT = "voiceprint.npy"
"""What the speaker network makes of the voice: float32 (192,), beside the figures."""

Voiceprint = NDArray[np.float32]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class LiteVoice:
    """A voice for the embedded engine.

    ``data``: the style of Kokoro, with its ``sha256`` or ""; None: only what is bundled with the
    synthesiser. ``real_time_factor``: synthesis time divided by speech time on two cores (None:
    not measured). ``level``: of the network's sound while it speaks, in dBFS, before ``tuning``
    makes it louder (None: not measured).
    """

    synthesizer: str
    data: Path | None = None
    real_time_factor: float | None = None
    sha256: str = ""
    level: float | None = None
    tuning: VoiceTuning = AS_IT_IS

    @property
    def cost(self) -> str:
        """The synthesis speed, for display."""
        if self.real_time_factor is None:
            return "not measured"
        word = "fast" if self.real_time_factor < 0.2 else "natural"
        return f"{word}: {self.real_time_factor:.2f}x real time"


@dataclass(frozen=True, slots=True)
class CovoVoice:
    """A voice for Covo-Audio: the speaker's name in the system prompt and the arrays' folder."""

    speaker: str
    folder: Path

    def prompt(self) -> CovoPrompt:
        """Read and check the three arrays. Raises: VoiceError."""
        return read_prompt(self.folder)


_Positive = Annotated[float, Meta(gt=0)]


@dataclass(frozen=True, slots=True)
class VoiceFigures:
    """How a voice sounds, as measured on two sentences.

    ``pitch``: median of the fundamental frequency in Hz. ``brightness``: centroid of the spectrum
    in Hz. ``pace``: phonemes per second of speech.
    """

    pitch: _Positive
    brightness: _Positive
    pace: _Positive

    def __str__(self) -> str:
        return f"{self.pitch:.0f} Hz, {self.brightness / 1000:.1f} kHz, {self.pace:.1f}/s"

    def describe(self, gender: str) -> str:
        """Return who it sounds like, in a few words."""
        return f"{_PERSONS.get(gender, 'voice')}, {self}"


_PERSONS = {"female": "woman", "male": "man"}


@dataclass(frozen=True, slots=True)
class VoicePack:
    """One voice. ``gender`` and ``age`` may be empty; ``figures``: None if it is not measured."""

    name: str
    folder: Path
    description: str
    language: str
    licence: str
    source: str
    gender: str = ""
    age: str = ""
    lite: LiteVoice | None = None
    covo: CovoVoice | None = None
    figures: VoiceFigures | None = None
    builtin: bool = False

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that can speak with it."""
        served = (("lite", self.lite), ("covo", self.covo))
        return tuple(engine for engine, part in served if part is not None)

    @property
    def files(self) -> tuple[Path, ...]:
        """The voice's files, including notices and licences in the folder."""
        return (self.folder / FILE, *self.data_files)

    @property
    def data_files(self) -> tuple[Path, ...]:
        """The voice's files but for the description."""
        data = [self.lite.data] if self.lite and self.lite.data else []
        data += [file for style in data if (file := style.with_suffix(STATISTICS)).exists()]
        arrays = [self.covo.folder / name for name in PROMPT_FILES] if self.covo else []
        beside = sorted(
            p for p in self.folder.iterdir() if p.stem.upper() in _BESIDE and p.is_file()
        )
        return (*data, *arrays, *beside)


_BESIDE = {"NOTICE", "LICENSE", "LICENCE", "README", "VOICEPRINT"}
"""Files that belong to every pack in whose folder they are, without their suffixes."""

_Text = Annotated[str, Meta(pattern=r"\S")]


@dataclass(frozen=True, slots=True)
class _LiteTable:
    """``[lite]`` as written."""

    synthesizer: Literal["hibari", "kokoro"]
    file: str = ""
    sha256: str = ""
    real_time_factor: Annotated[float, Meta(gt=0, lt=1000)] | None = None
    level: Annotated[float, Meta(ge=-90, le=0)] | None = None
    tuning: VoiceTuning = AS_IT_IS
    measured: VoiceFigures | None = None

    def __post_init__(self) -> None:
        if Path(self.file).name != self.file:
            raise ValueError(f"file must lie beside {FILE}, not at {self.file!r}")
        if self.synthesizer == "hibari" and self.file:
            raise ValueError("hibari has only its bundled voice; remove `file`")
        if self.synthesizer == "kokoro" and not self.file:
            raise ValueError("a kokoro voice needs a data file; name it with `file`")


@dataclass(frozen=True, slots=True)
class _CovoTable:
    """``[covo]`` as written."""

    speaker: _Text


@dataclass(frozen=True, slots=True)
class _PackFile:
    """``voice.toml`` as written."""

    name: str
    description: _Text
    language: _Text
    licence: _Text
    source: _Text
    gender: str = ""
    age: str = ""
    lite: _LiteTable | None = None
    covo: _CovoTable | None = None

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError(f"name must be 1 to 40 of a-z, 0-9, - and _, not {self.name!r}")
        if self.lite is None and self.covo is None:
            raise ValueError("a voice needs a table [lite], [covo] or both")


def is_name(text: str) -> bool:
    """Return whether ``text`` can name a voice."""
    return _NAME.fullmatch(text) is not None


def read_pack(folder: Path) -> VoicePack:
    """Read the pack in ``folder`` and check all its files. Raises: VoiceError."""
    path = folder / FILE
    try:
        if not path.exists():
            problem = f"it has no {FILE}" if folder.is_dir() else "it is not a folder"
            raise VoiceError(f"{folder} is not a voice pack: {problem}")
        check_readable(path)
    except OSError as error:
        raise VoiceError(f"cannot read {path}: {error.strerror}") from error
    file = read(path, _PackFile, VoiceError, format=FORMAT)
    lite = covo = None
    if file.lite is not None:
        data = folder / file.lite.file if file.lite.file else None
        if data is not None:
            check_data(data, file.lite.sha256)
        lite = LiteVoice(
            file.lite.synthesizer,
            data,
            file.lite.real_time_factor,
            file.lite.sha256,
            file.lite.level,
            file.lite.tuning,
        )
        read_voiceprint(folder)
    if file.covo is not None:
        covo = CovoVoice(file.covo.speaker, folder)
        covo.prompt()
    return VoicePack(
        name=file.name,
        folder=folder,
        description=file.description,
        language=file.language,
        licence=file.licence,
        source=file.source,
        gender=file.gender,
        age=file.age,
        lite=lite,
        covo=covo,
        figures=file.lite.measured if file.lite else None,
    )


def read_voiceprint(folder: Path) -> Voiceprint | None:
    """Return the voiceprint in ``folder``, of length 1, or None. Raises: VoiceError."""
    path = folder / VOICEPRINT
    if not path.exists():
        return None
    values = load_array(path, np.dtype(np.float32), (192,))
    length = float(np.linalg.norm(values))
    if length == 0:
        raise VoiceError(f"{path} is damaged: it holds only zeros")
    return np.asarray(values / length, np.float32)
