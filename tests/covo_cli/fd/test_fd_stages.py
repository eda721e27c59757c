"""The stages on a tiny network, from the prompts to dialogues that training reads."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

import soundfile
import torch
from safetensors.torch import load_file

from audio_io.clock import USER_RATE
from covo_cli.errors import CliError
from covo_cli.fd import prompts
from covo_cli.fd.answers import load_teacher, why_drop
from covo_cli.fd.dialogues import Dialogues
from covo_cli.fd.encoder import EncoderStage
from covo_cli.fd.init import begin
from covo_cli.fd.laying.layout import heard_chunks
from covo_cli.fd.plan import SaidPrompt
from covo_cli.fd.prompts import Prompts, why_no_prompt
from covo_cli.fd.questions import Questions, read_prompts
from covo_cli.fd.recipe import FdRecipe, Size
from covo_cli.fd.records import AnsweredConversation, SpokenConversation, TurnKind
from covo_cli.fd.work import Journal, tenths
from covo_cli.settings.settings import load_settings
from model.covo.config.network_config import CovoConfig
from model.covo.language.tokenizer import CovoTokenizer
from model.covo.loading.checkpoint import load_network
from model.duplex.making.start import student_profile
from model.duplex.making.teacher import AskedConversation, TeacherReply
from model.duplex.network.network import load_duplex, load_tokenizer
from model.duplex.protocol.grammar import Grammar, Place
from model.duplex.protocol.profile import read_profile
from model.duplex.training.chat import ChatFolder
from model.duplex.training.dataset import Codec, DialogueFolder
from model.duplex.training.sample import TokenKind
from model.duplex.training.training import DuplexTrainer
from model.duplex.training.training_config import TrainingConfig
from model.errors import ModelError, NetworkConfigError, TrainingError
from tests import ROOT
from tests.covo_cli.fd.small_work import (
    MOUTH,
    PROMPTS,
    STAGES,
    WRITTEN,
    answers,
    dialogues,
    files,
    manifest,
    questions,
    say,
    small_recipe,
    student_folder,
)
from tests.model.covo.covo_model import VOICE


def test_a_work_is_begun_with_consent(begun, model):
    consent = json.loads((begun / "consent.json").read_text())
    assert "academic" in consent["says"]
    assert "publish neither" in consent["says"]
    assert consent["accepted"].startswith("20")
    profile = read_profile(begun)
    tokenizer = CovoTokenizer.read(model, CovoConfig.read(model / "config.json"))
    text = tokenizer.decode(profile.prompt)
    assert text.startswith("system\n")
    assert text.rstrip().endswith(f"发音人：{VOICE}")
    assert "5个文本token" not in text


def test_nothing_is_begun_without_consent_or_with_the_wrong_model(model, begun, tmp_path):
    folder = tmp_path / "work"
    with pytest.raises(CliError, match="not accepted"):
        begin(folder, load_settings(), Size.S, str(model), VOICE, lambda terms: False)
    other = str(ROOT / "tests/duplex_tones")
    with pytest.raises(NetworkConfigError, match="is a full-duplex checkpoint"):
        begin(folder, load_settings(), Size.S, other, VOICE, lambda terms: True)
    assert not folder.exists()
    with pytest.raises(CliError, match="already"):
        begin(begun, load_settings(), Size.S, str(model), VOICE, lambda terms: True)


def test_stages_need_those_before_them(begun):
    with pytest.raises(CliError, match="run `covo fd questions"):
        answers(begun)


def test_what_was_said_is_whole(work):
    counts = manifest(work / "questions")["counts"]
    assert counts["turns"] == len(PROMPTS) == sum(counts["kinds"].values())
    conversations = Journal(work / "questions/conversations.jsonl", SpokenConversation)
    held_out = [one for one in conversations if one.held_out]
    assert sum(len(one.turns) for one in held_out) == 4
    assert {one.voice for one in held_out} == {"aside"}
    for one in conversations:
        for turn in one.turns:
            sound, rate = soundfile.read(work / "questions/sounds" / turn.sound)
            assert rate == USER_RATE
            assert len(sound) / rate == pytest.approx(turn.seconds, abs=1e-4)
            words = say(one.voice, turn.text)
            assert len(sound) / rate == pytest.approx(
                (len(words) / USER_RATE - 0.1) / one.speed, abs=0.05
            )
            if turn.cue:
                cue = soundfile.info(work / "questions/phrases" / turn.cue).duration
                assert turn.cue_s == pytest.approx(cue / one.speed, abs=1e-4)


def test_the_teacher_tells_what_it_found_likely(work, model):
    """Its opinions are those of its own network, read once more without its cache."""
    replies = Journal(work / "answers/replies.jsonl", AnsweredConversation)
    index = next(n for n, one in enumerate(replies) if one.replies)
    said = replies[index].replies[0]
    assert len(said.likely) == len(said.text)
    stage = answers(work)
    teacher = stage._teacher()
    name = stage._conversations[index].turns[0].sound
    sound, _ = soundfile.read(work / "questions/sounds" / name, dtype="float32")
    asked = AskedConversation([sound], index * 1000, lambda n, r: None)
    [(_, [reply])] = teacher.answer([asked])
    assert (reply.text, reply.codes, reply.likely) == (said.text, said.codes, said.likely)
    network, decoder = load_network(model), teacher._batch.decoders[0]
    tokenizer = CovoTokenizer.read(model, network.config)
    # What is behind "assistant\n" is the opinion about the first token.
    decoder.rewind(decoder.length - len(reply.text) - len(reply.codes))
    decoder.append(network.embed(torch.tensor(tokenizer.encode("\n"))))
    logs = decoder.logits[list(tokenizer.text_ids)].log_softmax(dim=-1)
    best = logs.topk(5)
    ids, found = zip(*reply.likely[0], strict=True)
    assert [tokenizer.text_ids[i] for i in best.indices.tolist()] == list(ids)
    assert best.values.tolist() == pytest.approx(found, abs=1e-3)


def test_answers_do_not_depend_on_how_many_share_a_pass(work, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(work, folder)
    shutil.rmtree(folder / "answers")
    small_recipe(folder, answers={"streams": 1, "block": 100})
    steps = list(answers(folder).run())
    assert steps == list(range(1, len(steps) + 1))
    alone, together = (one / "answers/replies.jsonl" for one in (folder, work))
    assert alone.read_bytes() == together.read_bytes()


def test_training_reads_the_dialogues(work, model):
    profile = read_profile(work)
    grammar = Grammar(profile, CovoConfig.read(model / "config.json"))
    tokenizer = load_tokenizer(model, profile)
    folder = DialogueFolder(work / "dialogues", grammar, tokenizer, Codec.NONE, overlap=2.0)
    counts = manifest(work / "dialogues")["counts"]
    assert len(folder) == counts["dialogues"] >= 5
    kinds = np.zeros(len(TokenKind), int)
    stage = answers(work)
    lines = (work / "dialogues/written.jsonl").read_text().splitlines()
    laid = [json.loads(line)["conversation"] for line in lines]
    once = min(len(laid), sum(bool(one.replies) for one in stage._journal) - 2)  # 2 are held out
    assert len(set(laid[:once])) == once  # each comes once in a round
    for number in range(len(folder)):
        sample = folder[number]
        described = json.loads((work / f"dialogues/{number:06}.json").read_text())
        replies = described["replies"]
        kind = sample.kinds[np.isin(sample.places, (Place.LISTEN, Place.SPEAK))]  # one a chunk
        shifts, stops = ((kind == one).nonzero()[0] for one in (TokenKind.SHIFT, TokenKind.STOP))
        ends = [event["end"] for event in described["events"] if event["kind"] == "turn"]
        assert len(replies) == len(stops)
        for end, shift in zip(ends, shifts, strict=True):
            assert shift - (round(end * USER_RATE) - 1) // profile.chunk_samples in (1, 2)
        assert sample.teaching is not None
        assert len(sample.teaching.at) == (sample.kinds == TokenKind.TEXT).sum()
        for kind in TokenKind:
            kinds[kind] += (sample.kinds == kind).sum()
    assert kinds[TokenKind.HARD_THINK] > 0
    assert kinds[TokenKind.TEXT] > 50
    assert kinds[TokenKind.SPEECH] > 100
    assert not any(stage._conversations[index].held_out for index in laid)


def test_the_teacher_remembers_what_was_heard_of_an_interrupted_reply(work, monkeypatch):
    stage = answers(work)
    one = next(one for one in stage._conversations if len(one.turns) > 1)
    turn = replace(one.turns[0], kind=TurnKind.NEW_QUESTION, onset=0.5, early=False)
    changed = replace(one, turns=(turn, *one.turns[1:]))
    monkeypatch.setattr(stage, "_conversations", [changed])
    said = replace(REPLY, codes=tuple(range(250)))
    cut = heard_chunks(turn, len(said.codes), stage._recipe.timing, stage._profile, last=False)
    assert cut is not None
    assert stage._asked(0).heard(0, said) == cut[1] * stage._profile.codes_per_chunk


REPLY = TeacherReply((), (1, 2, 3, 4), tuple(range(32)), True, ())
DROPPED = {
    "without text": {"text": ()},
    "without an end": {"complete": False},
    "too few or too many codes": {"codes": (1, 2)},
    "repeat themselves": {"text": (1, 2, 3, 4, 5, 6, 7, 8) * 4, "codes": tuple(range(300))},
}


@pytest.mark.parametrize("reason", DROPPED)
def test_bad_replies_are_dropped(reason, begun):
    settings = FdRecipe.read(begun).answers
    settings = replace(settings, codes_per_text=(4.5, 20.0))
    assert why_drop(REPLY, settings) == ""
    assert reason in why_drop(replace(REPLY, **DROPPED[reason]), settings)


# Stopping and going on


def test_a_killed_work_goes_on_to_the_same_bytes(begun, work, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(begun, folder)
    kills = 0
    for name, least in (("questions", 2), ("answers", 1), ("dialogues", 2)):
        program = f"""
import torch; torch.set_num_threads(1)
from pathlib import Path
from tests.covo_cli.fd.small_work import STAGES
for done in STAGES[{name!r}](Path({str(folder)!r})).run():
    print(done, flush=True)
"""
        with subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as process:
            assert process.stdout is not None
            for _ in range(least):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
        assert not manifest(folder / name)["complete"]
        list(STAGES[name](folder).run())
    assert kills == 3
    assert files(folder) == files(work)


@pytest.mark.parametrize("name", STAGES)
def test_a_record_that_was_half_written_is_made_again(name, work, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(work, folder)
    journal = (
        folder
        / name
        / {
            "questions": "conversations.jsonl",
            "answers": "replies.jsonl",
            "dialogues": "written.jsonl",
        }[name]
    )
    os.truncate(journal, len(journal.read_bytes()) - 7)
    path = folder / name / "manifest.json"
    done = json.loads(path.read_text())
    path.write_text(json.dumps({"complete": False, "inputs": done["inputs"]}))
    list(STAGES[name](folder).run())
    assert files(folder) == files(work)


def test_a_complete_stage_is_left_alone(work):
    before = files(work)
    for stage in STAGES.values():
        assert list(stage(work).run()) == []
    assert files(work) == before


def test_a_stage_keeps_to_what_it_began_with(work, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(work, folder)
    small_recipe(folder, timing={"filler": 0.5})
    questions(folder)
    answers(folder)
    with pytest.raises(CliError, match="begun with another recipe; delete the folder"):
        dialogues(folder)
    with pytest.raises(CliError, match="begun with another prompts"):
        Questions(folder, FdRecipe.read(folder), WRITTEN[1:], MOUTH)


def test_what_a_stage_makes_is_deleted_with_its_folder(work, tmp_path):
    """Nothing of an earlier run is left beside it, to be trained on."""
    folder = tmp_path / "work"
    shutil.copytree(work, folder)
    shutil.rmtree(folder / "dialogues")
    dialogues(folder)
    assert not (folder / "train.toml").exists()  # until they are complete again
    settled = {"recipe.toml", "duplex.json", "consent.json", "train.toml"}
    assert {path.name for path in work.iterdir()} == {*settled, *STAGES}
    read = TrainingConfig.read(work / "train.toml")
    assert read.data.held_out == work / "dialogues/held_out"
    assert read.chat.folder == work / "dialogues/chat"


def empty_manifest(folder: Path) -> None:
    (folder / "dialogues/manifest.json").write_text("[]")


def no_manifest(folder: Path) -> None:
    (folder / "dialogues/manifest.json").unlink()


def other_replies(folder: Path) -> None:
    with (folder / "answers/replies.jsonl").open("ab") as file:
        file.write(b'{"replies":[]}\n')


def no_replies(folder: Path) -> None:
    (folder / "answers/replies.jsonl").unlink()


def other_questions(folder: Path) -> None:
    path = folder / "questions/manifest.json"
    path.write_text(path.read_text().replace('"turns": 24', '"turns": 25'))


MIXED = {
    r"manifest.json: must be a table, .*; delete .*dialogues to begin again": empty_manifest,
    r"dialogues has files, but no manifest.json": no_manifest,
    r"replies.jsonl is not what the stage made; delete .*answers and run": other_replies,
    r"replies.jsonl is not what .* run `covo fd answers .*` again": no_replies,
    r"answers was made of other questions; delete it and run `covo fd answers": other_questions,
}


@pytest.mark.parametrize("message", MIXED)
def test_what_was_not_made_here_is_refused(message, work, tmp_path):
    """A folder of another work, or one that was made anew while those behind it were not."""
    folder = tmp_path / "work"
    shutil.copytree(work, folder)
    MIXED[message](folder)
    before = files(folder)
    with pytest.raises(CliError, match=message):
        dialogues(folder)
    assert files(folder) == before


def test_other_weights_are_not_gone_on_with(begun, model, tmp_path):
    folder, own = tmp_path / "work", tmp_path / "model"
    shutil.copytree(begun, folder)
    shutil.copytree(model, own)
    recipe = small_recipe(folder, model={"folder": str(own)})
    Prompts(folder, recipe, "cpu")
    weights = bytearray((own / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (own / "model.safetensors").write_bytes(weights)
    with pytest.raises(CliError, match="begun with another model; delete the folder"):
        Prompts(folder, recipe, "cpu")


def test_the_prompt_follows_the_recipe_until_there_are_answers(work, model, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(work, folder)
    before = read_profile(folder)
    recipe = small_recipe(folder, model={"speaker": "somebody"})
    with pytest.raises(CliError, match="begun with another recipe and profile"):
        answers(folder)
    shutil.rmtree(folder / "answers")
    answers(folder)
    wanted = student_profile(model, "somebody", recipe.model.duplex_line)
    assert read_profile(folder) == replace(before, prompt=wanted.prompt) != before


def test_a_protocol_that_finds_no_room_is_not_half_written(work, tmp_path, monkeypatch):
    folder = tmp_path / "work"
    shutil.copytree(work, folder)
    before = (folder / "duplex.json").read_bytes()
    small_recipe(folder, model={"speaker": "somebody"})

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        answers(folder)
    assert (folder / "duplex.json").read_bytes() == before


def test_prompts_of_a_file_and_recordings(tmp_path, begun):
    (tmp_path / "prompts.txt").write_text("Just one?\n\n  Two,   please. \nJust one?\n你好吗？\n")
    speaker = tmp_path / "recordings/anna"
    speaker.mkdir(parents=True)
    soundfile.write(speaker / "a.wav", np.tile(say("low", "a b c"), (2, 1)).T, USER_RATE)
    soundfile.write(speaker / "b.flac", say("low", "d e f g"), USER_RATE)
    (speaker / "b.txt").write_text("what is in b")
    found = read_prompts(tmp_path / "prompts.txt", tmp_path / "recordings")
    assert [(one.text, one.language, one.speaker) for one in found] == [
        ("Just one?", "en", ""),
        ("Two, please.", "en", ""),
        ("你好吗？", "zh", ""),
        ("", "en", "anna"),
        ("what is in b", "en", "anna"),
    ]
    folder = tmp_path / "work"
    shutil.copytree(begun, folder)
    stage = Questions(folder, FdRecipe.read(folder), found, MOUTH)
    list(stage.run())
    spoken = list(Journal(folder / "questions/conversations.jsonl", SpokenConversation))
    texts = {turn.text for one in spoken for turn in one.turns}
    assert texts == {"Just one?", "Two, please.", "what was recorded", "what is in b"}
    assert (
        manifest(folder / "questions")["dropped"][
            "prompts without a voice of their language, or above the count"
        ]
        == 1
    )
    with pytest.raises(CliError, match="no prompts"):
        read_prompts(None, None)


def test_what_cannot_be_planned_is_refused_before_anything_is_begun(begun, tmp_path):
    """So that it can be corrected and run again."""
    folder = tmp_path / "work"
    shutil.copytree(begun, folder)
    few = WRITTEN[:4]
    with pytest.raises(CliError, match="all 4 prompts would be held out; bring more, or lower"):
        Questions(folder, FdRecipe.read(folder), few, MOUTH)
    silent = replace(MOUTH, languages=dict.fromkeys(MOUTH.languages, "zh"))
    with pytest.raises(CliError, match="no prompt has a voice of its language"):
        Questions(folder, FdRecipe.read(folder), WRITTEN, silent)
    assert not (folder / "questions").exists()
    Questions(folder, small_recipe(folder, questions={"held_out": 3}), few, MOUTH)


def test_a_conversation_of_which_nothing_can_be_said_is_passed_over(begun, tmp_path):
    """Its only turn is longer than the teacher can hear in one piece."""
    folder = tmp_path / "work"
    shutil.copytree(begun, folder)
    recipe = small_recipe(folder, questions={"turns": [1.0], "held_out": 0})
    said = [*WRITTEN[:3], SaidPrompt("so " * 300, "en")]
    list(Questions(folder, recipe, said, MOUTH).run())
    assert manifest(folder / "questions")["counts"]["turns"] == 3
    list(answers(folder).run())
    answered = list(Journal(folder / "answers/replies.jsonl", AnsweredConversation))
    assert sorted(len(one.replies) for one in answered)[0] == 0
    dropped = manifest(folder / "answers")["dropped"]
    assert dropped["conversations of which no turn could be said"] == 1


def test_noise_is_taken_from_sounds_alone(work, tmp_path):
    folder, noise = tmp_path / "work", tmp_path / "noise"
    shutil.copytree(work, folder)
    shutil.rmtree(folder / "dialogues")
    (noise / "street").mkdir(parents=True)
    (noise / "README.txt").write_text("What these are.")
    own = {"sound": {"noise_folder": str(noise), "noise": 1.0}}
    small_recipe(folder, **own)
    with pytest.raises(CliError, match=r"noise_folder is .*noise, which has no sounds \(\.wav"):
        dialogues(folder)
    assert not (folder / "dialogues").exists()
    soundfile.write(noise / "street/a.wav", np.full(4000, 0.1), USER_RATE)
    stage = dialogues(folder)
    list(stage.run())
    assert list(stage.stage._inputs["noises"]) == [str(noise / "street/a.wav")]
    for wrong in (str(tmp_path / "nosie"), "~nobody/nosie"):
        small_recipe(folder, sound={"noise_folder": wrong})
        with pytest.raises(CliError, match="nosie, which has no sounds"):
            dialogues(folder)


# What the network writes itself


class Writer:
    """Writes the same turns for the same seeds, the last of them first; half of them again."""

    def write_turns(self, seeds, temperature, top_k, limit):
        for number in reversed(range(len(seeds))):
            about = seeds[number] % 16
            yield number, None if about % 4 == 3 else f"What is  number {about // 2}, please?"


def test_prompts_are_written_and_gone_on_with(begun, tmp_path, monkeypatch):
    monkeypatch.setattr(prompts, "load_teacher", lambda *of: Writer())
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        shutil.copytree(begun, folder)
        recipe = small_recipe(folder, questions={"count": 10})
    assert list(Prompts(one, recipe, "cpu").run()) == [4, 8, 8, 8]  # three attempts for each
    stopped = Prompts(other, recipe, "cpu").run()
    assert next(stopped) == 4
    stopped.close()
    assert list(Prompts(other, recipe, "cpu").run()) == [8, 8, 8]
    assert files(one) == files(other)
    assert list(Prompts(one, recipe, "cpu").run()) == []
    found = read_prompts(one / "prompts/prompts.txt", None)
    assert [said.text for said in found] == [f"What is number {n}, please?" for n in range(8)]
    assert manifest(one / "prompts")["dropped"] == {
        "without an end within the limit": 8,
        "written before": 16,
    }


def test_turns_are_written_as_if_each_were_alone(begun):
    recipe = FdRecipe.read(begun)
    alone, together = (
        dict(load_teacher(recipe, "cpu", 400, streams).write_turns(range(9), 1.0, 0, 60))
        for streams in (1, 4)
    )
    assert alone == together
    assert len(alone) == 9
    assert None in alone.values()
    assert any(alone.values())


NOT_KEPT = {
    "without an end within the limit": None,
    "not as one speaks": "Read https://example.org and tell me more.",
    "too few or too many words": "And then?",
    "": "你好，今天天气怎么样？",
}


@pytest.mark.parametrize("reason", NOT_KEPT)
def test_what_nobody_says_is_not_kept(reason, begun):
    settings = replace(FdRecipe.read(begun).prompts, words=(4, 40))
    assert why_no_prompt(NOT_KEPT[reason], settings) == reason


# From the dialogues to a student


def test_training_reads_the_half_duplex_samples(work, model):
    config = CovoConfig.read(model / "config.json")
    grammar = Grammar(read_profile(work), config)
    folder = ChatFolder(work / "dialogues/chat", grammar, config)
    replies = Journal(work / "answers/replies.jsonl", AnsweredConversation)
    conversations = Journal(work / "questions/conversations.jsonl", SpokenConversation)
    usable = [n for n, one in enumerate(replies) if one.replies and not conversations[n].held_out]
    assert len(folder) == len(usable)
    sample, said = folder[0], replies[usable[0]].replies[0]
    learnt = sample.ids[sample.kinds != TokenKind.NONE]
    assert learnt[: len(said.tokens) + 1].tolist() == [*said.tokens, 514]


def test_a_student_is_trained(work, model, tmp_path):
    """From the teacher to a trained student, the encoder's training killed and gone on with."""
    pytest.importorskip("peft", reason="needs peft (the train extra)")
    small = {"steps": 6, "seconds_per_piece": 3.0, "seconds_per_step": 6.0, "save_every": 2}
    training = {"steps": 2, "positions": 512, "accumulate": 1, "device": "cpu", "lora_rank": 4}
    changes = {"encoder": {**small, "lora_rank": 4}, "training": {**training, "encoder_rank": 2}}
    folder, other = tmp_path / "one", tmp_path / "other"
    for one in (folder, other):
        shutil.copytree(work, one)
        recipe = small_recipe(one, **changes)
    assert list(EncoderStage(folder, recipe, "cpu").run()) == [1, 2, 3, 4, 5, 6]
    stopped = EncoderStage(other, recipe, "cpu").run()
    assert [next(stopped) for _ in range(3)] == [1, 2, 3]  # the third step is not on disk
    stopped.close()
    assert list(EncoderStage(other, recipe, "cpu").run()) == [3, 4, 5, 6]
    assert (folder / "encoder/losses.jsonl").read_bytes() == (
        other / "encoder/losses.jsonl"
    ).read_bytes()
    weights = [load_file(one / "start/model.safetensors") for one in (folder, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    before = load_file(model / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], weights[0][name])}
    assert "encoder.layers.0.self_attn.q_proj.weight" in changed
    assert {"encoder.conv1.weight", "llm.lm_head.weight"} <= changed
    assert not [name for name in changed if name.startswith("llm.model.layers")]
    for damage in (shutil.rmtree, half_written):  # and written again
        damage(other / "start")
        assert list(EncoderStage(other, recipe, "cpu").run()) == []
        again = load_file(other / "start/model.safetensors")
        assert all(torch.equal(weights[0][name], again[name]) for name in again)
    os.truncate(other / "start/model.safetensors", 1000)
    told = r"safetensors is not what the stage made; delete .*start and run `covo fd encoder "
    with pytest.raises(CliError, match=told):
        list(EncoderStage(other, recipe, "cpu").run())
    shutil.rmtree(other / "encoder")
    with pytest.raises(CliError, match="start was made of another encoder; delete it, too"):
        EncoderStage(other, recipe, "cpu")
    head, own = weights[0]["llm.lm_head.weight"], before["llm.lm_head.weight"]
    assert torch.equal(head[523], own[514])  # BREAK, the end of a block
    same = (head == own).all(dim=1)
    assert set((~same).nonzero()[:, 0].tolist()) <= {521, 522, 523, 524, 531}
    dialogues(folder)
    list(Dialogues(folder, FdRecipe.read(folder)).run())  # writes train.toml again
    config = TrainingConfig.read(folder / "train.toml")
    assert config.chat is not None
    assert config.loss == recipe.loss
    reports = list(DuplexTrainer(config).run())
    assert len(reports) == 2
    assert all(np.isfinite(report.loss) for report in reports)
    student = load_duplex(folder / "trained")
    profile = read_profile(folder)
    assert student.profile.context.window + len(profile.prompt) == 512 < profile.context.window
    assert replace(student.profile, context=profile.context) == profile
    assert (folder / "trained/token2wav/config.json").is_file()


def half_written(folder: Path) -> None:
    """Leave of a stage what a kill would leave that comes before its end."""
    inputs = manifest(folder)["inputs"]
    (folder / "manifest.json").write_text(json.dumps({"complete": False, "inputs": inputs}))
    (folder / "tokenizer.json").unlink()


UNUSABLE = {
    r"no folder .*start": shutil.rmtree,
    r"is a half-duplex checkpoint: it has no duplex\.json": lambda f: (f / "duplex.json").unlink(),
    r"model\.safetensors is not .*damaged": lambda f: os.truncate(f / "model.safetensors", 1000),
    r"has no tokenizer\.json": lambda f: (f / "tokenizer.json").unlink(),
}


@pytest.mark.parametrize("cause", UNUSABLE)
def test_a_start_that_cannot_be_trained_is_made_again(cause, work, model, tmp_path):
    """And not downloaded, nor spoken with."""
    folder = tmp_path / "work"
    shutil.copytree(work, folder)
    student_folder(folder, model).rename(folder / "start")
    UNUSABLE[cause](folder / "start")
    read = TrainingConfig.read(folder / "train.toml")
    asked = replace(read, training=replace(read.training, device="cpu", lora_rank=0))
    remedy = "whole full-duplex checkpoint; for that of a work, delete .*start and run `covo fd enc"
    with pytest.raises(ModelError, match=f"{cause}[^;]*; network.folder must be a {remedy}"):
        DuplexTrainer(asked)


def test_an_encoder_that_cannot_be_gone_on_with_is_told(work, tmp_path):
    pytest.importorskip("peft", reason="needs peft (the train extra)")
    folder = tmp_path / "work"
    shutil.copytree(work, folder)
    small = {"steps": 3, "seconds_per_piece": 3.0, "seconds_per_step": 3.0}
    recipe = small_recipe(folder, encoder={**small, "learning_rate": 1e30, "warm_up": 0})
    with pytest.raises(TrainingError, match=r"the loss of step 2 is (nan|inf); delete .*encoder"):
        list(EncoderStage(folder, recipe, "cpu").run())
    assert not (folder / "start").exists()
    stage = EncoderStage(folder, recipe, "cpu")
    (folder / "encoder/training.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match=r"cannot go on from .*training\.pt; delete"):
        next(stage.run())


def test_a_damaged_dialogue_is_named(work, tmp_path):
    pytest.importorskip("peft", reason="needs peft (the train extra)")
    folder = tmp_path / "work"
    shutil.copytree(work, folder)
    for path in (folder / "dialogues").glob("*.flac"):
        os.truncate(path, 20)
    small = {"steps": 1, "seconds_per_piece": 3.0, "seconds_per_step": 3.0}
    with pytest.raises(TrainingError, match=r"cannot read .*dialogues/\d+\.flac: "):
        list(EncoderStage(folder, small_recipe(folder, encoder=small), "cpu").run())


@pytest.mark.parametrize(("steps", "points"), [(0, 0), (1, 1), (9, 9), (15, 10), (109, 10)])
def test_a_curve_has_ten_points_and_leaves_no_step_out(steps, points):
    curve = tenths([1.0] * (steps - 1) + [100.0] * bool(steps))
    assert len(curve) == points
    assert curve[:-1] == [1.0] * (points - 1)
    assert not steps or curve[-1] > 1.0


def test_the_encoder_learns_to_hear_in_chunks(work, tmp_path):
    pytest.importorskip("peft", reason="needs peft (the train extra)")
    folder = tmp_path / "work"
    shutil.copytree(work, folder)
    small = {"seconds_per_piece": 3.0, "seconds_per_step": 6.0, "warm_up": 2, "steps": 30}
    rates = {"learning_rate": 2e-3, "frontend_rate": 5e-4, "adapter_rate": 2e-3}
    recipe = small_recipe(folder, encoder={**small, **rates})
    list(EncoderStage(folder, recipe, "cpu").run())
    counts = manifest(folder / "encoder")["counts"]
    assert counts["loss of the last tenth"] < 0.8 * counts["loss of the first tenth"]
