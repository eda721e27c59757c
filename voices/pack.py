"""The voice pack: a folder with ``voice.toml`` and the data that an engine needs to speak so.

A pack serves the embedded engine (``[lite]``: a synthesiser's voice), Covo-Audio (``[covo]``: the
three arrays of its voice prompt) or both::

    format = 1
    name = "bella"                  # the folder's name; a-z, 0-9, - and _
    description = "warm, clear"
    language = "en-US"
    gender = "female"               # hints for people, may be left out, as may age
    licence = "Apache-2.0"
    source = "where the voice comes from"

    [lite]
    synthesizer = "kokoro"          # or "hibari"
    file = "af_bella.bin"           # kokoro: float32 (510, 1, 256), raw; hibari: none
    sha256 = "..."                  # of the file; checked when given
    real_time_factor = 0.5          # seconds of work for a second of speech, on two cores

    [covo]
    speaker = "default_female"      # as the system prompt names the speaker
    # beside it: prompt_token.npy, prompt_latent.npy, speaker_embed.npy
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voices.covo_prompt import PROMPT_FILES, CovoPrompt, read_prompt
from voices.errors import VoiceError
from voices.lite_data import SYNTHESIZERS, check_data

FILE = "voice.toml"
FORMAT = 1

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class LiteVoice:
    """What the embedded engine needs: which synthesiser, and its data file (None: it has its own).

    ``real_time_factor``: seconds of work for a second of speech on two cores; None: not measured.
    """

    synthesizer: str
    data: Path | None = None
    real_time_factor: float | None = None

    @property
    def cost(self) -> str:
        """What speaking with it costs, for people."""
        if self.real_time_factor is None:
            return "not measured"
        word = "fast" if self.real_time_factor < 0.2 else "natural"
        return f"{word}: {self.real_time_factor:.2f}x real time"


@dataclass(frozen=True, slots=True)
class CovoVoice:
    """What Covo-Audio needs: how the system prompt names the speaker, and where its arrays are."""

    speaker: str
    folder: Path

    def prompt(self) -> CovoPrompt:
        """The three arrays, read and checked. Raises: VoiceError."""
        return read_prompt(self.folder)


@dataclass(frozen=True, slots=True)
class VoicePack:
    """One voice. ``gender`` and ``age`` are hints for people and may be empty."""

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
    builtin: bool = False

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that it serves."""
        served = (("lite", self.lite), ("covo", self.covo))
        return tuple(engine for engine, part in served if part is not None)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that make it up, notices and licences of the folder among them."""
        data = [self.lite.data] if self.lite and self.lite.data else []
        arrays = [self.folder / name for name in PROMPT_FILES] if self.covo else []
        texts = [p for p in sorted(self.folder.iterdir()) if p.stem.upper() in _TEXTS]
        return (self.folder / FILE, *data, *arrays, *texts)


_TEXTS = {"NOTICE", "LICENSE", "LICENCE", "README"}


def is_name(text: str) -> bool:
    """Whether ``text`` can be the name of a voice."""
    return _NAME.fullmatch(text) is not None


def read_pack(folder: Path, *, builtin: bool = False) -> VoicePack:
    """The pack in ``folder``, with everything in it checked.

    Raises: VoiceError that says what is broken.
    """
    path = folder / FILE
    table = _read_toml(path)
    top = _Table(path, "", table)
    if top.number("format") != FORMAT:
        raise VoiceError(f"{path}: this covo reads format = {FORMAT} of a voice pack")
    name = top.text("name")
    if not is_name(name):
        raise VoiceError(f"{path}: name must be 1 to 40 of a-z, 0-9, - and _, not {name!r}")
    pack = VoicePack(
        name=name,
        folder=folder,
        description=top.text("description"),
        language=top.text("language"),
        licence=top.text("licence"),
        source=top.text("source"),
        gender=top.text("gender", ""),
        age=top.text("age", ""),
        lite=_lite(folder, top.table("lite")),
        covo=_covo(folder, top.table("covo")),
        builtin=builtin,
    )
    top.done()
    if not pack.engines:
        raise VoiceError(f"{path}: a voice needs a table [lite], [covo] or both")
    return pack


def _lite(folder: Path, table: _Table | None) -> LiteVoice | None:
    if table is None:
        return None
    synthesizer = table.text("synthesizer")
    if synthesizer not in SYNTHESIZERS:
        known = " or ".join(SYNTHESIZERS)
        raise VoiceError(f"{table.path}: synthesizer must be {known}, not {synthesizer!r}")
    file, sha256 = table.text("file", ""), table.text("sha256", "")
    if Path(file).name != file:
        raise VoiceError(f"{table.path}: file must be a file beside {FILE}, not {file!r}")
    data = folder / file if file else None
    check_data(synthesizer, data, sha256)
    factor = table.number("real_time_factor")
    if factor is not None and not 0 < factor < 1000:
        raise VoiceError(f"{table.path}: real_time_factor must be above 0, not {factor:g}")
    table.done()
    return LiteVoice(synthesizer, data, factor)


def _covo(folder: Path, table: _Table | None) -> CovoVoice | None:
    if table is None:
        return None
    voice = CovoVoice(table.text("speaker"), folder)
    table.done()
    voice.prompt()
    return voice


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise VoiceError(f"{path.parent} is not a voice pack: it has no {path.name}") from error
    except NotADirectoryError as error:
        raise VoiceError(f"{path.parent} is not a voice pack: it is not a folder") from error
    except OSError as error:
        raise VoiceError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise VoiceError(f"{path} is not valid TOML: {error}") from error


class _Table:
    """A TOML table whose values are taken out one by one, so that what is left over is unknown."""

    def __init__(self, path: Path, name: str, values: dict[str, Any]) -> None:
        self.path = path
        self._prefix = f"{name}." if name else ""
        self._values = dict(values)

    def text(self, key: str, default: str | None = None) -> str:
        value = self._values.pop(key, default)
        if not isinstance(value, str) or (not value.strip() and default is None):
            raise VoiceError(f"{self.path}: {self._prefix}{key} must be there, and be text")
        return value

    def number(self, key: str) -> float | None:
        value = self._values.pop(key, None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise VoiceError(f"{self.path}: {self._prefix}{key} must be a number")
        return float(value)

    def table(self, key: str) -> _Table | None:
        value = self._values.pop(key, None)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise VoiceError(f"{self.path}: {key} must be a table, [{key}]")
        return _Table(self.path, key, value)

    def done(self) -> None:
        for key in self._values:
            raise VoiceError(f"{self.path}: {self._prefix}{key} is not known in a voice pack")
