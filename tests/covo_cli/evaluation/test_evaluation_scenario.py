"""Scenarios: what is refused, what comes back from disk, and what the built sets consist of."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from covo_cli.evaluation import EVERYDAY, Kind, SetName
from covo_cli.evaluation.scenarios.mix import JUDGED, MIXES, NORMAL_DB
from covo_cli.evaluation.scenarios.scenario import (
    FILE,
    EvaluationError,
    Noise,
    NoiseKind,
    Role,
    Scenario,
    ScenarioSet,
    ScriptLine,
    SoundSource,
    read_set,
    to_json,
    write_set,
)
from covo_cli.evaluation.scenarios.sets import make_set
from covo_cli.evaluation.scenarios.vocal import cough, laughter
from covo_cli.simulation.scripted_user import Start, StartRule
from model.hearing.identity.profile import CamPlusPlusEmbedder
from voices.library import library_voiceprints
from voices.store import BUILTIN, VoiceStore

AT_ONCE = Start(StartRule.AT, 0.0)
LATER = Start(StartRule.AFTER_LINE, 1.0)


def line(role: Role = Role.TURN, start: Start = AT_ONCE, text: str = "Hello.") -> ScriptLine:
    return ScriptLine(role, start, text, voice="heart")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Scenario("a b", Kind.TURN, (line(),)), "not a name"),
        (lambda: Scenario("x", Kind.SILENCE), "duration"),
        (lambda: Scenario("x", Kind.TURN, (line(start=LATER),)), "before the first"),
        (lambda: Scenario("x", Kind.PAUSE, (line(Role.UNFINISHED),)), "unfinished"),
        (lambda: Scenario("x", Kind.TURN, (line(Role.CORRECTED), line(start=LATER))), "correction"),
        (lambda: Scenario("x", Kind.TURN, (line(), line(Role.BACKCHANNEL, LATER))), "during"),
        (lambda: ScriptLine(Role.TURN, AT_ONCE, "", voice="heart"), "needs a voice and a text"),
        (lambda: ScriptLine(Role.TURN, AT_ONCE, source=SoundSource.FILE), "file"),
        (lambda: ScriptLine(Role.TURN, AT_ONCE, "x", voice="y", level=3.0), "-60 to -3"),
        (lambda: Noise(NoiseKind.PINK, 90.0, 1), "-10 to 60"),
        (lambda: ScenarioSet("s", "", ()), "no scenario"),
        (
            lambda: ScenarioSet("s", "", (Scenario("x", Kind.TURN, (line(),)),) * 2),
            "two scenarios are called x",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, problem):
    with pytest.raises(ValueError, match=problem):
        make()


def test_a_set_comes_back_from_disk_as_it_was(tmp_path):
    scenarios = make_set(SetName.SMALL)
    write_set(tmp_path, scenarios)
    assert read_set(tmp_path) == scenarios


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda record: record.update(surprise=1), "surprise"),
        (lambda record: record["scenarios"][0].update(kind="quarrel"), "kind"),
        (lambda record: record["scenarios"][0]["lines"][0].update(level=7), "-60 to -3"),
        (lambda record: record.update(format=2), "format 2"),
    ],
)
def test_a_broken_file_is_told_with_its_place(tmp_path, change, problem):
    write_set(tmp_path, make_set(SetName.SMALL))
    record = json.loads((tmp_path / FILE).read_text())
    change(record)
    (tmp_path / FILE).write_text(json.dumps(record))
    with pytest.raises(EvaluationError, match=problem):
        read_set(tmp_path)


def test_a_folder_without_a_set_says_how_to_get_one(tmp_path):
    with pytest.raises(EvaluationError, match="covo eval build"):
        read_set(tmp_path)


def test_the_standard_set_has_every_kind_and_at_least_200_scenarios():
    standard = make_set(SetName.STANDARD)
    kinds = Counter(scenario.kind for scenario in standard.scenarios)
    assert len(standard.scenarios) >= 200
    assert set(kinds) == set(Kind) - {Kind.LISTENING}  # that one is for recordings
    gaps = {s.lines[1].start.seconds for s in standard.scenarios if s.kind is Kind.PAUSE}
    assert (min(gaps), max(gaps)) == (0.3, 2.5)
    assert make_set(SetName.STANDARD) == standard


def test_the_everyday_kinds_leave_the_others_as_they_were():
    """Published figures are about these scenarios."""
    others = [s for s in make_set(SetName.STANDARD).scenarios if s.kind not in EVERYDAY]
    assert hashlib.sha256(to_json(others).encode()).hexdigest()[:16] == "5c7ad627ec731023"


@pytest.mark.parametrize(("name", "least"), [(SetName.STANDARD, 40), (SetName.TUNING, 20)])
def test_each_everyday_kind_has_enough_cases(name, least):
    scenarios = make_set(name).scenarios
    kinds = Counter(scenario.kind for scenario in scenarios)
    assert min(kinds[kind] for kind in EVERYDAY - {Kind.BYSTANDER}) >= least
    beside = [ln for s in scenarios if s.kind is Kind.BYSTANDER for ln in s.lines]
    rules = Counter(ln.start.rule for ln in beside if ln.role is Role.SIDE_TALK)
    assert rules[StartRule.AFTER_REPLY] >= least
    assert rules[StartRule.DURING_REPLY] >= least
    texts = Counter(
        ln.text
        for s in scenarios
        if s.kind in EVERYDAY - {Kind.BYSTANDER, Kind.SPELLING}
        for ln in s.lines
    )
    assert set(texts.values()) == {1}


def test_stories_pause_between_sentences_and_spelling_inside_one():
    for name in SetName:
        for scenario in make_set(name).scenarios:
            ends = {ln.text[-1] in ".?!" for ln in scenario.lines if ln.role is Role.UNFINISHED}
            if scenario.kind in (Kind.STORY, Kind.SPELLING):
                assert ends == {scenario.kind is Kind.STORY}, scenario.id


def test_the_pauses_of_stories_and_spelling_are_spread_and_held_out():
    def lengths(name: SetName, kind: Kind) -> Counter[float]:
        of = [s for s in make_set(name).scenarios if s.kind is kind]
        return Counter(ln.start.seconds for s in of for ln in s.lines[1:])

    for kind, shortest in ((Kind.STORY, 0.4), (Kind.SPELLING, 0.5)):
        standard, tuning = lengths(SetName.STANDARD, kind), lengths(SetName.TUNING, kind)
        assert not standard.keys() & tuning.keys()
        assert (min(standard), max(standard)) == (shortest, 1.2)
        assert max(standard.values()) - min(standard.values()) <= 1


def test_a_bystander_is_as_loud_as_the_user_and_comes_after_4_s_of_the_users_speech():
    for name in (SetName.STANDARD, SetName.TUNING):
        talks = [s for s in make_set(name).scenarios if s.kind is Kind.BYSTANDER]
        pairs = {(s.lines[0].voice, other.voice) for s in talks for other in _others(s)}
        assert all(user != other for user, other in pairs)
        assert len({other for _, other in pairs}) == 3
        for scenario in talks:
            assert {ln.level for ln in scenario.lines} == {NORMAL_DB}
            assert len(scenario.lines[0].text.split()) >= 16
            assert scenario.lines[0].role is Role.TURN


OTHERS = (Role.SIDE_TALK, Role.COMMAND)


def _others(scenario: Scenario) -> list[ScriptLine]:
    return [ln for ln in scenario.lines if ln.role in OTHERS]


def test_what_is_tuned_on_is_not_in_the_standard_set():
    standard, tuning = make_set(SetName.STANDARD), make_set(SetName.TUNING)
    for of in (_users, _texts, _seeds):
        assert not of(standard) & of(tuning), of
    assert _users(standard) == set(MIXES[SetName.STANDARD].voices) == {"george", "bella"}
    assert not _users(standard) & {ln.voice for s in tuning.scenarios for ln in s.lines}


def test_voices_that_are_measured_are_unknown_to_what_tells_voices_apart():
    sets = (make_set(SetName.STANDARD), make_set(SetName.TUNING))
    voices = {ln.voice for one in sets for s in one.scenarios for ln in s.lines if ln.voice}
    assert voices == JUDGED
    known = [
        one
        for name, one in library_voiceprints(BUILTIN).items()
        if name not in JUDGED and VoiceStore().get(name).language.startswith(("en", "zh"))
    ]
    middle = CamPlusPlusEmbedder(Path("not read")).middle
    assert np.allclose(middle, np.mean(known, axis=0), atol=1e-3)
    assert 0.3 < np.linalg.norm(middle) < 0.7


def test_the_chinese_sets_have_enough_cases_and_share_nothing():
    sets = [make_set(SetName.CHINESE), make_set(SetName.CHINESE_TUNING)]
    for scenarios in sets:
        kinds = Counter(scenario.kind for scenario in scenarios.scenarios)
        assert kinds[Kind.TURN] >= 30
        assert kinds[Kind.PAUSE] >= 30
        assert min(kinds[Kind.BACKCHANNEL], kinds[Kind.INTERRUPTION]) >= 15
        assert scenarios.language == "zh"
        gaps = {s.lines[1].start.seconds for s in scenarios.scenarios if s.kind is Kind.PAUSE}
        assert 0.3 <= min(gaps) < max(gaps) <= 1.2
        for name in _users(scenarios):
            assert VoiceStore().get(name).language == "zh-CN"
    for of in (_users, _texts):
        assert not of(sets[0]) & of(sets[1]), of


def _users(scenarios: ScenarioSet) -> set[str]:
    """The voices of all but bystanders."""
    lines = [ln for s in scenarios.scenarios for ln in s.lines]
    return {ln.voice for ln in lines if ln.voice and ln.role not in OTHERS}


def _texts(scenarios: ScenarioSet) -> set[str]:
    """All but the few words that everybody says while listening."""
    lines = [ln for s in scenarios.scenarios for ln in s.lines]
    return {ln.text for ln in lines if ln.text and ln.role is not Role.BACKCHANNEL}


def _seeds(scenarios: ScenarioSet) -> set[int]:
    found = {s.noise.seed for s in scenarios.scenarios if s.noise}
    found |= {s.echo.seed for s in scenarios.scenarios if s.echo}
    return found | {ln.seed for s in scenarios.scenarios for ln in s.lines if ln.seed}


@pytest.mark.parametrize(
    ("make", "shortest", "longest"), [(cough, 0.15, 1.0), (laughter, 0.6, 1.5)]
)
def test_laughter_and_coughs_have_their_length_and_differ_by_seed(make, shortest, longest):
    sounds = [make(seed) for seed in range(8)]
    for sound in sounds:
        assert shortest <= len(sound) / 16_000 <= longest
        assert np.max(np.abs(sound)) == pytest.approx(1.0)
    assert len({len(sound) for sound in sounds}) > 4
    np.testing.assert_array_equal(make(3), sounds[3])


def test_laughter_comes_in_bursts_about_five_times_a_second():
    sound = laughter(1)
    power = np.convolve(sound**2, np.ones(320) / 320, "same")[::160]
    loud = power > 0.05 * power.max()
    bursts = np.count_nonzero(np.diff(loud.astype(int)) == 1) + int(loud[0])
    assert 3.5 <= bursts / (len(sound) / 16_000) <= 7
