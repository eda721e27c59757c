"""A duplex profile as a file: ``duplex.json`` beside the weights, read strictly and written whole.

Having that file is what makes a checkpoint a full-duplex one. No torch here.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from model.covo.config.json_section import JsonSection, read_json
from model.duplex.protocol.profile import (
    ContextProfile,
    DuplexProfile,
    DuplexTokens,
    ListeningSpeech,
    Sampling,
    SamplingProfile,
    Slot,
    Speech,
    StreamingEncoderProfile,
    TextTiming,
    Token,
)
from model.errors import NetworkConfigError

Choice = TypeVar("Choice", bound=StrEnum)

FILE = "duplex.json"
FORMAT = 1


def read_profile(path: Path) -> DuplexProfile:
    """The profile in ``path``. Raises: NetworkConfigError."""
    root = read_json(path)
    root.require("format", FORMAT)
    tokens, encoder = root.section("tokens"), root.section("encoder")
    context, sampling = root.section("context"), root.section("sampling")
    try:
        return DuplexProfile(
            tokens=DuplexTokens(
                think=_token(tokens, "think"),
                shift=_token(tokens, "shift"),
                stop=_token(tokens, "break"),
                text_filler=_token(tokens, "text_filler"),
                speech_filler=_token(tokens, "speech_filler"),
            ),
            text_vocabulary=root.integer("text_vocabulary"),
            chunk_ms=root.integer("chunk_ms"),
            layout=tuple(_choice(Slot, root, "layout", name) for name in root.texts("layout")),
            listening_speech=_choice(ListeningSpeech, root, "listening_speech"),
            text_timing=_choice(TextTiming, root, "text_timing"),
            lead=_whole(root, "lead"),
            speech=_choice(Speech, root, "speech"),
            prompt=root.ids("prompt"),
            encoder=StreamingEncoderProfile(
                _whole(encoder, "look_back"),
                encoder.integer("position_period"),
                encoder.number("mel_floor"),
            ),
            context=ContextProfile(context.integer("window"), context.integer("evict")),
            sampling=SamplingProfile(
                *(_sampling(sampling.section(name)) for name in ("state", "text", "speech"))
            ),
        )
    except NetworkConfigError as error:
        if str(path) in str(error):
            raise
        raise NetworkConfigError(f"{path}: {error}") from None


def write_profile(profile: DuplexProfile, path: Path) -> None:
    """Write ``duplex.json``, which :func:`read_profile` reads as an equal profile."""
    encoder, context, sampling = profile.encoder, profile.context, profile.sampling
    named = {"break": profile.tokens.stop}
    for name in ("think", "shift", "text_filler", "speech_filler"):
        named[name] = getattr(profile.tokens, name)
    values: dict[str, Any] = {
        "format": FORMAT,
        "chunk_ms": profile.chunk_ms,
        "layout": list(profile.layout),
        "listening_speech": profile.listening_speech,
        "text_timing": profile.text_timing,
        "lead": profile.lead,
        "speech": profile.speech,
        "text_vocabulary": profile.text_vocabulary,
        "tokens": {name: {"id": t.id, "text": t.text} for name, t in named.items()},
        "prompt": list(profile.prompt),
        "encoder": {
            "look_back": encoder.look_back,
            "position_period": encoder.position_period,
            "mel_floor": encoder.mel_floor,
        },
        "context": {"window": context.window, "evict": context.evict},
        "sampling": {
            name: {"temperature": one.temperature, "top_k": one.top_k}
            for name, one in (
                ("state", sampling.state),
                ("text", sampling.text),
                ("speech", sampling.speech),
            )
        },
    }
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def require_duplex(folder: Path) -> None:
    """Raises: NetworkConfigError when ``folder`` holds no full-duplex checkpoint."""
    if not folder.is_dir():
        raise NetworkConfigError(f"there is no folder {folder}: --model names a checkpoint's")
    if not (folder / FILE).is_file():
        raise NetworkConfigError(
            f"{folder} is a half-duplex checkpoint: it has no {FILE}, and was not trained to "
            "listen while it speaks. Use it with the half-duplex engine (--engine covo)"
        )


def require_half_duplex(folder: Path) -> None:
    """Raises: NetworkConfigError when ``folder`` holds a full-duplex checkpoint."""
    if (folder / FILE).is_file():
        raise NetworkConfigError(
            f"{folder} is a full-duplex checkpoint ({FILE} is there): it takes turns by itself and "
            "does not answer prompts. Use it with --engine covo-fd"
        )


def _token(tokens: JsonSection, name: str) -> Token:
    one = tokens.section(name)
    return Token(one.integer("id"), one.text("text"))


def _sampling(section: JsonSection) -> Sampling:
    temperature = section.number("temperature")
    if temperature < 0:
        raise NetworkConfigError(f"{section.where}: temperature is {temperature}, below 0")
    return Sampling(temperature, _whole(section, "top_k"))


def _whole(section: JsonSection, key: str) -> int:
    value = section.number(key)
    if value < 0 or value != int(value):
        raise NetworkConfigError(f"{section.where}: {key} is {value}, not a whole number from 0 on")
    return int(value)


def _choice(kind: type[Choice], section: JsonSection, key: str, value: str | None = None) -> Choice:
    name = section.text(key) if value is None else value
    try:
        return kind(name)
    except ValueError:
        known = ", ".join(kind)
        raise NetworkConfigError(
            f"{section.where}: {key} cannot be {name!r}; there are: {known}"
        ) from None
