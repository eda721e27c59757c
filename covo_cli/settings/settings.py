"""The settings: what there is to set, its value, and where that value comes from.

The dataclasses below are the only definition. Keys (``turns.silence``), environment variables
(``COVO_TURNS_SILENCE``), types, ranges, help and the checks are all derived from them. A value is
taken from the first place that has one: flags, the environment, the settings file, the default.
Nothing is passed over in silence: an unknown key or a bad value is a :class:`SettingsError` that
names the place and what would be right.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from covo_cli.errors import SettingsError
from covo_cli.settings import settings_file
from covo_cli.settings.option import Option, Value, derive_options, nearest, sections, setting


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What answers."""

    name: str = setting(
        "auto",
        "the engine that answers; auto picks and says why",
        choices=("auto", "covo", "covo-fd", "lite"),
    )


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """What the assistant sounds like."""

    name: str = setting("heart", "the assistant's voice: see `covo voices list`")


@dataclass(frozen=True, slots=True)
class AudioSettings:
    """Devices, and what is done to the microphone's signal."""

    input: str = setting("", "microphone, by number or part of its name; empty: the system's")
    output: str = setting("", "speaker, by number or part of its name; empty: the system's")
    vad: str = setting("silero", "what tells speech from noise", choices=("silero", "webrtc"))
    echo_cancellation: bool = setting(True, "take the assistant's voice out of the microphone")


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """When a turn is over, and what interrupts a reply. Times are in seconds."""

    patience: str = setting(
        "normal",
        "how long pauses are waited for; the numbers below that are not set follow it",
        choices=("eager", "normal", "patient"),
    )
    silence: float = setting(
        0.7,
        "seconds of silence that end a turn when nothing else tells; when set, a finished one too",
        within=(0.2, 5.0),
    )
    silence_finished: float = setting(
        0.35, "seconds of silence that end a turn that sounds and reads finished", within=(0.1, 5.0)
    )
    silence_unfinished: float = setting(
        2.8, "seconds of silence that end a turn that breaks off", within=(0.2, 10.0)
    )
    silence_statement: float = setting(
        2.3, "seconds of silence that end a turn that asks for nothing", within=(0.2, 10.0)
    )
    end_of_turn: str = setting(
        "smart-turn",
        "what hears whether you are done; none: silence and words alone",
        choices=("smart-turn", "none"),
    )
    min_speech: float = setting(
        0.2, "seconds of speech below which it was no turn", within=(0.02, 2.0)
    )
    speculate_after: float = setting(
        0.12, "seconds of silence after which a reply is begun early", within=(0.02, 5.0)
    )
    barge_in: bool = setting(True, "whether speaking interrupts the assistant")
    barge_in_confirm: float = setting(
        0.25, "seconds of speech over a reply that silence it", within=(0.02, 2.0)
    )


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """The chat model of the embedded engine; ``persona`` is for every engine."""

    model: str = setting("", "a GGUF file, or with chat.url a model's name; empty: the built-in")
    url: str = setting("", "an OpenAI-compatible endpoint, such as http://localhost:11434/v1")
    persona: str = setting("", "a text file that says who the assistant is")


@dataclass(frozen=True, slots=True)
class CovoSettings:
    """The Covo-Audio engine. What is left empty is as the model itself says."""

    model: str = setting("covo-audio-chat", "a model of `covo models list`, or a model's folder")
    voice: str = setting("", "the voice: the model's own or a voice pack; empty: the model's own")
    text_only: bool = setting(False, "whether it only writes its answers")
    device: str = setting("auto", "where it runs: auto, cuda, cuda:1, mps or cpu")
    precision: str = setting(
        "auto",
        "how the language model is held in memory; auto: as its weights are",
        choices=("auto", "fp32", "bf16", "fp16", "int8", "int4"),
    )
    token2wav_precision: str = setting(
        "auto",
        "how token2wav is held in memory; auto: bf16, on the processor fp32",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    context_minutes: float = setting(10.0, "minutes of talk that it remembers", within=(0.5, 100.0))
    reply_tokens: int = setting(
        2048, "tokens after which a reply ends; 33 are a second", within=(20, 8192)
    )
    voice_prompt_seconds: float = setting(
        0.0, "seconds of the voice's prompt that are used: fewer are faster; 0: all", within=(0, 60)
    )
    flow_steps: int = setting(
        0, "steps of flow matching: fewer are faster; 0: as the model says", within=(0, 100)
    )
    guidance: str = setting("", "strength of flow matching's guidance; off: none, at half the cost")
    temperature: float = setting(
        0.5, "how freely tokens are chosen; 0: always the best one", within=(0.0, 2.0)
    )
    top_p: float = setting(0.9, "share of probability that is drawn from", within=(0.01, 1.0))
    top_k: int = setting(50, "number of tokens that are drawn from; 0: all", within=(0, 10_000))
    seed: int = setting(0, "start of the random numbers", within=(0, 2**31 - 1))
    transcript: bool = setting(True, "whether your words are recognised, for screen and record")
    cuda_graph: bool = setting(True, "whether decode steps are captured as CUDA graphs")


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """The record of a conversation."""

    record: bool = setting(True, "whether conversations are kept on disk")
    dir: str = setting("", "folder of the sessions; empty: in the data folder")


@dataclass(frozen=True, slots=True)
class ModelsSettings:
    """Where weights live, and where they come from."""

    dir: str = setting("", "folder of the weights; empty: in the data folder")
    hub: str = setting("", "the model hub or a mirror of it; empty: HF_ENDPOINT, or the public hub")
    code_host: str = setting("", "who serves raw files of code repositories; empty: GitHub")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. ``origins`` tells for each key where its value comes from."""

    engine: EngineSettings = EngineSettings()
    voice: VoiceSettings = VoiceSettings()
    audio: AudioSettings = AudioSettings()
    turns: TurnSettings = TurnSettings()
    chat: ChatSettings = ChatSettings()
    covo: CovoSettings = CovoSettings()
    session: SessionSettings = SessionSettings()
    models: ModelsSettings = ModelsSettings()
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def value(self, key: str) -> Value:
        """The value of ``key`` (dotted). Raises: SettingsError for an unknown key."""
        option = find_option(key)
        value: Value = getattr(getattr(self, option.section), option.name)
        return value


OPTIONS: Mapping[str, Option] = {option.key: option for option in derive_options(Settings)}
"""All options by their key, in the order of the dataclasses."""


def find_option(key: str) -> Option:
    """The option called ``key``. Raises: SettingsError that names the nearest known key."""
    option = OPTIONS.get(key)
    if option is None:
        known = nearest(key, OPTIONS) or "; see `covo config show`"
        raise SettingsError(f"there is no setting called {key!r}{known}")
    return option


def load_settings(overrides: Mapping[str, object] | None = None) -> Settings:
    """The settings in force. ``overrides`` are the flags, by key; None means not given.

    Raises: SettingsError when a key is unknown, a value is bad, or the file cannot be read.
    """
    values: dict[str, Value] = {option.key: option.default for option in OPTIONS.values()}
    origins = dict.fromkeys(values, "default")
    for layer in (
        _from_entries(settings_file.read(config_path())),
        _from_environment(os.environ),
        _from_flags(overrides),
    ):
        for key, (value, origin) in layer.items():
            values[key], origins[key] = value, origin
    parts = {
        section: kind(**{o.name: values[o.key] for o in OPTIONS.values() if o.section == section})
        for section, kind in sections(Settings).items()
    }
    return Settings(**parts, origins=origins)


def check_text(text: str) -> None:
    """Check ``text`` as the content of the settings file. Raises: SettingsError."""
    _from_entries(settings_file.parse(text, config_path()))


def parse_setting(key: str, text: str) -> Value:
    """The value that ``text``, as typed in a shell, has for ``key``. Raises: SettingsError."""
    return _checked(find_option(key).parse, text, "")


def save_setting(key: str, value: object) -> Path:
    """Write one value to the settings file, keeping its comments; return the file.

    Raises: SettingsError; the file is then as it was.
    """
    option = find_option(key)
    path = config_path()
    settings_file.write_value(path, option.section, option.name, _checked(option.check, value, ""))
    return path


def unset_setting(key: str) -> bool:
    """Take ``key`` out of the settings file; return whether it was there. An unknown key may be
    removed too, since the file may hold one by mistake. Raises: SettingsError."""
    section, _, name = key.partition(".")
    removed = settings_file.remove_value(config_path(), section, name)
    if not removed:
        find_option(key)
    return removed


def config_path() -> Path:
    """The settings file: ``COVO_CONFIG``, or ``config.toml`` in the platform's config folder."""
    import platformdirs

    chosen = os.environ.get("COVO_CONFIG")
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_config_path("covo", appauthor=False) / "config.toml"


def data_dir() -> Path:
    """Where covo keeps its data: ``COVO_DATA_DIR``, or the platform's folder for it."""
    import platformdirs

    chosen = os.environ.get("COVO_DATA_DIR")
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_data_path("covo", appauthor=False)


def models_dir(settings: Settings) -> Path:
    """Where the weights are."""
    chosen = settings.models.dir
    return Path(chosen).expanduser() if chosen else data_dir() / "models"


def sessions_dir(settings: Settings) -> Path:
    """Where the recorded sessions are."""
    chosen = settings.session.dir
    return Path(chosen).expanduser() if chosen else data_dir() / "sessions"


def voices_dir() -> Path:
    """Where the user's own voice packs are."""
    return data_dir() / "voices"


_Layer = dict[str, tuple[Value, str]]


def _from_entries(entries: Iterable[settings_file.Entry]) -> _Layer:
    layer: _Layer = {}
    for entry in entries:
        option = OPTIONS.get(entry.key)
        if option is None:
            known = nearest(entry.key, OPTIONS) or "; see `covo config show` for those there are"
            raise SettingsError(
                f"{entry.place}: there is no setting called {entry.key!r}{known}; correct it with "
                f"`covo config edit` or remove it with `covo config unset {entry.key}`"
            )
        layer[entry.key] = (_checked(option.check, entry.value, f"{entry.place}: "), entry.place)
    return layer


def _from_environment(environment: Mapping[str, str]) -> _Layer:
    layer: _Layer = {}
    variables = {option.variable: option for option in OPTIONS.values()}
    prefixes = tuple({f"COVO_{option.section}_".upper() for option in OPTIONS.values()})
    for variable, text in environment.items():
        if not text or not variable.startswith(prefixes):
            continue
        option = variables.get(variable)
        if option is None:
            hint = nearest(variable, variables)
            raise SettingsError(f"the environment variable {variable} sets nothing{hint}; unset it")
        layer[option.key] = (_checked(option.parse, text, f"{variable}: "), variable)
    return layer


def _from_flags(overrides: Mapping[str, object] | None) -> _Layer:
    return {
        key: (_checked(find_option(key).check, value, ""), "command line")
        for key, value in (overrides or {}).items()
        if value is not None
    }


def _checked(check: Callable[[Any], Value], value: object, place: str) -> Value:
    try:
        return check(value)
    except ValueError as error:
        raise SettingsError(f"{place}{error}") from error
