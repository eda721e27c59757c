"""Runs of scenarios with a fake engine: what they leave, and how they go on when stopped."""

from __future__ import annotations

import ast
import dataclasses
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from audio_io.clock import samples
from audio_io.files import read_audio, write_audio
from covo_cli.app import app
from covo_cli.bench.chain import ChainTime
from covo_cli.bench.read_aloud import ReadAloud
from covo_cli.conversation.consumer import Tick
from covo_cli.engines.engines import turn_settings
from covo_cli.errors import OutputClosed, SettingsError
from covo_cli.evaluation import Kind, RecognizerName
from covo_cli.evaluation.judging.evidence import gather
from covo_cli.evaluation.judging.finding import FindingCheck
from covo_cli.evaluation.judging.judge import judge
from covo_cli.evaluation.reporting.compare import different_decisions
from covo_cli.evaluation.reporting.picture import draw
from covo_cli.evaluation.reporting.report import assess, draw_failures, read_report
from covo_cli.evaluation.running import run as running
from covo_cli.evaluation.running.conversation import read_annotation
from covo_cli.evaluation.running.engines import Evaluated, engine_maker
from covo_cli.evaluation.running.run import (
    CONVERSATIONS,
    Task,
    code_digest,
    discard_run,
    open_run,
    remaining,
    run_all,
)
from covo_cli.evaluation.running.scripted_engine import Oracle, SteadyClock
from covo_cli.evaluation.scenarios.scenario import (
    EvaluationError,
    Noise,
    NoiseKind,
    Role,
    Scenario,
    ScenarioSet,
    ScriptLine,
    SoundSource,
    write_set,
)
from covo_cli.screen.plain import JsonScreen
from covo_cli.sessions.event_log import encode_events
from covo_cli.settings.settings import load_settings
from covo_cli.simulation.scripted_user import Line, ScriptedUser, Start, StartRule
from model.engine import Engine, EngineInfo
from model.errors import ChatError
from model.events import (
    Backchannel,
    PlaybackAction,
    PlaybackControl,
    ReplyFinished,
    ReplyStarted,
)
from model.hearing.recognition import Transcript
from model.jobs.virtual_executor import VirtualExecutor
from model.reply import ReplyAudio, UserTurn
from model.turns.controller import TurnTakingEngine
from tests import ROOT
from tests.fakes.engine import (
    FakeClock,
    FakeGenerator,
    FakeRecognizer,
    LevelDetector,
    silence,
    speech,
)

QUESTION = ScriptLine(Role.TURN, Start(StartRule.AT, 0.5), source=SoundSource.LAUGHTER, seed=1)
"""Laughter needs no voice, and the fake engine takes any sound for speech."""

OVER = ScriptLine(
    Role.INTERRUPTION, Start(StartRule.DURING_REPLY, 1.0), source=SoundSource.LAUGHTER, seed=2
)
SET = ScenarioSet(
    "fakes",
    "for the tests",
    (
        Scenario("turn-0", Kind.TURN, (QUESTION,), listen=1.5),
        Scenario("interruption-0", Kind.INTERRUPTION, (QUESTION, OVER), listen=1.2),
        Scenario("silence-0", Kind.SILENCE, duration=2.0),
    ),
)


def fake_engine(scenario: Scenario, user: ScriptedUser) -> Engine:
    clock = FakeClock()
    generator = FakeGenerator(clock, words=["one", "two", "three", "four", "five", "six"])
    return TurnTakingEngine(
        generator, LevelDetector(), VirtualExecutor(clock), recognizer=FakeRecognizer(clock)
    )


@pytest.fixture
def task(tmp_path, monkeypatch) -> Task:
    write_set(tmp_path / "set", SET)
    monkeypatch.setattr(running, "engine_maker", lambda *args: Evaluated(fake_engine))
    return Task(tmp_path / "set", "fake", RecognizerName.ORACLE, load_settings(), 1)


@pytest.fixture
def out(tmp_path, task) -> Path:
    open_run(task, tmp_path / "run", 1)
    return tmp_path / "run"


def hear_nothing(audio: np.ndarray) -> str:
    return "one two three four"


def test_a_conversation_leaves_both_sides_on_one_clock(task, out):
    run_all(task, out, 1)
    folder = out / CONVERSATIONS / "interruption-0"
    annotation = read_annotation(folder)
    heard, spoken = (read_audio(folder / name, 16_000) for name in ("input.wav", "output.wav"))
    assert len(heard) == len(spoken) == annotation.length
    question, over = annotation.said
    assert question.start == pytest.approx(samples(0.5), abs=200)
    assert np.any(heard[question.start : question.end])
    assert not np.any(heard[question.end + 320 : over.start - 320])
    evidence = gather(folder, hear_nothing, to_all=False)
    first, second = evidence.replies
    assert first.first is not None
    assert first.first + samples(1.0) == pytest.approx(over.start, abs=samples(0.08))
    assert first.interrupted is not None
    assert second.takes_over
    findings = {finding.check: finding for finding in judge(evidence)}
    assert findings[FindingCheck.INTERRUPTION].ok
    # The laugh has gaps, so 0.3 s of sound in it take longer; then it fades out within 10 ms.
    (stop,) = [c.at for c in evidence.of(PlaybackControl) if c.action is PlaybackAction.STOP]
    expected = (stop - over.start) / 16_000
    assert 0.3 < expected < 0.45
    assert findings[FindingCheck.INTERRUPTION].values["stop"] == pytest.approx(expected, abs=0.021)


def test_a_backchannel_is_neither_a_reply_nor_part_of_one(task, out):
    run_all(task, out, 1)
    folder = out / CONVERSATIONS / "silence-0"
    sound = np.concatenate([silence(0.5), speech(0.4), silence(0.1), speech(0.3), silence(0.7)])
    write_audio(folder / "output.wav", sound, 16_000)
    hum = Backchannel(samples(0.5), -2, np.zeros(round(0.4 * 24_000), np.float32), 1, "Mm-hmm.")
    events = [hum, ReplyStarted(samples(0.6), 1, 1), ReplyFinished(samples(1.4), 1, "Yes.")]
    (folder / "events.jsonl").write_text(encode_events(events))
    evidence = gather(folder, hear_nothing, to_all=False)
    (only,) = evidence.replies
    assert (only.first, only.last) == (samples(1.0), samples(1.3))
    assert evidence.audible_seconds(0, samples(2.0)) == pytest.approx(0.3, abs=0.011)


@pytest.mark.parametrize("patience", ["eager", "normal", "patient"])
def test_a_run_records_the_settings_in_force(task, tmp_path, patience):
    settings = load_settings({"turns.patience": patience})
    open_run(replace(task, settings=settings), tmp_path / "run", 1)
    recorded = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["turns"]
    in_force = asdict(turn_settings(settings))
    assert in_force.keys() & recorded.keys() >= {"silence", "silence_statement"}
    for name in in_force.keys() & recorded.keys():
        assert recorded[name] == in_force[name], name


def test_a_scenario_of_a_given_length_lasts_so_long(task, out):
    run_all(task, out, 1)
    assert read_annotation(out / CONVERSATIONS / "silence-0").length == samples(2.0)


def test_a_run_that_was_stopped_goes_on_where_it_was(task, out, monkeypatch):
    made: list[str] = []

    def stopping(scenario: Scenario, user: ScriptedUser) -> Engine:
        if len(made) == 1:
            raise KeyboardInterrupt
        made.append(scenario.id)
        return fake_engine(scenario, user)

    monkeypatch.setattr(running, "engine_maker", lambda *args: Evaluated(stopping))
    with pytest.raises(KeyboardInterrupt):
        run_all(task, out, 1)
    assert made == ["turn-0"]
    assert [scenario.id for scenario in remaining(task, out)] == ["interruption-0", "silence-0"]

    done: list[str] = []
    monkeypatch.setattr(running, "engine_maker", lambda *args: Evaluated(fake_engine))
    run_all(task, out, 1, done.append)
    assert done == ["interruption-0", "silence-0"]
    assert not remaining(task, out)


def test_a_conversation_that_broke_off_is_not_taken_for_a_whole_one(task, out, monkeypatch):
    class Breaking(TurnTakingEngine):
        def process(self, frame):
            if frame.start > samples(1.0):
                raise KeyboardInterrupt
            return super().process(frame)

    def breaking(scenario: Scenario, user: ScriptedUser) -> Engine:
        clock = FakeClock()
        return Breaking(
            FakeGenerator(clock),
            LevelDetector(),
            VirtualExecutor(clock),
            recognizer=FakeRecognizer(clock),
        )

    monkeypatch.setattr(running, "engine_maker", lambda *args: Evaluated(breaking))
    with pytest.raises(KeyboardInterrupt):
        run_all(task, out, 1)
    assert len(remaining(task, out)) == 3
    monkeypatch.setattr(running, "engine_maker", lambda *args: Evaluated(fake_engine))
    run_all(task, out, 1)
    assert sorted(p.name for p in (out / CONVERSATIONS).iterdir()) == [
        "interruption-0",
        "silence-0",
        "turn-0",
    ]


def test_nothing_is_added_to_another_run(task, out):
    assert open_run(task, out, 2).jobs == 1  # the same one goes on
    other = Scenario("turn-0", Kind.TURN, (QUESTION,), noise=Noise(NoiseKind.PINK, 10.0, 1))
    write_set(task.folder, ScenarioSet("fakes", "", (other,)))
    with pytest.raises(EvaluationError, match=r"another run \(set_sha256"):
        open_run(task, out, 1)


def test_a_run_of_some_kinds_holds_only_those_and_is_another_run(task, tmp_path):
    some = replace(task, only=(Kind.SILENCE, Kind.TURN))
    run = open_run(some, tmp_path / "some", 1)
    assert (run.scenarios, run.only) == (2, ("silence", "turn"))
    assert open_run(replace(task, only=(Kind.TURN, Kind.SILENCE)), tmp_path / "some", 1) == run
    run_all(some, tmp_path / "some", 1)
    folders = (tmp_path / "some" / CONVERSATIONS).iterdir()
    assert sorted(folder.name for folder in folders) == ["silence-0", "turn-0"]
    with pytest.raises(EvaluationError, match=r"another run \(only differ"):
        open_run(task, tmp_path / "some", 1)
    with pytest.raises(EvaluationError, match="its kinds are interruption, silence, turn"):
        open_run(replace(task, only=(Kind.STORY,)), tmp_path / "none", 1)


def test_a_run_from_before_kinds_could_be_chosen_is_one_of_all(task, out):
    record = json.loads((out / "run.json").read_text())
    del record["only"]
    (out / "run.json").write_text(json.dumps(record))
    assert open_run(task, out, 1).only == ()


def test_the_command_takes_several_kinds(task, tmp_path):
    command = ["eval", "duplex", str(task.folder), "--out", str(tmp_path / "x"), "--no-pictures"]
    result = CliRunner().invoke(app, [*command, "--only", "silence", "--only", "short end"])
    assert result.exit_code == 0, result.output
    assert "only the kinds short end, silence" in " ".join(result.output.split())
    refused = CliRunner().invoke(app, [*command, "--only", "quarrel"])
    assert refused.exit_code == 2


def test_a_conversation_whose_disk_fails_is_not_taken_for_a_whole_one(task, out, monkeypatch):
    def failing(screen: JsonScreen, tick: Tick) -> None:
        raise OutputClosed("EIO")

    monkeypatch.setattr(JsonScreen, "on_tick", failing)
    with pytest.raises(EvaluationError, match="cannot write"):
        run_all(task, out, 1)
    assert len(remaining(task, out)) == 3


DECIDES_NOTHING = (
    *("covo_cli/errors.py", "covo_cli/bench/figures.py", "covo_cli/bench/words.py"),
    *("covo_cli/process/", "covo_cli/screen/", "covo_cli/sessions/", "covo_cli/settings/"),
    *("covo_cli/evaluation/__init__.py", "covo_cli/evaluation/scenarios/"),
)
"""What holding a conversation imports, but what does not decide its course: files and
screens around it, and scenarios and settings, which a run compares by themselves."""


def imported_by(path: Path) -> set[Path]:
    """Our files that ``path`` imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = (ROOT / f"{name.replace('.', '/')}.py" for name in names)
    return {file for file in files if file.is_file()}


def test_whatever_a_conversation_depends_on_tells_runs_apart():
    needed, unseen = set(), {ROOT / "covo_cli" / "evaluation" / "running" / "run.py"}
    while unseen:
        needed |= unseen
        unseen = {file for path in unseen for file in imported_by(path)} - needed
    decisive = {path.relative_to(ROOT).as_posix() for path in needed}
    decisive -= {name for name in decisive if name.startswith(DECIDES_NOTHING)}
    assert "model/turns/controller.py" in decisive
    files = {path.relative_to(ROOT).as_posix() for path in running.code_files()}
    assert decisive <= files
    sounds = {f"covo_cli/evaluation/scenarios/{name}.py" for name in ("sounds", "vocal")}
    assert files >= sounds | {"model/turns/languages/en.toml", "model/weights/weights.toml"}
    assert all((ROOT / file).is_file() for file in files)


def test_two_runs_of_the_same_are_equal_to_the_sample(task, out, tmp_path):
    run_all(task, out, 1)
    again = tmp_path / "again"
    open_run(task, again, 1)
    run_all(task, again, 1)
    for name in ("input.wav", "output.wav", "events.jsonl"):
        paths = [folder / CONVERSATIONS / "interruption-0" / name for folder in (out, again)]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_run_is_judged_and_its_report_read_back(task, out):
    run_all(task, out, 1)
    report = assess(out, hear_nothing)
    assert read_report(out) == report
    assert (out / "report.md").read_text().startswith("# Turn taking: set fakes, engine fake")
    record = json.loads((out / "results.json").read_text())
    assert record["metrics"]["interruption_stopped"]["value"] == 1.0
    assert report.failed() == {}


def test_a_run_of_which_nothing_is_done_cannot_be_judged(out):
    with pytest.raises(EvaluationError, match="no conversation"):
        assess(out, hear_nothing)


def test_what_went_wrong_is_drawn(task, out, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    def deaf(scenario: Scenario, user: ScriptedUser) -> Engine:
        class Deaf(LevelDetector):
            def process(self, samples: np.ndarray) -> float:
                return 0.0

        return TurnTakingEngine(FakeGenerator(FakeClock()), Deaf(), VirtualExecutor(FakeClock()))

    monkeypatch.setattr(running, "engine_maker", lambda *args: Evaluated(deaf))
    run_all(task, out, 1)
    report = assess(out, hear_nothing)
    assert list(report.failed()) == ["interruption-0", "turn-0"]
    draw_failures(out, report)
    pictures = sorted(path.name for path in (out / "pictures").iterdir())
    assert pictures == ["interruption-0.png", "turn-0.png"]
    pixels = imread(out / "pictures" / "turn-0.png")[..., :3]
    assert pixels.shape[0] > 300
    blue = (pixels[..., 2] > 0.5) & (pixels[..., 0] < 0.3)
    green = (pixels[..., 1] > 0.35) & (pixels[..., 0] < 0.1) & (pixels[..., 2] < 0.3)
    assert blue.sum() > 500  # the user's waveform
    assert not green.sum() > 5000  # the assistant said nothing: a line, no waveform

    draw(out / CONVERSATIONS / "silence-0", (), tmp_path / "silence.png")
    quiet = imread(tmp_path / "silence.png")[..., :3]
    assert ((quiet[..., 2] > 0.5) & (quiet[..., 0] < 0.3)).sum() < blue.sum()


# The scripted engine


def test_the_oracle_knows_the_words_so_far_and_no_others():
    line = Line(speech(2.0), "one two three four", Start(StartRule.AT, 1.0))
    user = ScriptedUser([line, Line(speech(1.0), "late", Start(StartRule.AT, 5.0))], paced=False)
    oracle = Oracle(["one two three four", "late"], user)

    def listen_until(time: float, seconds: float) -> str:
        while user.at < samples(time):
            user.read(0.1)
        return oracle.transcribe(speech(seconds)).text

    assert listen_until(0.9, 0.9) == ""
    assert listen_until(2.0, 1.5) == "one two"
    assert listen_until(3.2, 2.5) == "one two three four"
    assert listen_until(6.2, 1.5) == "late"  # audio of 1.5 s does not reach back to the others


def test_the_oracle_knows_chinese_by_character():
    user = ScriptedUser([Line(speech(2.0), "你好世界", Start(StartRule.AT, 1.0))], paced=False)
    while user.at < samples(2.0):
        user.read(0.1)
    assert Oracle(["你好世界"], user, "zh").transcribe(speech(1.5)) == Transcript("你好", "zh")


def test_scripted_replies_take_their_time_and_their_length():
    clock = SteadyClock()
    sounds = {"One.": np.zeros(24_000, np.float32), "Two.": np.zeros(12_000, np.float32)}
    replies = ReadAloud(
        EngineInfo("a test", "", "", "cpu", {}),
        lambda text: [sounds[text]],
        2.0,
        hears=False,
        pass_time=clock.pass_time,
        sentences=tuple(sounds),
    )
    parts = replies.reply(1, UserTurn(speech(1), "hello"), lambda: False)
    times = [(part.text, clock()) for part in parts if isinstance(part, ReplyAudio)]
    assert [text for text, _ in times] == ["Two.", "One.", "Two."]
    assert times[0][1] == pytest.approx(0.2)
    assert list(replies.reply(1, UserTurn(speech(1), "hello"), lambda: True)) == []


@pytest.mark.weights
def test_lite_is_held_with_the_persona_that_is_set(tmp_path, monkeypatch):
    asked: list[str | None] = []

    def choose(weights, model, url, persona, *, threads):
        asked.append(persona)
        raise ChatError("enough is known")

    monkeypatch.setattr("model.lite.choose_chat", choose)
    (tmp_path / "persona.txt").write_text("You are a pirate.")
    settings = load_settings({"chat.persona": str(tmp_path / "persona.txt")})
    with pytest.raises(ChatError):
        engine_maker("lite", RecognizerName.ORACLE, settings, 1)
    assert asked == ["You are a pirate."]


def test_latencies_are_also_given_over_the_plain_chain_of_the_run(task, out, monkeypatch):
    times = [ChainTime(0.0, 0.25, 0.25, 0.15), ChainTime(0.0, 0.65, 0.25, 0.15)]  # 1.0, 1.4 s

    class FakeChain:
        def time(self) -> ChainTime:
            return times.pop(0)

    monkeypatch.setattr(running, "CHAIN_EVERY", 2)
    monkeypatch.setattr(running, "engine_maker", lambda *args: Evaluated(fake_engine, FakeChain()))
    run_all(task, out, 1)
    assert times == []  # before the first and the third of the three conversations
    assess(out, hear_nothing)
    report = read_report(out)
    assert report.chain is not None
    assert (report.chain.questions, report.chain.median) == (2, 1.2)
    turn = next(f for f in report.findings if f.check is FindingCheck.TURN)
    assert turn.values["latency_over_chain"] == pytest.approx(
        turn.values["latency"] / 1.2, abs=1e-4
    )
    goals = {metric.key: metric.goal for metric, _ in report.estimates()}
    assert (goals["turn_latency_over_chain"], goals["turn_latency_p90_over_chain"]) == (0.8, 1.2)
    text = (out / "report.md").read_text()
    assert "plain chain 1.20 s (median of 2, 1.00 to 1.40 s)" in text
    assert "| turn-taking: latency, median (× chain) |" in text


# Recordings


def test_recordings_of_full_duplex_bench_are_held_and_judged(task, tmp_path):
    sound = np.concatenate([silence(0.5), speech(2.0), silence(4.0)])
    for name, annotation in (
        ("candor_turn_taking/1", ("turn_taking.json", [{"timestamp": [2.5, 2.7]}])),
        ("synthetic_pause_handling/1", ("pause.json", [{"timestamp": [2.5, 6.0]}])),
    ):
        folder = tmp_path / "recordings" / name
        folder.mkdir(parents=True)
        write_audio(folder / "input.wav", sound, 16_000)
        (folder / annotation[0]).write_text(json.dumps(annotation[1]))
    recorded = dataclasses.replace(task, folder=tmp_path / "recordings")
    with pytest.raises(EvaluationError, match="--recognizer whisper"):  # there is no script
        open_run(dataclasses.replace(recorded, engine="scripted"), tmp_path / "x", 1)
    out = tmp_path / "recorded"
    open_run(recorded, out, 1)
    run_all(recorded, out, 1)
    findings = {f.check: f for f in assess(out, hear_nothing).findings}
    assert findings[FindingCheck.TURN].ok
    assert findings[FindingCheck.TURN].values["latency"] == pytest.approx(0.7, abs=0.05)
    assert not findings[FindingCheck.PAUSE].ok  # the fake engine answers after any silence
    folder = out / CONVERSATIONS / "candor_turn_taking-1"
    np.testing.assert_allclose(read_audio(folder / "input.wav", 16_000), sound, atol=1e-4)


# The commands


def test_runs_of_different_code_are_compared_by_figures_and_by_decisions(task, out, tmp_path):
    run_all(task, out, 1)
    assess(out, hear_nothing)
    other = tmp_path / "other"
    shutil.copytree(out, other)
    results = (other / "results.json").read_text()
    (other / "results.json").write_text(results.replace(code_digest(), "0" * 64))
    events = other / CONVERSATIONS / "turn-0" / "events.jsonl"
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    start = next(line for line in lines if line["event"] == "ReplyStarted")
    start["at"] += 1600
    events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = CliRunner().invoke(app, ["eval", "compare", str(out), str(other)])
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "code_sha256: " in text
    assert "interruption: caught" in text
    assert "Failed in B but not in A: 0" in text
    assert "Different decisions: 1 turn-0: ReplyStarted; first" in text
    before, after = start["at"] / 16_000 - 0.1, start["at"] / 16_000
    assert f"{before:.2f} s reply 1 to turn 1 / " in text
    assert different_decisions(out, out) == {}
    assert f"{after:.2f} s" not in different_decisions(out, other)["turn-0"].split(" / ")[0]


def test_fresh_throws_away_a_run_and_nothing_else(out, tmp_path):
    (out / "notes.txt").write_text("mine")
    discard_run(out)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]
    with pytest.raises(EvaluationError, match="not a run folder"):
        discard_run(out)
    discard_run(tmp_path / "nothing there")
    file = tmp_path / "a file"
    file.touch()
    with pytest.raises(EvaluationError, match="not a run folder"):
        discard_run(file)


def test_an_engine_that_is_not_there_is_told_before_anything_is_done(task, tmp_path):
    command = ["eval", "duplex", str(task.folder), "--out", str(tmp_path / "x"), "--engine", "hal"]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, SettingsError)
    assert not (tmp_path / "x").exists()
