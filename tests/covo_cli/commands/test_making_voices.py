"""``covo voices blend`` and ``export`` as they are typed, with made-up measurements."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.engines.engines import EngineChoice, check_heeded
from covo_cli.engines.small_models import voice_tuning
from covo_cli.errors import CliError, SettingsError
from covo_cli.settings.settings import load_settings
from covo_cli.voices import new_voices
from covo_cli.voices.measuring import Measured
from covo_cli.voices.new_voices import MeasureVoice
from tests.fakes.voices import COVO, LITE, make_pack
from voices.errors import VoiceError
from voices.lite_data import STATISTICS_SIZE
from voices.pack import LiteVoice, VoiceFigures
from voices.tuning import VoiceTuning

runner = CliRunner()
pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, LiteVoice, str]]:
    """What was measured; every voice sounds the same."""
    asked: list[tuple[str, LiteVoice, str]] = []

    def measure(name: str, voice: LiteVoice, language: str) -> Measured:
        asked.append((name, voice, language))
        figures = VoiceFigures(151.0, 2100, 11.4)
        embedding = np.full(192, 192**-0.5, np.float32)
        statistics = None
        if voice.synthesizer == "kokoro":
            statistics = np.ones((2, 1 + STATISTICS_SIZE), np.float16)
            statistics[:, 0] = 6, 70
        return Measured(figures, -22.5, embedding, statistics)

    def measurer(*_: object) -> MeasureVoice:
        return measure

    monkeypatch.setattr(new_voices, "measurer", measurer)
    return asked


def run(*words: str, say: str = "") -> str:
    result = runner.invoke(app, ["voices", *words], input=say, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words: str, say: str = "") -> str:
    result = runner.invoke(app, ["voices", *words], input=say)
    assert result.exit_code != 0, result.output
    assert "\n" not in str(result.exception)
    known = isinstance(result.exception, (VoiceError, CliError))
    return str(result.exception) if known else result.output


def test_a_blend_is_measured_and_listed_like_a_built_in_voice(
    home: Path, measured: list[tuple[str, LiteVoice, str]]
) -> None:
    said = run("blend", "heart:0.7", "george:0.3", "--name", "mine")
    assert "Saved mine: voice, 151 Hz, 2.1 kHz, 11.4/s (for lite; licence: Apache-2.0)" in said
    assert [(name, language) for name, _, language in measured] == [("mine", "en-US")]
    shown = json.loads(run("show", "mine", "--json"))
    assert (shown["pitch"], shown["cost"]) == (151.0, "natural: 0.56x real time")
    assert shown["source"].startswith("blend of heart 70%, george 30%")
    assert "voice, 151 Hz" in run("list", "--like", "mine")
    folder = home / "data" / "voices"
    assert "level = -22.5" in (folder / "mine" / "voice.toml").read_text(encoding="utf-8")
    assert sorted(path.name for path in (folder / "mine").iterdir()) == [
        *("style.bin", "style.statistics.npy", "voice.toml", "voiceprint.npy"),
    ]
    run("use", "mine")
    run("export", "mine", str(home))
    run("remove", "mine", "--yes")
    assert list(folder.iterdir()) == []
    assert "Added mine" in run("add", str(home / "mine"))
    assert (folder / "mine" / "style.statistics.npy").exists()


def test_a_blend_has_the_wanted_accent_and_asks_before_it_replaces(
    home: Path, measured: list[tuple[str, LiteVoice, str]]
) -> None:
    blend = ("blend", "heart", "bella", "--name", "mine")
    run(*blend)
    refused(*blend, say="n\n")
    assert len(measured) == 1
    run(*blend, "--language", "en-gb", say="y\n")
    assert measured[-1][2] == "en-GB"
    run(*blend, "--yes")
    assert measured[-1][2] == "en-US"
    run("blend", "mine", "george", "--name", "mine", "--yes")
    assert "blend of mine 50%, george 50%" in run("show", "mine")


def test_a_tuned_voice_is_another_voice(
    home: Path, measured: list[tuple[str, LiteVoice, str]]
) -> None:
    tune = ("tune", "heart", "--speed", "0.9", "--pitch", "-2", "--loudness", "3")
    assert "Saved slow: woman, 151 Hz" in run(*tune, "--as", "slow")
    assert measured[0][1].tuning == VoiceTuning(0.9, -2, 3)
    shown = run("show", "slow")
    assert "speed 0.9, pitch -2 semitones, loudness +3 dB" in shown
    assert "fast: 0.01x real time" in shown
    run("tune", "slow", "--loudness", "0", "--as", "slow", "--yes")
    assert measured[1][1].tuning == VoiceTuning(0.9, -2, 0)
    make_pack(home / "data" / "voices", "anna", parts=COVO)
    for words, message in (
        (("heart", "--speed", "3", "--as", "a"), "speed must be from 0.5 to 2, not 3"),
        (("gorge", "--as", "a"), "no voice 'gorge'; did you mean george?"),
        (("heart", "--as", "george"), "george is a built-in voice"),
        (("anna", "--pitch", "1", "--as", "a"), "anna cannot be tuned: Covo-Audio's speech has"),
    ):
        assert message in refused("tune", *words)
    assert len(measured) == 2


def test_two_voices_are_compared_by_their_figures(
    home: Path, measured: list[tuple[str, LiteVoice, str]]
) -> None:
    compared = json.loads(run("compare", "heart", "george", "--json"))
    heart, george = compared["voices"]
    assert (heart["name"], george["language"]) == ("heart", "en-GB")
    assert compared["semitones"] == pytest.approx(12 * np.log2(george["pitch"] / heart["pitch"]))
    assert compared["pace_ratio"] == pytest.approx(george["pace"] / heart["pace"])
    assert -1 < compared["likeness"] < 0.5
    assert compared["covo_likeness"] is None
    shown = run("compare", "heart", "george")
    assert f"{compared['semitones']:+.1f} semitones" in shown
    assert f"Alike: {compared['likeness']:.2f}" in shown
    assert "2848 Hz" in shown
    assert measured == []

    for name, parts in (("anna", LITE), ("otto", COVO), ("both", LITE + COVO)):
        make_pack(home / "data" / "voices", name, parts=parts)
    other = json.loads(run("compare", "anna", "both", "--json"))
    assert (other["likeness"], other["semitones"]) == (pytest.approx(1), 0)
    assert [name for name, _, _ in measured] == ["anna", "both"]
    prompts = json.loads(run("compare", "otto", "both", "--json"))
    assert (prompts["covo_likeness"], prompts["likeness"]) == (pytest.approx(1), None)
    assert "Alike for Covo-Audio: 1.00" in run("compare", "otto", "both")
    assert "otto is for covo and heart for lite" in refused("compare", "otto", "heart")


def test_the_arrays_of_covo_are_cropped_and_blended(
    home: Path, measured: list[tuple[str, LiteVoice, str]]
) -> None:
    for name, parts in (("anna", LITE + COVO), ("otto", COVO)):
        make_pack(home / "data" / "voices", name, parts=parts)
    assert "(for covo; licence: CC0-1.0)" in run(
        *("crop", "otto", "--seconds", "0.08", "--as", "short")
    )
    assert "0.08 s" in run("show", "short")
    assert measured == []
    said = run("blend", "otto", "anna", "--name", "mixed")
    assert "Saved mixed: blend of otto 50%, anna 50% (for covo" in said
    assert "warning: otto has no part for the engine lite" in said
    run("blend", "otto", "--prompt-of", "short", "--name", "swapped")
    assert "0.08 s" in run("show", "swapped")
    for words, message in (
        (("crop", "heart", "--seconds", "1", "--as", "a"), "heart cannot be cropped: only voices"),
        (("crop", "otto", "--seconds", "9", "--as", "a"), "a prompt of 0.2 s cannot be cropped"),
        (("blend", "otto", "heart", "--name", "a"), "heart has no arrays for Covo-Audio"),
        (("preview", "otto"), "otto is for Covo-Audio only: hear it with covo chat --engine covo"),
    ):
        assert message in refused(*words)
    assert measured == []


def test_only_lite_takes_speed_and_pitch_from_the_command_line_and_no_server_loudness() -> None:
    settings = load_settings({"voice.speed": 0.9, "voice.pitch": -2})
    assert voice_tuning(settings) == VoiceTuning(0.9, -2)
    check_heeded(settings, EngineChoice("lite", "a test"))
    with pytest.raises(SettingsError, match="--speed has no effect with the engine covo"):
        check_heeded(settings, EngineChoice("covo", "a test"))
    louder = load_settings({"voice.loudness": 3})
    for engine in ("lite", "covo", "covo-fd"):
        check_heeded(louder, EngineChoice(engine, "a test"))
    with pytest.raises(SettingsError, match="--loudness has no effect with the engine realtime"):
        check_heeded(louder, EngineChoice("realtime", "a test"))
    with pytest.raises(SettingsError, match="pitch cannot be 9: it must be a number from -6 to 6"):
        load_settings({"voice.pitch": 9})


def test_bad_input_is_one_line_and_leaves_nothing(home: Path, measured: list[object]) -> None:
    for words, message in (
        (("heart:x", "george", "--name", "a"), "'heart:x' is no part of a blend"),
        (("heart", "gorge", "--name", "a"), "no voice 'gorge'; did you mean george?"),
        (("heart", "yunxi", "--name", "a"), "only voices of one language can be blended"),
        (("heart", "heart", "--name", "a"), "heart is in the blend twice"),
        (("heart", "george", "--name", "emma"), "emma is a built-in voice"),
        (("heart", "george", "--name", "a/b"), "cannot be called 'a/b'"),
        (("heart", "george", "--name", "a", "--language", "fr"), "no voice speaks fr; there are"),
        (("heart", "george", "--name", "a", "--language", "zh-CN"), "cannot speak zh-CN"),
    ):
        assert message in refused("blend", *words)
    assert measured == []
    assert not (home / "data").exists()
    run("export", "emma", str(home))
    assert "is there already" in refused("export", "emma", str(home))
    for words in (("add", str(home / "emma")), ("add", str(home / "emma"), "--name", "george")):
        assert f"`covo voices add {home / 'emma'} --name NAME`" in refused(*words)
    assert "Added mine (for lite" in run("add", str(home / "emma"), "--name", "mine")
    alike = json.loads(run("list", "--like", "emma", "--json"))["voices"]
    assert {voice["name"] for voice in alike[:2]} == {"emma", "mine"}
