"""The recipe: what ``covo fd init`` writes is read, and nothing else is."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch (the covo extra)")

from covo_cli.errors import CliError
from covo_cli.fd.plan import SaidPrompt, language_of, phrases, plan
from covo_cli.fd.recipe import FdRecipe, Size, written_recipe
from covo_cli.fd.records import NEEDS_NEXT
from model.duplex.training.loss import LossWeights
from model.duplex.training.training_config import TrainingSection

TEXT = written_recipe(Size.M, "model", "somebody")


def changed(old: str, new: str) -> str:
    assert TEXT.count(old) == 1
    return TEXT.replace(old, new)


def test_the_sizes():
    sizes = {}
    for size in Size:
        recipe = FdRecipe.read(Path("work"), written_recipe(size, "model", "somebody"))
        sizes[size] = (recipe.questions.count, recipe.dialogues.hours)
        assert (recipe.model.folder, recipe.model.speaker) == ("model", "somebody")
    assert sizes == {"s": (5_000, 50.0), "m": (40_000, 500.0), "l": (150_000, 2_000.0)}


MISTAKES = {
    "music is not a known key": "music = 3\n" + TEXT,
    "timing.pace is not a known key": changed("[sound]", "pace = 1\n[sound]"),
    "timing.filler is missing": changed("filler = 0.30\n", ""),
    "timing.filler must be a number": changed("filler = 0.30", 'filler = "often"'),
    "timing.restart must be .*<= 1": changed("restart = 0.15", "restart = 1.5"),
    "shares of the turns must add up to 1, not 1.1": changed("plain = 0.30", "plain = 0.40"),
    "questions: turns must add up to 1": changed("turns = [0.08", "turns = [0.18"),
    "timing: gap must rise": changed("gap = [0.3, 3.0]", "gap = [3.0, 0.3]"),
    "timing: onset must be below": changed("onset = 0.4", "onset = 4.0"),
    "sound: snr must rise": changed("snr = [0.0, 15.0", "snr = [20.0, 15.0"),
    "emma cannot be held out": changed('held_out_voices = ["michael"', 'held_out_voices = ["emma"'),
    "held_out must be below count": changed("held_out = 400", "held_out = 40000"),
    "duplex_line must be one line with": changed("发音人：{speaker}", "发音人"),
    r"timing.gap\[1\] must be a finite number": changed("gap = [0.3, 3.0]", "gap = [0.3, inf]"),
    r"sound.snr\[0\] must be a finite number": changed("snr = [0.0,", "snr = [nan,"),
    "sound: level must not be above 0 dBFS": changed("level = [-35.0, -15.0]", "level = [-35, 3]"),
    "training.learning_rate must be .* > 0": changed("learning_rate = 5e-5", "learning_rate = -1"),
    "training.adapter_rate must be .* >= 0": changed("adapter_rate = 2e-5", "adapter_rate = -1"),
    "training.clip must be .* > 0": changed("clip = 1.0", "clip = 0"),
    "encoder.seconds_per_piece must be .* >= 1": changed("piece = 30.0", "piece = 0.1"),
    "loss.hard_think must be .* >= 0": changed("hard_think = 1.0", "hard_think = -1.0"),
    "this covo reads format = 1": changed("format = 1", "format = 2"),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_what_does_not_fit_is_refused(message: str):
    with pytest.raises(CliError, match=message) as error:
        FdRecipe.read(Path("work"), MISTAKES[message])
    assert "recipe.toml" in str(error.value)


def test_the_file_names_every_number_of_the_training():
    tables = tomllib.loads(TEXT)
    for name, kind in (("training", TrainingSection), ("loss", LossWeights)):
        assert list(tables[name]) == [field.name for field in fields(kind)]


def test_no_work():
    with pytest.raises(CliError, match="covo fd init"):
        FdRecipe.read(Path("/nowhere"))


LANGUAGES = dict.fromkeys(("emma", "bella", "george", "michael"), "en") | dict.fromkeys(
    ("xiaobei", "xiaoni", "yunjian", "yunxi", "xiaoyi", "yunyang"), "zh"
)


def test_the_plan_keeps_the_shares_and_the_languages():
    recipe = FdRecipe.read(Path("work"), TEXT)
    prompts = [SaidPrompt(text, language_of(text)) for text in (*map(str, range(6_000)), "你好")]
    planned = list(plan(prompts, recipe, LANGUAGES))
    assert planned == list(plan(prompts, recipe, LANGUAGES))
    turns = [turn for one in planned for turn in one.turns]
    assert {turn.prompt for turn in turns} == set(prompts)
    assert len(turns) == len(prompts)
    kinds = Counter(turn.kind for turn in turns)
    for kind, share in recipe.shares.of.items():
        assert kinds[kind] / len(turns) == pytest.approx(share, abs=0.02)
    counts = Counter(len(one.turns) for one in planned)
    assert counts[4] / len(planned) == pytest.approx(0.25, abs=0.03)
    for one in planned:
        assert one.turns[-1].kind not in NEEDS_NEXT
        assert {turn.prompt.language for turn in one.turns} == {LANGUAGES[one.voice]}
        named = recipe.questions.held_out_voices if one.held_out else recipe.questions.voices
        assert one.voice in named
        assert 0.8 <= one.speed <= 1.25
    assert sum(len(one.turns) for one in planned if one.held_out) == 400


def test_recorded_speakers_are_held_out_whole():
    recipe = FdRecipe.read(Path("work"), TEXT)
    prompts = [
        SaidPrompt("", "en", Path(f"{speaker}/{n}.wav"), speaker)
        for speaker in "abcdefghij"
        for n in range(5)
    ]
    planned = list(plan(prompts, recipe, LANGUAGES))
    apart = {turn.prompt.speaker for one in planned if one.held_out for turn in one.turns}
    others = {turn.prompt.speaker for one in planned if not one.held_out for turn in one.turns}
    assert len(apart) == 1
    assert not apart & others
    for one in planned:
        assert len({turn.prompt.speaker for turn in one.turns}) == 1
        assert one.speed == 1.0


def test_every_language_has_phrases():
    for language in ("en", "zh"):
        for texts in phrases(language).values():
            assert len(texts) >= 3
            assert {language_of(text) for text in texts} == {language}
