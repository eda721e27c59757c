"""The duplex profile: what is written is read, and what cannot be is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from msgspec import structs

from model.duplex.protocol.profile import (
    ContextProfile,
    LoopSampling,
    SamplingProfile,
    Slot,
    StreamingEncoderProfile,
    Token,
    default_profile,
    read_profile,
    write_profile,
)
from model.errors import NetworkConfigError
from tests.model.duplex.duplex_profiles import PROFILES, config, profile


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_read_as_it_was_written(name, tmp_path):
    written, stages = PROFILES[name]
    written = replace(written, sampling=SamplingProfile(*[LoopSampling(0.7, 3)] * 3))
    write_profile(written, tmp_path)
    assert read_profile(tmp_path) == written
    written.check(config(stages))


def test_the_default_is_the_report_s():
    full = replace(
        config(),
        backbone=replace(config().backbone, vocabulary=168_055),
        encoder=replace(config().encoder, positions=1500),
        first_audio_token=151_671,
    )
    default = default_profile(full)
    default.check(full)
    assert (default.chunk_samples, default.encoder_frames) == (2560, 8)
    counts = (default.features_per_chunk, default.text_per_chunk, default.codes_per_chunk)
    assert counts == (1, 1, 4)
    assert default.code_rate == 25.0
    assert default.tokens.think == Token(151_652, "<|vision_start|>")


CONTRADICTIONS = {
    "multiple of 20, not 150": {"chunk_ms": 150},
    "positive multiple of 20, not -160": {"chunk_ms": -160},
    "no speech slot": {"layout": (Slot.USER, Slot.TEXT)},
    "before the first speech slot": {"layout": (Slot.USER, Slot.SPEECH, Slot.TEXT)},
    "unless there is a prompt": {"layout": (Slot.TEXT, Slot.SPEECH, Slot.USER), "prompt": ()},
    "unevenly": {"layout": (*[Slot.USER] * 3, Slot.TEXT, Slot.SPEECH)},
    "context.evict must be at least 6": {"context": ContextProfile(window=100, evict=98)},
    "same id": {"tokens": structs.replace(profile().tokens, think=profile().tokens.shift)},
    "is text": {"tokens": structs.replace(profile().tokens, think=Token(39, "<think>"))},
}


@pytest.mark.parametrize("message", CONTRADICTIONS)
def test_contradictions_are_refused(message):
    with pytest.raises(ValueError, match=message):
        profile(**CONTRADICTIONS[message])


MISFITS = {
    "makes 2 features": {"chunk_ms": 320},
    "100 positions": {"encoder": StreamingEncoderProfile(8, 101, -7.0)},
    "speech begins at id 64": {
        "text_vocabulary": 65,
        "tokens": structs.replace(
            profile().tokens,
            **{
                name: Token(70 + n, name)
                for n, name in enumerate(("think", "shift", "stop", "text_filler", "speech_filler"))
            },
        ),
    },
    "not the audio placeholder": {
        "tokens": structs.replace(profile().tokens, think=Token(59, "x"))
    },
    "must be below 64": {"tokens": structs.replace(profile().tokens, shift=Token(64, "x"))},
    "which is not text": {"prompt": (64,)},
}


@pytest.mark.parametrize("message", MISFITS)
def test_a_profile_of_another_network_is_refused(message):
    with pytest.raises(NetworkConfigError, match=message):
        profile(**MISFITS[message]).check(config())


BROKEN = {
    "has format 2": lambda values: values.update(format=2),
    r"layout\[1\] must be .*, not 'music'": lambda v: v.update(layout=["user", "music"]),
    "tokens is missing": lambda values: values.pop("tokens"),
    "lead is missing": lambda values: values.pop("lead"),
    "tempo is not a known key": lambda values: values.update(tempo=3),
    "tokens.break.id must be": lambda values: values["tokens"]["break"].update(id=-1),
    "text.temperature must be": lambda v: v["sampling"]["text"].update(temperature=-1),
    "top_k is missing": lambda values: values["sampling"]["text"].pop("top_k"),
    "encoder.look_back must be": lambda values: values["encoder"].update(look_back=-1),
    "lead must be": lambda values: values.update(lead=0.5),
    "prompt must be": lambda values: values.update(prompt="hello"),
    "chunk_ms must be a positive multiple of 20": lambda values: values.update(chunk_ms=150),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_file_is_named(message, tmp_path):
    path = tmp_path / "duplex.json"
    write_profile(profile(), tmp_path)
    values = json.loads(path.read_text())
    BROKEN[message](values)
    path.write_text(json.dumps(values))
    with pytest.raises(NetworkConfigError, match=message) as error:
        read_profile(tmp_path)
    assert str(path) in str(error.value)
    assert "restore the duplex.json" in str(error.value)
