"""The duplex profile: what is written is read, and what cannot be is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from model.duplex.protocol.profile import (
    ContextProfile,
    Sampling,
    SamplingProfile,
    Slot,
    StreamingEncoderProfile,
    Token,
    default_profile,
)
from model.duplex.protocol.profile_file import read_profile, write_profile
from model.errors import NetworkConfigError
from tests.model.duplex.duplex_profiles import PROFILES, config, profile


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_read_as_it_was_written(name, tmp_path):
    written, stages = PROFILES[name]
    written = replace(written, sampling=SamplingProfile(speech=Sampling(0.7, 3)))
    write_profile(written, tmp_path / "duplex.json")
    assert read_profile(tmp_path / "duplex.json") == written
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
    "multiple of 20 ms": {"chunk_ms": 150},
    "no speech slot": {"layout": (Slot.USER, Slot.TEXT)},
    "before the speech": {"layout": (Slot.USER, Slot.SPEECH, Slot.TEXT)},
    "something to follow": {"layout": (Slot.TEXT, Slot.SPEECH, Slot.USER), "prompt": ()},
    "evenly": {"layout": (*[Slot.USER] * 3, Slot.TEXT, Slot.SPEECH)},
    "evict": {"context": ContextProfile(window=100, evict=98)},
    "negative": {"encoder": StreamingEncoderProfile(-1, 80)},
    "same id": {"tokens": replace(profile().tokens, think=profile().tokens.shift)},
    "is text": {"tokens": replace(profile().tokens, think=Token(39, "<think>"))},
}


@pytest.mark.parametrize("message", CONTRADICTIONS)
def test_contradictions_are_refused(message):
    with pytest.raises(NetworkConfigError, match=message):
        profile(**CONTRADICTIONS[message])


MISFITS = {
    "makes 2 features": {"chunk_ms": 320},
    "100 positions": {"encoder": StreamingEncoderProfile(8, 101)},
    "speech begins at id 64": {
        "text_vocabulary": 65,
        "tokens": replace(
            profile().tokens,
            **{
                name: Token(70 + n, name)
                for n, name in enumerate(("think", "shift", "stop", "text_filler", "speech_filler"))
            },
        ),
    },
    "not the audio placeholder": {"tokens": replace(profile().tokens, think=Token(59, "x"))},
    "must be below 64": {"tokens": replace(profile().tokens, shift=Token(64, "x"))},
    "which is not text": {"prompt": (64,)},
}


@pytest.mark.parametrize("message", MISFITS)
def test_a_profile_of_another_network_is_refused(message):
    with pytest.raises(NetworkConfigError, match=message):
        profile(**MISFITS[message]).check(config())


BROKEN = {
    "format is 2": lambda values: values.update(format=2),
    "layout cannot be 'music'": lambda values: values.update(layout=["user", "music"]),
    "tokens is missing": lambda values: values.pop("tokens"),
    "break: id is -1": lambda values: values["tokens"]["break"].update(id=-1),
    "temperature is -1": lambda values: values["sampling"]["text"].update(temperature=-1),
    "lead is 0.5": lambda values: values.update(lead=0.5),
    "prompt is": lambda values: values.update(prompt="hello"),
    "multiple of 20 ms": lambda values: values.update(chunk_ms=150),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_file_is_named(message, tmp_path):
    path = tmp_path / "duplex.json"
    write_profile(profile(), path)
    values = json.loads(path.read_text())
    BROKEN[message](values)
    path.write_text(json.dumps(values))
    with pytest.raises(NetworkConfigError, match=message) as error:
        read_profile(path)
    assert str(path) in str(error.value)
