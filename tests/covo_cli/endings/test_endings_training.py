"""Training the weights of the end of turns: examples, collecting, fitting."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from importlib import resources
from types import SimpleNamespace

import numpy as np
import pytest

from covo_cli.endings import train
from covo_cli.endings.collect import HeardExample, Models, collect, read
from covo_cli.endings.examples import Example, examples
from covo_cli.endings.fit import fit, outcomes
from covo_cli.errors import CliError
from covo_cli.evaluation import SetName
from covo_cli.evaluation.scenarios.chinese import CHINESE
from covo_cli.evaluation.scenarios.mix import MIXES
from covo_cli.settings.settings import Settings
from model.hearing.recognition import Transcript
from model.turns.endings.models import Outlook
from model.turns.phrases import phrases_of
from model.turns.turn_settings import PATIENCE

ENGLISH = phrases_of("en")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_examples_are_always_the_same_and_of_every_kind(language):
    found = examples(language)
    assert found == examples(language)
    assert len(set(found)) == len(found)
    labels = Counter((example.whole, example.over) for example in found)
    assert labels.keys() == {(True, True), (True, False), (False, False)}
    assert min(labels.values()) > 50
    assert 0.1 < sum(example.held_out for example in found) / len(found) < 0.3
    for example in found:
        assert (example.until < 1.0) == (example.kind == "cut")
        assert 0 < example.until <= 1.0


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_example_is_said_in_the_yardstick(language):
    said = {_plain(line) for example in examples(language) for line in example.lines}
    judged = set()
    for file in resources.files("covo_cli.evaluation.scenarios").iterdir():
        if file.name.endswith(".toml"):
            judged |= set(_texts(tomllib.loads(file.read_text("utf-8"))))
    assert judged
    both = {text for text in said & judged if len(text.split()) > 2}
    assert not both


def _texts(value: object):
    if isinstance(value, str):
        yield _plain(value)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


class Voice:
    def stream(self, text: str):
        noise = np.random.default_rng(len(text)).normal(0, 0.1, 400 * len(text))
        yield noise.astype(np.float32)


class Ear:
    """A recogniser and an end-of-turn model that note how much they hear."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def transcribe(self, audio, cancelled=None):
        self.lengths.append(len(audio))
        return Transcript("Hello there.", "en")

    def probability(self, audio):
        assert len(audio) == self.lengths[-1]
        return 0.5


class Reader:
    def __init__(self) -> None:
        self.read: list[tuple[str, str]] = []

    def outlook(self, words: str, before: str) -> Outlook:
        self.read.append((words, before))
        return Outlook(-1.0, -2.0, -3.0, -4.0)


def test_collecting_says_each_example_once_and_goes_on_where_it_stopped(tmp_path):
    text = "A sentence that is said as a whole."
    whole = Example("statements", (text,), True, True, "Why?")
    cut = Example("cut", (text,), False, False, until=0.5)
    story = Example("stories", (text, text), True, True)
    ear, reader = Ear(), Reader()
    models = Models({"voice": Voice()}, ["voice"], ear, ear, reader)
    path = tmp_path / "heard.jsonl"
    list(collect([whole, cut], models, path))
    again = list(collect([whole, story, cut], models, path))
    assert [heard.example for heard in again] == [whole, story, cut]
    assert len(ear.lengths) == 3
    assert ear.lengths[1] < 0.8 * ear.lengths[0]
    assert reader.read == [
        *(("Hello there.", "Why?"), (text, "Why?")),
        ("Hello there.", ""),
        *(("Hello there.", ""), (f"{text} {text}", "")),
    ]
    assert {heard.example for heard in read(path)} == {whole, cut, story}


def made_up(seed: int, count: int = 400) -> list[HeardExample]:
    """Endings whose outlook and sound tell what they are, but for a tenth."""
    dice = np.random.default_rng(seed)
    found = []
    for number in range(count):
        label = int(dice.integers(3))
        whole, over = label > 0, label == 2
        clear = dice.random() > 0.1
        outlook = Outlook(
            ends=-1.0 if whole == clear else -7.0,
            pauses=-3.0,
            goes_on=-2.0,
            closes=-0.3 if over == clear else -3.0,
        )
        example = Example(f"kind {label}", (f"Sentence {number}.",), whole, over)
        sound = 0.9 if whole else 0.4
        found.append(HeardExample(example, "voice", "Some words.", sound, outlook))
    return found


def test_a_voice_of_another_language_is_refused(tmp_path, monkeypatch):
    voices = {"heart": SimpleNamespace(language="en")}
    models = Models(voices, ("heart",), None, None, None)
    monkeypatch.setattr(train, "_models", lambda *_: models)
    heard = tmp_path / "heard.jsonl"
    with pytest.raises(CliError, match="the voice heart speaks 'en', not 'zh'"):
        train.train(Settings(), "zh", ("heart",), heard, lambda steps, _: steps)
    assert not heard.exists()


@pytest.mark.parametrize("judged", [SetName.STANDARD, SetName.CHINESE])
def test_no_voice_of_the_examples_is_a_user_of_a_judged_set(judged):
    said = {voice for voices in train.VOICES.values() for voice in voices}
    assert not said & set({**MIXES, **CHINESE}[judged].voices)


def test_fitting_finds_what_tells():
    heard = made_up(1)
    weights = fit(heard, ENGLISH)
    with_outlook = weights.with_outlook
    assert with_outlook.whole.weights["ends"] > 0.2
    assert with_outlook.over.weights["closes"] > 0.2
    by_kind = {one.kind: one for one in outcomes(heard, ENGLISH, with_outlook, PATIENCE["normal"])}
    assert by_kind["kind 0"].broken.value > 0.7
    assert by_kind["kind 2"].broken.value < 0.3
    assert by_kind["kind 2"].waits[1] < by_kind["kind 1"].waits[1] < by_kind["kind 0"].waits[1]
    assert all(one.broken.n > 10 for one in by_kind.values())


def test_without_a_language_model_the_rest_is_weighed():
    heard = [HeardExample(one.example, one.voice, one.words, one.sound, None) for one in made_up(2)]
    weights = fit(heard, ENGLISH)
    assert weights.with_outlook is None
    assert weights.without_outlook.whole.weights["sound"] > 0.2
    assert "ends" not in weights.without_outlook.whole.weights


def test_what_was_not_understood_is_left_out():
    heard = made_up(3)
    lost = [HeardExample(one.example, one.voice, "", one.sound, one.outlook) for one in heard]
    assert fit(heard + lost, ENGLISH) == fit(heard, ENGLISH)
