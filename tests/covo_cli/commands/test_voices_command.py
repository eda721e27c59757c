"""``covo voices`` as it is typed. Speaking itself is tested with the weights."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from audio_io.clock import ASSISTANT_RATE
from audio_io.ends import DeviceStatus
from audio_io.signal import Position
from covo_cli.app import app
from covo_cli.commands.voices import complete_voice
from covo_cli.engines.engines import EngineChoice, voices_to_choose
from covo_cli.errors import CliError
from covo_cli.settings.settings import Settings, load_settings
from covo_cli.voices.making import make_library
from covo_cli.voices.measuring import Measured
from covo_cli.voices.sheet import PAGE, render_sheet
from model.errors import SynthesizerError, WeightsError
from model.lite.text import mandarin
from tests.covo_cli.serve.browser import browsing
from tests.fakes.lite import FakeSynthesizer
from tests.fakes.voices import COVO, LITE, make_pack
from voices.errors import VoiceError
from voices.pack import VoiceFigures, VoicePack
from voices.store import VoiceStore

runner = CliRunner()
pytestmark = pytest.mark.usefixtures("home")


def run(*words: str) -> str:
    result = runner.invoke(app, ["voices", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def chosen(listing: str) -> list[str]:
    words = [line.split() for line in listing.splitlines() if line.strip()]
    return [line[1] for line in words if line[0] == "→" and line[1] != "is"]


def test_list_marks_the_voice_in_use_and_shows_cost_and_engines() -> None:
    listing = run("list")
    assert chosen(listing) == ["heart"]
    emma = next(line for line in listing.splitlines() if " emma " in line)
    assert "natural: 0.56x" in emma
    assert "lite" in emma
    run("use", "emma")
    assert chosen(run("list")) == ["emma"]


def test_voices_of_another_language_are_listed_and_not_switched_to(home: Path) -> None:
    xiaoxiao = next(line for line in run("list").splitlines() if " xiaoxiao " in line)
    assert "zh-CN" in xiaoxiao
    lite = EngineChoice("lite", "a test")
    english = voices_to_choose(load_settings(), lite)
    assert len(english) == 28
    assert {"heart", "george"} < set(english)
    chinese = voices_to_choose(load_settings({"voice.name": "xiaoxiao"}), lite)
    assert len(chinese) == 8
    assert not set(chinese) & set(english)


def test_a_chinese_voice_without_its_package_says_what_to_install(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mandarin, "find_spec", lambda name: None)
    result = runner.invoke(app, ["voices", "preview", "xiaoxiao", "--output", str(home / "x.wav")])
    assert isinstance(result.exception, SynthesizerError)
    assert str(result.exception).endswith("pip install 'covo[chinese]'")


def test_list_as_json_tells_of_broken_packs_too(home: Path) -> None:
    make_pack(home / "data" / "voices", "anna", parts=COVO)
    (home / "data" / "voices" / "wreck").mkdir()
    listed = json.loads(run("list", "--json"))
    voices = {voice["name"]: voice for voice in listed["voices"]}
    assert voices["anna"]["engines"] == ["covo"]
    assert voices["heart"]["chosen"] is True
    assert [broken["name"] for broken in listed["broken"]] == ["wreck"]
    assert "the voice wreck is broken" in run("list")


def test_list_of_a_language_or_of_like_voices(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pack(home / "data" / "voices", "anna", parts=COVO)

    def names(*words: str) -> list[str]:
        return [voice["name"] for voice in json.loads(run("list", *words, "--json"))["voices"]]

    assert (len(names("--language", "en")), len(names("--language", "en-gb"))) == (29, 8)
    with pytest.raises(CliError, match="no voice speaks fr; there are en-GB, en-US, es, zh"):
        run("list", "--language", "fr")
    alike = names("--language", "zh", "--like", "george")
    assert len(alike) == 8
    voices = json.loads(run("list", "--like", "george", "--json"))["voices"]
    found = [voice["likeness"] for voice in voices]
    assert voices[0]["name"] == "george"
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(1.0, abs=1e-3)
    assert -1 < found[-1] < found[1] < 0.99
    monkeypatch.setenv("COLUMNS", "80")
    for words in ((), ("--like", "george")):
        listing = run("list", *words)
        george = next(line for line in listing.splitlines() if " george " in line)
        assert "man, 140 Hz, 2.1 kHz, 10.5/s" in george
        assert ("alike" in listing) == bool(words)
    result = runner.invoke(app, ["voices", "list", "--like", "anna"])
    assert isinstance(result.exception, VoiceError)
    assert "anna has not been measured" in str(result.exception)


def test_only_the_known_archive_is_measured(home: Path) -> None:
    def measure(*_: object) -> Measured:
        raise AssertionError("it was measured")

    (home / "other.tgz").write_bytes(b"another package")
    (home / "library").mkdir()
    with pytest.raises(CliError, match=r"other\.tgz is not kokoro-js 1\.2\.1: fetch it with"):
        make_library(home / "other.tgz", home / "library", measure, print)
    with pytest.raises(CliError, match="cannot read"):
        make_library(home / "missing.tgz", home / "library", measure, print)
    assert list((home / "library").iterdir()) == []


def test_the_mean_voice_of_the_library_knows_no_judged_voice(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two are judged, and one speaks a language that the speaker network has not learnt.
    styles = ("af_alloy", "af_bella", "am_adam", "am_santa", "bm_george", "em_santa")
    voiceprints = dict(zip(styles, np.eye(6, dtype=np.float32), strict=True))
    package = home / "package.tgz"
    with tarfile.open(package, "w:gz") as archive:
        for name in styles:
            archive.addfile(tarfile.TarInfo(f"package/voices/{name}.bin"))
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    monkeypatch.setattr("covo_cli.voices.making.PACKAGE_SHA256", digest)

    def measure(synthesizer: str, style: Path, language: str) -> Measured:
        return Measured(VoiceFigures(200.0, 2000.0, 11.0), -20.0, voiceprints[style.stem])

    make_library(package, home, measure, print)
    assert np.load(home / "embeddings.npy").tolist() == np.eye(6).tolist()
    third = pytest.approx(1 / 3)
    assert np.load(home / "middle.npy").tolist() == [third, 0.0, third, third, 0.0, 0.0]
    table = (home / "library.toml").read_text()
    assert re.findall('name = "(.+)"', table)[3:] == ["santa", "george", "santa-es"]


def test_show() -> None:
    shown = run("show", "michael")
    assert "Kokoro-82M by hexgrad" in shown
    assert json.loads(run("show", "michael", "--json"))["language"] == "en-US"


def test_use_remembers_only_a_voice_that_is_there(home: Path) -> None:
    result = runner.invoke(app, ["voices", "use", "emmma"])
    assert isinstance(result.exception, VoiceError)
    assert not (home / "config.toml").exists()
    run("use", "emma")
    assert (home / "config.toml").read_text() == '[voice]\nname = "emma"\n'


def test_a_voice_is_used_by_the_engines_that_it_serves(home: Path) -> None:
    for name, parts in (("anna", COVO), ("otto", LITE + COVO)):
        make_pack(home / "data" / "voices", name, parts=parts)
    run("use", "anna")
    assert (home / "config.toml").read_text() == '[covo]\nvoice = "anna"\n'
    assert sorted(chosen(run("list"))) == ["anna", "heart"]
    assert "choose another" in run("remove", "anna", "--yes")
    run("use", "otto")
    assert chosen(run("list")) == ["otto"]


def test_add_and_remove(home: Path) -> None:
    folder = make_pack(home / "new", "anna")
    described = (folder / "voice.toml").read_text(encoding="utf-8")
    described = described.replace("CC0-1.0", r"\u001b[2JCC0\n1.0")
    (folder / "voice.toml").write_text(described, encoding="utf-8")
    assert run("add", str(folder)) == "Added anna (for lite, covo; licence: [2JCC0 1.0)\n"
    asked = runner.invoke(app, ["voices", "add", str(folder)], input="n\n")
    assert "Replace the voice anna?" in asked.output
    assert asked.exit_code == 1
    for command in (["add", str(folder)], ["remove", "anna"]):
        unanswered = runner.invoke(app, ["voices", *command])
        assert str(unanswered.exception) == "cannot prompt: not a terminal; pass --yes"
    run("add", str(folder), "--yes")
    run("use", "anna")
    result = runner.invoke(app, ["voices", "remove", "anna"], input="n\n")
    assert result.exit_code == 1
    assert (home / "data" / "voices" / "anna").exists()
    assert "choose another" in run("remove", "anna", "--yes")
    assert not (home / "data" / "voices" / "anna").exists()


def test_nobody_is_asked_about_a_voice_that_cannot_be_removed(home: Path) -> None:
    for name, why in (("george", "built-in"), ("nobody", "no voice 'nobody'")):
        result = runner.invoke(app, ["voices", "remove", name], input="y\n")
        assert isinstance(result.exception, VoiceError)
        assert why in str(result.exception)
        assert not result.output


def test_preview_without_weights_says_how_to_get_them(home: Path) -> None:
    output = home / "out.wav"
    words = ["voices", "preview", "emma", "--output", str(output)]
    result = runner.invoke(app, words)
    assert isinstance(result.exception, WeightsError)
    assert "covo models pull lite" in str(result.exception)
    assert not output.exists()


class InstantSpeaker:
    """A speaker that has played what it is given at once."""

    made: InstantSpeaker

    def __init__(self, device: str) -> None:
        self.device = device
        self.sound = np.zeros(0, np.float32)
        self.state = "new"
        InstantSpeaker.made = self

    def start(self) -> None:
        self.state = "started"

    def play(self, reply: int, samples: np.ndarray) -> None:
        assert self.state == "started"
        self.sound = np.concatenate([self.sound, samples])

    def tick(self) -> np.ndarray:
        return np.zeros(480, np.float32)

    @property
    def played(self) -> Position:
        return Position(0, len(self.sound))

    @property
    def status(self) -> DeviceStatus:
        return DeviceStatus(self.device)

    def close(self) -> None:
        self.state = "closed"


def test_preview_plays_all_of_it_on_the_chosen_speaker(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = np.sin(np.arange(30_000, dtype=np.float32) / 10) / 2
    said = []

    def speaker(settings: Settings) -> Callable[[VoicePack, str], np.ndarray]:
        def speak(pack: VoicePack, text: str) -> np.ndarray:
            said.append((pack.name, text, settings.voice.pitch))
            return sound

        return speak

    monkeypatch.setattr("covo_cli.commands.voices.speaking._speaker", speaker)
    monkeypatch.setattr("audio_io.live.speaker.LiveSpeaker", InstantSpeaker)
    monkeypatch.setenv("COVO_AUDIO_OUTPUT", "headphones")
    run("preview", "heart", "--text", "Good evening.", "--pitch", "-1")
    speaker = InstantSpeaker.made
    assert (speaker.device, speaker.state) == ("headphones", "closed")
    np.testing.assert_allclose(speaker.sound, sound, atol=1e-4)
    assert said == [("heart", "Good evening.", -1.0)]


class Silent(FakeSynthesizer):
    """Has nothing to say."""

    def stream(self, text: str) -> Iterator[np.ndarray]:
        return iter(())


def test_preview_of_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.lite.SynthesizerMaker", lambda *_, **__: lambda name: Silent())
    result = runner.invoke(app, ["voices", "preview", "heart", "--text", "..."])
    assert isinstance(result.exception, CliError)
    for words in (
        ("preview",),
        ("preview", "heart", "--all"),
        ("preview", "heart", "--language", "en"),
    ):
        result = runner.invoke(app, ["voices", *words])
        assert isinstance(result.exception, CliError), words


class Greeting(FakeSynthesizer):
    """One that a language's package is missing for cannot speak."""

    def __init__(self, name: str) -> None:
        super().__init__()
        if name == "yunxi":
            raise SynthesizerError("the voice yunxi needs a package")


def test_a_sheet_of_all_voices_plays_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.lite.SynthesizerMaker", lambda *_, **__: Greeting)
    make_pack(home / "data" / "voices", "bob", parts=LITE)
    make_pack(home / "data" / "voices", "otto", parts=COVO)
    sheet = home / "new" / "sheet"
    said = run("preview", "--all", "--language", "en-GB", "--out", str(sheet))
    assert "index.html: 8 voices" in said
    page = (sheet / "index.html").read_text(encoding="utf-8")
    files = {path.name for path in sheet.glob("*.flac")}
    assert len(files) == 8
    assert set(re.findall(r'href="([^"]+)"', page)) == files
    assert page.count("most like") == 8
    assert "<dd>140 Hz</dd>" in page  # george
    assert not re.search(r"""(src|href)=["']?(http|//)""", page)

    # The other voices are rendered where one cannot speak.
    words = ["voices", "preview", "--all", "--language", "zh", "--out", str(home / "zh")]
    result = runner.invoke(app, words)
    assert result.exit_code == 1
    assert "warning: the voice yunxi needs a package" in result.output
    assert "index.html: 7 voices" in result.output
    assert 'data-name="yunxi"' not in (home / "zh" / "index.html").read_text(encoding="utf-8")

    run("preview", "--all", "--language", "en-US", "--out", str(sheet))
    page = (sheet / "index.html").read_text(encoding="utf-8")
    assert 'data-name="bob"' in page  # not measured
    assert "otto" not in page
    (home / "file").touch()
    result = runner.invoke(app, ["voices", "preview", "--all", "--out", str(home / "file")])
    assert isinstance(result.exception, CliError)


def test_the_buttons_of_the_sheet_play_stop_and_take_turns(tmp_path: Path) -> None:
    seconds = {"emma": 20.0, "george": 20.0, "lily": 0.3, "daniel": 1.0}

    def speak(pack: VoicePack) -> np.ndarray:
        times = np.arange(round(seconds[pack.name] * ASSISTANT_RATE)) / ASSISTANT_RATE
        return (0.1 * np.sin(2 * np.pi * 220 * times)).astype(np.float32)

    packs = [VoiceStore().get(name) for name in seconds]
    assert render_sheet(packs, tmp_path, speak, lambda pack: "", pytest.fail) == 4
    (tmp_path / "daniel.flac").unlink()
    marked = "[...document.querySelectorAll('.playing')].map((item) => item.dataset.name).join()"
    with browsing() as page:
        page.do("Page.navigate", url=(tmp_path / PAGE).as_uri())
        page.until("document.readyState === 'complete' && document.querySelector('li')")

        def press(*names: str) -> str:
            clicks = [
                f"document.querySelector('[data-name={name}] button').click()" for name in names
            ]
            return str(page.run(f"{';'.join(clicks)}; {marked}"))

        def plays(name: str) -> None:
            page.until(f"!sound.paused && sound.currentTime > 0.1 && sound.src.includes('{name}.')")
            assert page.run(marked) == name

        assert press("emma") == "emma"
        plays("emma")
        assert press("emma") == ""
        assert page.run("sound.paused")
        assert press("emma", "george") == "george"
        plays("george")
        assert press("lily") == "lily"
        page.until(f"sound.ended && {marked} === ''")
        assert page.messages == []
        assert press("daniel") == "daniel"
        page.until(f"{marked} === ''")  # its file is missing


def test_names_are_completed_and_nothing_is_said_at_the_prompt(home: Path) -> None:
    assert sorted(complete_voice("e")) == ["echo", "emma", "eric"]
    (home / "data").mkdir()
    (home / "data" / "voices").touch()
    assert complete_voice("e") == []
