"""Load and check the effective settings.

Flags override a session that is continued, which overrides the environment, which overrides the
settings file, which overrides the defaults. Loading also resolves presets. An unknown key or a bad
value raises a :class:`SettingsError` that names the place.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

from covo_cli.errors import SettingsError
from covo_cli.process.places import chosen_place, place_in, usual_place
from covo_cli.settings import settings_file
from covo_cli.settings.option import Option, Value, derive_options, sections
from covo_cli.settings.sections import (
    DUPLEX_PROMPT_SECONDS,
    AudioSettings,
    ChatSettings,
    CovoSettings,
    EngineSettings,
    HearingSettings,
    ModelsSettings,
    RemoteSettings,
    SessionSettings,
    ToolSettings,
    TurnOptions,
    VoiceSettings,
)
from model.secrets import without_secrets
from voices.errors import did_you_mean
from voices.folders import expanded

FILE_INPUT: Mapping[str, Value] = {"audio.echo_cancellation": False}
"""Defaults when a sound file is the microphone: it contains no echo of the assistant."""


class SettingSource(Enum):
    """The layer that supplied a value."""

    DEFAULT = auto()
    PRESET = auto()
    FILE = auto()
    ENVIRONMENT = auto()
    SESSION = auto()
    FLAG = auto()


@dataclass(frozen=True, slots=True)
class SettingOrigin:
    """The origin of a value. ``place``: the line, variable or flag, for display."""

    source: SettingSource
    place: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All effective settings. ``origins``: the origin of each key."""

    engine: EngineSettings = field(default_factory=EngineSettings)
    voice: VoiceSettings = field(default_factory=VoiceSettings)
    audio: AudioSettings = field(default_factory=AudioSettings)
    hearing: HearingSettings = field(default_factory=HearingSettings)
    turns: TurnOptions = field(default_factory=TurnOptions)
    chat: ChatSettings = field(default_factory=ChatSettings)
    tools: ToolSettings = field(default_factory=ToolSettings)
    remote: RemoteSettings = field(default_factory=RemoteSettings)
    covo: CovoSettings = field(default_factory=CovoSettings)
    session: SessionSettings = field(default_factory=SessionSettings)
    models: ModelsSettings = field(default_factory=ModelsSettings)
    origins: Mapping[str, SettingOrigin] = field(default_factory=dict, compare=False, repr=False)

    def value(self, key: str) -> Value:
        """Return the value of the dotted ``key``. Raises: SettingsError if it is unknown."""
        option = find_option(key)
        value: Value = getattr(getattr(self, option.section), option.name)
        return value

    def record(self) -> dict[str, dict[str, Value]]:
        """Return all values by section, ready for JSON: without keys in addresses, files by their
        absolute paths."""
        values = dataclasses.asdict(self)
        del values["origins"]
        return {
            section: {
                name: _recorded(OPTIONS[f"{section}.{name}"], value)
                for name, value in options.items()
            }
            for section, options in values.items()
        }


OPTIONS: Mapping[str, Option] = {option.key: option for option in derive_options(Settings)}
"""All settings by key, in declaration order."""


def _recorded(option: Option, value: Value) -> Value:
    if not isinstance(value, str) or not value:
        return value
    return without_secrets(str(expanded(value).absolute()) if option.is_file else value)


def find_option(key: str) -> Option:
    """Return the setting ``key``. Raises: SettingsError with the nearest known key."""
    option = OPTIONS.get(key)
    if option is None:
        raise SettingsError(_unknown(key))
    return option


def load_settings(
    flags: Mapping[str, object] | None = None,
    defaults: Mapping[str, Value] | None = None,
    session: Mapping[str, Value] | None = None,
) -> Settings:
    """Load the effective settings.

    Args:
        flags: values from the command line by key; None means not given.
        defaults: the command's own defaults, which replace the declared ones.
        session: values of the session that is continued.

    Raises: SettingsError for an unknown key, a bad value or an unreadable file.
    """
    loaded: _Layer = {
        key: (option.default, SettingOrigin(SettingSource.DEFAULT, "default"))
        for key, option in OPTIONS.items()
    }
    loaded |= {
        key: (value, SettingOrigin(SettingSource.PRESET, "file input"))
        for key, value in (defaults or {}).items()
    }
    loaded |= _layer(SettingSource.FILE, _in_file(settings_file.read(config_path())))
    loaded |= _layer(SettingSource.ENVIRONMENT, _in_environment())
    loaded |= _layer(
        SettingSource.SESSION,
        ((find_option(key), value, "the session") for key, value in (session or {}).items()),
    )
    loaded |= _layer(SettingSource.FLAG, _in_flags(flags or {}))
    loaded |= _from_patience(loaded)
    loaded |= _from_engine(loaded)
    values: dict[str, dict[str, Any]] = {option.section: {} for option in OPTIONS.values()}
    for key, option in OPTIONS.items():
        values[option.section][option.name] = loaded[key][0]
    parts = {name: kind(**values[name]) for name, kind in sections(Settings).items()}
    return Settings(**parts, origins={key: origin for key, (_, origin) in loaded.items()})


def check_text(text: str) -> None:
    """Check ``text`` as content for the settings file. Raises: SettingsError."""
    _layer(SettingSource.FILE, _in_file(settings_file.parse(text, config_path())))


def parse_setting(key: str, text: str) -> Value:
    """Parse ``text``, as typed in a shell, as a value for ``key``. Raises: SettingsError."""
    return _checked(find_option(key).parse, text, "")


def save_setting(key: str, value: object) -> Path:
    """Write one value to the settings file, keeping its comments; return the file.

    Raises: SettingsError; the file is then unchanged.
    """
    option = find_option(key)
    path = config_path()
    settings_file.write_value(path, option.section, option.name, _checked(option.check, value, ""))
    return path


def unset_setting(key: str) -> bool:
    """Remove ``key`` (even an unknown one) from the settings file; return whether it was there.

    Raises: SettingsError.
    """
    section, _, name = key.partition(".")
    removed = settings_file.remove_value(config_path(), section, name)
    if not removed:
        find_option(key)
    return removed


def config_path() -> Path:
    """Return the settings file: ``COVO_CONFIG``, or ``config.toml`` in the config folder.

    Raises: SettingsError, as the other places, if there is no home folder to have it in.
    """
    return place_in("COVO_CONFIG") or usual_place("config") / "config.toml"


def data_dir() -> Path:
    """Return the data folder: ``COVO_DATA_DIR``, or the platform's."""
    return place_in("COVO_DATA_DIR") or usual_place("data")


def models_dir(settings: Settings) -> Path:
    """Return the weights folder."""
    chosen = settings.models.dir
    return chosen_place(chosen, "models.dir") if chosen else data_dir() / "models"


def sessions_dir(settings: Settings) -> Path:
    """Return the folder for recorded sessions."""
    chosen = settings.session.dir
    return chosen_place(chosen, "session.dir") if chosen else data_dir() / "sessions"


def voices_dir() -> Path:
    """Return the folder for the user's voice packs."""
    return data_dir() / "voices"


_Layer = dict[str, tuple[Value, SettingOrigin]]


def _layer(source: SettingSource, found: Iterable[tuple[Option, object, str]]) -> _Layer:
    """Check the ``found`` settings, each with its value and its place for display."""
    layer: _Layer = {}
    for option, value, place in found:
        check = option.parse if source is SettingSource.ENVIRONMENT else option.check
        checked = _checked(check, value, f"{place}: ")
        layer[option.key] = (checked, SettingOrigin(source, place))
    return layer


def _in_file(entries: Iterable[settings_file.SettingEntry]) -> Iterator[tuple[Option, object, str]]:
    for entry in entries:
        if entry.key not in OPTIONS:
            raise SettingsError(
                f"{entry.place}: {_unknown(entry.key)}; fix it with `covo config edit` or "
                f"`covo config unset {entry.key}`"
            )
        yield OPTIONS[entry.key], entry.value, entry.place


def _in_environment() -> Iterator[tuple[Option, object, str]]:
    variables = {option.variable: option for option in OPTIONS.values()}
    prefixes = tuple({f"COVO_{option.section}_".upper() for option in OPTIONS.values()})
    for variable, text in os.environ.items():
        if not text.strip() or not variable.startswith(prefixes):
            continue
        if variable not in variables:
            hint = did_you_mean(variable, variables)
            raise SettingsError(f"environment variable {variable} is not a setting{hint}; unset it")
        yield variables[variable], text, variable


def _in_flags(flags: Mapping[str, object]) -> Iterator[tuple[Option, object, str]]:
    for key, value in flags.items():
        option = find_option(key)
        if value is not None:
            yield option, value, option.flag or "command line"


def _from_patience(loaded: _Layer) -> _Layer:
    """Derive turn-taking times from ``turns.patience`` or from the times that are set."""
    from model.turns.turn_settings import PATIENCE, TurnSettings, with_patience

    patience = str(loaded["turns.patience"][0])
    preset = PATIENCE[patience]
    keys = {f"turns.{f.name}": f.name for f in dataclasses.fields(TurnSettings)}
    given: dict[str, Any] = {
        name: loaded[key][0]
        for key, name in keys.items()
        if key in loaded and loaded[key][1].source is not SettingSource.DEFAULT
    }
    effective = with_patience(patience, **given)
    layer: _Layer = {}
    for key, name in keys.items():
        value: Value = getattr(effective, name)
        if key in loaded and value != loaded[key][0]:
            origin = f"turns.patience = {patience}"
            if value != getattr(preset, name):
                origin = "turns.silence"
            layer[key] = (value, SettingOrigin(SettingSource.PRESET, origin))
    return layer


def _from_engine(loaded: _Layer) -> _Layer:
    """Derive what the full-duplex engine needs to keep pace, unless it is set."""
    key, engine = "covo.voice_prompt_seconds", "covo-fd"
    unset = loaded[key][1].source is SettingSource.DEFAULT
    if loaded["engine.name"][0] != engine or not unset:
        return {}
    origin = SettingOrigin(SettingSource.PRESET, f"engine.name = {engine}")
    return {key: (DUPLEX_PROMPT_SECONDS, origin)}


def _unknown(key: str) -> str:
    return f"no setting {key!r}{did_you_mean(key, OPTIONS) or '; see `covo config show`'}"


def _checked(check: Callable[[Any], Value], value: object, place: str) -> Value:
    try:
        return check(value)
    except ValueError as error:
        raise SettingsError(f"{place}{error}") from error
