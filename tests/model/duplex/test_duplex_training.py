"""Training: the loss, the data, a run that is stopped and goes on, adapters."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import ROOT

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

import soundfile
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import Precision
from model.duplex.network.network import DuplexNetwork, load_duplex
from model.duplex.network.tone_codec import TONES, codes_of, tones
from model.duplex.protocol.grammar import Grammar, Place
from model.duplex.protocol.profile import read_profile
from model.duplex.protocol.sequence import SILENCE, TimedDialogue, TimedReply, TimedToken, encode
from model.duplex.tones import world as tones_world
from model.duplex.tones.tones import WORDS, dialogue
from model.duplex.tones.world import write_untrained, write_world
from model.duplex.training import batch as batching
from model.duplex.training import training as training_run
from model.duplex.training import whole as whole_files
from model.duplex.training.batch import collate, hidden_states
from model.duplex.training.dataset import Codec, DialogueFolder, write_dialogue
from model.duplex.training.inputs import changed, training_inputs
from model.duplex.training.loss import LossWeights, loss
from model.duplex.training.packed import run_packed
from model.duplex.training.sample import Teaching, TokenKind, dialogue_sample
from model.duplex.training.trained import (
    merged_tensors,
    train_everything,
    trained_parameters,
)
from model.duplex.training.training import DONE, STATE, DuplexTrainer, is_trained
from model.duplex.training.training_config import ChatSection, TrainingConfig
from model.errors import NetworkConfigError, TrainingError
from tests.model.covo.golden_covo import token2wav_folder

SECONDS = 4.0
"""Length of a dialogue: shorter than the real ones, so that a step is quick."""


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("duplex") / "world"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tones_world, "SECONDS", SECONDS)
        write_world(folder, 5)
    return folder


@pytest.fixture(scope="module")
def network(world) -> DuplexNetwork:
    return load_duplex(world / "untrained", merge=False)


def config(world: Path, output: Path, **training) -> TrainingConfig:
    read = TrainingConfig.read(world / "train.toml")
    small = {"steps": 4, "batch": 2, "warm_up": 2, **training}
    return replace(
        read,
        network=replace(read.network, output=output, dtype="float32"),
        training=replace(read.training, **small),
    )


def dialogues(network: DuplexNetwork, count: int):
    ids = {word: number for number, word in enumerate(WORDS)}
    made = [dialogue(network.grammar, ids, np.random.default_rng(n), 6.0) for n in range(count)]
    return [dialogue_sample(encode(one, network.grammar), network.grammar) for one in made]


def weights(folder: Path):
    covo = load_duplex(folder, merge=False).covo
    return {name: p.detach() for name, p in covo.named_parameters()}


def test_a_stopped_run_goes_on_as_if_it_had_not_been(world, tmp_path):
    whole = DuplexTrainer(config(world, tmp_path / "whole"))
    reports = list(whole.run())
    assert [report.step for report in reports] == [1, 2, 3, 4]
    stopped = DuplexTrainer(config(world, tmp_path / "stopped"))
    first = [stopped.train_step() for _ in range(2)]
    stopped.save()
    resumed = DuplexTrainer(config(world, tmp_path / "stopped"))
    assert resumed.step == 2
    assert first + list(resumed.run()) == reports
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(one[name], other[name]) for name in one)
    untrained = weights(world / "untrained")
    same = [name for name in one if torch.equal(one[name], untrained[name])]
    assert same == ["encoder.embed_positions.weight"]
    assert not (tmp_path / "stopped" / STATE).exists()


def test_every_dialogue_comes_once_an_epoch(world, tmp_path, monkeypatch):
    read = []
    original = DialogueFolder.__getitem__
    monkeypatch.setattr(
        DialogueFolder,
        "__getitem__",
        lambda self, index: read.append(index) or original(self, index),
    )
    asked = config(world, tmp_path / "out", batch=1, accumulate=5)
    trainer = DuplexTrainer(replace(asked, data=replace(asked.data, keep=False)))
    trainer.train_step()
    assert sorted(read) == [0, 1, 2, 3, 4]
    trainer.train_step()
    assert sorted(read[5:]) == [0, 1, 2, 3, 4]
    assert read[5:] != read[:5]


def test_a_pack_is_what_fits(world, tmp_path, monkeypatch):
    """Every sample comes once an epoch, the longest cut, and a resumed run goes on behind it."""
    packs = []
    monkeypatch.setattr(
        training_run, "collate", lambda samples: packs.append(samples) or collate(samples)
    )
    longest = 110
    trainer = DuplexTrainer(config(world, tmp_path / "out", positions=longest))
    for _ in range(4):
        trainer.train_step()
    sizes = [[len(sample.ids) for sample in pack] for pack in packs]
    assert all(sum(pack) <= longest for pack in sizes)
    chunk = len(trainer.network.profile.layout)
    whole = [size for pack in sizes for size in pack]
    assert max(whole) > longest - chunk
    assert all(a[0] + sum(b) > longest for b, a in itertools.pairwise(sizes))
    trainer.save()
    trainer.train_step()
    resumed = DuplexTrainer(config(world, tmp_path / "out", positions=longest))
    resumed.train_step()
    assert [s.ids.tolist() for s in packs[-1]] == [s.ids.tolist() for s in packs[-2]]


def test_a_share_of_the_dialogues_begins_in_the_middle(world, tmp_path):
    asked = config(world, tmp_path)
    half = replace(asked, data=replace(asked.data, middle=0.5))
    streams = [DuplexTrainer(one)._stream for one in (asked, half)]
    later = 0
    for number in range(80):
        whole, part = (stream._at(number) for stream in streams)
        later += len(part.ids) < len(whole.ids)
        assert part.ids[-2:].tolist() == whole.ids[-2:].tolist()
        assert part.audio[-1].tolist() == whole.audio[-1].tolist()
    assert 25 < later < 55


def test_a_killed_run_goes_on(world, tmp_path):
    """Killed in the middle of what it does; what it wrote last is whole."""
    asked = (world / "train.toml").read_text().replace("keep = true", "keep = true\nmiddle = 0.5")
    asked = asked.replace("steps = 500", "steps = 60").replace("save_every = 100", "save_every = 1")
    outputs = {}
    for name in ("killed", "whole"):
        text = asked.replace('"trained"', f'"{tmp_path / name}"').replace("batch = 8", "batch = 1")
        text = text.replace('"float16"', '"float32"')
        (world / f"{name}.toml").write_text(text)
        outputs[name] = tmp_path / name
    command = [sys.executable, "-m", "covo_cli", "train", "duplex", "--threads", "1", "--config"]
    with subprocess.Popen(
        [*command, str(world / "killed.toml")], cwd=ROOT, stdout=subprocess.DEVNULL
    ) as run:
        while not (outputs["killed"] / STATE).exists() and run.poll() is None:
            time.sleep(0.01)
        run.kill()
    assert run.returncode == -signal.SIGKILL
    runs = {name: DuplexTrainer(TrainingConfig.read(world / f"{name}.toml")) for name in outputs}
    assert 0 < runs["killed"].step < 60
    assert runs["whole"].step == 0
    for trainer in runs.values():
        list(trainer.run())
    one, other = (weights(folder) for folder in outputs.values())
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_adam_in_eight_bits(world, tmp_path):
    """It learns as well, resumes, and its moments take a quarter of the memory."""
    pytest.importorskip("torchao", reason="needs torchao (the train extra)")
    from torchao.optim.subclass_8bit import OptimState8bit

    losses = {}
    with torch.compiler.set_stance("force_eager"):
        for name in ("adamw", "adamw8bit"):
            asked = config(world, tmp_path / name, steps=12, optimizer=name)
            trainer = DuplexTrainer(asked)
            losses[name] = [trainer.train_step().loss for _ in range(6)]
            trainer.save()
            losses[name] += [trainer.train_step().loss for _ in range(6)]
        assert losses["adamw8bit"] == pytest.approx(losses["adamw"], rel=0.1)
        assert losses["adamw8bit"] != losses["adamw"]
        resumed = DuplexTrainer(asked)
        assert [resumed.train_step().loss for _ in range(6)] == losses["adamw8bit"][6:]
        states = resumed._learner.optimizer.state.values()
        assert any(isinstance(state["exp_avg"], OptimState8bit) for state in states)


def test_it_learns(world, tmp_path):
    trainer = DuplexTrainer(config(world, tmp_path / "out", steps=12, batch=2))
    losses = [trainer.train_step().loss for _ in range(12)]
    assert losses[-1] < 0.75 * losses[0]


def test_bfloat16(world, tmp_path):
    trainer = DuplexTrainer(config(world, tmp_path / "out", precision="bfloat16"))
    full = DuplexTrainer(config(world, tmp_path / "full"))
    low, high = trainer.train_step(), full.train_step()
    assert low.loss == pytest.approx(high.loss, rel=0.02)
    assert low.loss != high.loss
    assert trainer.network.covo.llm.lm_head.weight.dtype is torch.float32


def test_adapters_beside_bfloat16(world, tmp_path):
    pytest.importorskip("peft", reason="needs peft (the train extra)")
    asked = config(world, tmp_path / "out", lora_rank=4, precision="bfloat16")
    trainer = DuplexTrainer(asked)
    dtypes = {p.requires_grad: p.dtype for p in trainer.network.covo.parameters()}
    assert dtypes == {True: torch.float32, False: torch.bfloat16}
    reports = list(trainer.run())
    assert all(np.isfinite(report.loss) for report in reports)
    load_duplex(tmp_path / "out")


def test_adapters_learn_and_are_merged(world, tmp_path, network):
    pytest.importorskip("peft", reason="needs peft (the train extra)")
    asked = config(world, tmp_path / "out", steps=2, lora_rank=4, learning_rate=0.05)
    trainer = DuplexTrainer(asked)
    learning = [n for n, p in trainer.network.covo.named_parameters() if p.requires_grad]
    assert all("lora_" in name or name.startswith("audio_adapter.") for name in learning)
    list(trainer.run())
    before, after = weights(world / "untrained"), weights(tmp_path / "out")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "llm.model.layers.0.self_attn.q_proj.weight" in changed
    assert "encoder.layers.1.fc2.weight" in changed
    assert "audio_adapter.downsample_layers.0.conv1d.weight" in changed
    assert not [n for n in changed if "norm" in n]
    # Of embedding and head, the rows of the five tokens and no others.
    tokens = {token.id for token in network.profile.tokens.all}
    for name in ("llm.model.embed_tokens.weight", "llm.lm_head.weight"):
        rows = (before[name] != after[name]).any(dim=1).nonzero()[:, 0].tolist()
        assert set(rows) == tokens
    batch = collate(dialogues(network, 1))
    trainer.network.eval()
    with torch.inference_mode():
        theirs = hidden_states(trainer.network, batch)
        merged = hidden_states(load_duplex(tmp_path / "out", merge=False), batch)
    assert float((theirs - merged).abs().max()) < 1e-3
    # Never all of them in 32 bits: a card of 24 GB would be full before anything is written.
    half = merged_tensors(trainer.network, torch.bfloat16)
    assert {(t.dtype, t.device.type) for t in half.values()} == {(torch.bfloat16, "cpu")}
    assert all(torch.equal(half[name], after[name].bfloat16()) for name in after)


def test_adapters_have_the_scale_that_is_asked_for(world, tmp_path):
    pytest.importorskip("peft", reason="needs peft (the train extra)")
    from peft.tuners.lora import LoraLayer

    for alpha, scale in ((None, 2.0), (2, 0.5)):  # alpha / rank
        asked = config(world, tmp_path, lora_rank=4, lora_alpha=alpha, encoder_rank=2)
        found = {
            (name.split(".")[0], module.r["default"], module.scaling["default"])
            for name, module in DuplexTrainer(asked).network.covo.named_modules()
            if isinstance(module, LoraLayer)
        }
        assert found == {("llm", 4, scale), ("encoder", 2, scale)}


# Steps


def test_the_rates_rise_and_fall_along_a_cosine(world, tmp_path):
    asked = {"steps": 6, "warm_up": 2, "lowest_rate": 0.1, "learning_rate": 0.01}
    trainer = DuplexTrainer(config(world, tmp_path, **asked, encoder_rate=0.001))
    shares = []
    for _ in range(6):
        trainer.train_step()
        rates = [group["lr"] for group in trainer._learner.optimizer.param_groups]
        assert sorted(rates) == pytest.approx([rates[0] / 10, rates[0]])
        shares.append(max(rates) / 0.01)
    assert shares == pytest.approx([0.5, 1.0, 1.0, 0.8682, 0.55, 0.2318], abs=1e-4)


def gradients(trainer: DuplexTrainer) -> list[torch.Tensor]:
    """The gradients by which the next step goes."""
    found: list[torch.Tensor] = []
    trained = trainer._learner.trained.values()
    trainer._learner.optimizer.step = lambda: found.extend(p.grad.clone() for p in trained)
    trainer.train_step()
    return found


def test_a_step_goes_by_the_mean_of_its_batches_and_no_further_than_its_clip(
    world, tmp_path, monkeypatch
):
    monkeypatch.setattr(DuplexTrainer, "_origin", lambda self, part: 0)
    found = {}
    for name, training in {
        "one": {"clip": 1e9},
        "twice": {"clip": 1e9, "accumulate": 2},
        "clipped": {"clip": 1e-3},
    }.items():
        trainer = DuplexTrainer(config(world, tmp_path, **training))
        drawn = trainer._stream.draw()
        monkeypatch.setattr(trainer._stream, "draw", lambda drawn=drawn: drawn)
        found[name] = torch.cat([each.flatten() for each in gradients(trainer)])
    assert torch.allclose(found["twice"], found["one"], atol=1e-6)
    assert float(found["clipped"].norm()) == pytest.approx(1e-3, rel=1e-3)
    assert float(found["one"].norm()) > 1e-2


def test_a_dialogue_may_begin_anywhere_on_an_endless_stream(world, tmp_path):
    trainer = DuplexTrainer(config(world, tmp_path))
    origins = [trainer._origin(part) for part in range(50)]
    assert len(set(origins)) > 30
    assert 0 <= min(origins) <= max(origins) < trainer.network.profile.encoder.position_period
    assert origins == [trainer._origin(part) for part in range(50)]
    trainer.step += 1
    assert trainer._origin(0) != origins[0]


# The loss


@torch.inference_mode()
def test_the_loss_is_a_weighted_mean_over_what_can_be_chosen(network):
    # Its text is over before its speech, which pauses.
    paused = TimedReply(
        16, (*range(17), SILENCE, SILENCE, 3), (TimedToken(2, 16), TimedToken(4, 17))
    )
    user = np.random.default_rng(0).normal(0, 0.05, 2560 * 12).astype(np.float32)
    silent = dialogue_sample(
        encode(TimedDialogue(user, (paused,)), network.grammar), network.grammar
    )
    batch = collate([*dialogues(network, 1), silent])
    hidden = hidden_states(network, batch)
    names = [
        kind.name.lower() for kind in TokenKind if kind >= 0 and kind is not TokenKind.HARD_THINK
    ]
    costs, counts = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
    tokens = network.profile.tokens
    filled = False
    for n, place in enumerate(batch.places.tolist()):
        if place not in network.grammar.vocabularies:
            continue
        token = int(batch.ids[n])
        vocabulary = network.grammar.vocabularies[Place(place)]
        logits = network.logits(hidden[n - 1][None], Place(place))[0]
        cost = -float(logits.log_softmax(-1)[vocabulary.index(token)])
        name = "text"
        if place == Place.CODE:
            name = "speech_filler" if token == tokens.speech_filler.id else "speech"
        elif token == tokens.text_filler.id:
            name = "text_filler" if filled else "text_end"
        elif place == Place.LISTEN:
            name = "shift" if token == tokens.shift.id else "think"
        elif token == tokens.stop.id:
            name = "stop"
        if place != Place.CODE:
            filled = token == tokens.text_filler.id
        costs[name] += cost
        counts[name] += 1
    assert min(counts.values()) > 0
    factors = dict(zip(names, (0.5, 3.0, 4.0, 1.0, 0.7, 0.3, 2.0, 0.2), strict=True))
    measured = loss(network, batch, LossWeights(**factors))
    for name, total in costs.items():
        assert measured.parts[name] == pytest.approx(total / counts[name], rel=1e-4)
    expected = sum(factors[k] * costs[k] for k in names)
    weight = sum(factors[k] * counts[k] for k in names)
    assert float(measured.total) == pytest.approx(expected / weight, rel=1e-5)


@torch.inference_mode()
def test_places_count_by_their_weights(network):
    """Counted twice, all weigh the same as before; with weight 0, a place might be anything."""
    (sample,) = dialogues(network, 1)
    once = loss(network, collate([sample]), LossWeights())
    twice = loss(network, collate([replace(sample, weights=2 * sample.weights)]), LossWeights())
    assert float(twice.total) == pytest.approx(float(once.total), rel=1e-6)
    only = np.where(sample.kinds == TokenKind.SHIFT, sample.weights, 0)
    shifts = loss(network, collate([replace(sample, weights=only)]), LossWeights())
    assert float(shifts.total) == pytest.approx(once.parts["shift"], rel=1e-5)
    assert shifts.parts == once.parts


@torch.inference_mode()
def test_packed_dialogues_are_computed_as_alone(network):
    """Also as by transformers' own forward pass."""
    short, long = sorted(dialogues(network, 2), key=lambda sample: len(sample.ids))
    assert len(short.ids) < len(long.ids)
    packed = hidden_states(network, collate([long, short]))
    alone = [hidden_states(network, collate([one])) for one in (long, short)]
    assert float((packed - torch.cat(alone)).abs().max()) < 1e-5
    model = network.covo.llm.model
    rows = torch.randn(40, model.config.hidden_size)
    theirs = model(inputs_embeds=rows[None], use_cache=False).last_hidden_state[0]
    assert float((run_packed(model, rows, [40]) - theirs).abs().max()) < 1e-5


def test_what_is_computed_again_gives_the_same_gradients(world, monkeypatch):
    """And so does the loss in parts."""
    found = []
    for changes in ({}, {"recompute": True}, {"rows": 7}, {"recompute": True, "piece": 6}):
        settings = dict(changes)
        monkeypatch.setattr(batching, "PIECE_CHUNKS", settings.pop("piece", 200))
        whole = load_duplex(world / "untrained", merge=False)
        train_everything(whole)
        whole.train()
        one = loss(whole, collate(dialogues(whole, 2)), LossWeights(), **settings)
        one.total.backward()
        grads = {n: p.grad for n, p in trained_parameters(whole).items()}
        found.append((float(one.total.detach()), grads))
    (total, grads), *others = found
    assert all(grad is not None for grad in grads.values())
    for other, theirs in others:
        assert other == pytest.approx(total, rel=1e-6)
        for name, grad in grads.items():
            assert float((grad - theirs[name]).abs().max()) < 1e-5, name


@torch.inference_mode()
def test_a_teacher_s_opinion_takes_its_share(network):
    (plain,) = dialogues(network, 1)
    at = (plain.kinds == TokenKind.TEXT).nonzero()[0][1:4]
    likely = np.array([[0, 1], [2, 3], [4, 5]])
    shares = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]], np.float32)
    # Behind another dialogue, which has no teacher.
    samples = [*dialogues(network, 1), replace(plain, teaching=Teaching(at, likely, shares))]
    batch = collate(samples)
    only = np.zeros_like(batch.weights)
    only[len(plain.ids) + at] = 1.0
    batch = replace(batch, weights=only)
    hidden = hidden_states(network, batch)[len(plain.ids) + at - 1]
    logs = network.logits(hidden, Place.SPEAK).log_softmax(-1)
    divergence = [
        sum(p * (np.log(p) - float(logs[n, i])) for i, p in zip(*row, strict=True) if p)
        for n, row in enumerate(zip(likely, shares, strict=True))
    ]
    cross = -logs[torch.arange(3), torch.from_numpy(plain.ids[at])].mean()
    for share in (0.0, 0.5, 1.0):
        found = loss(network, batch, LossWeights(), teacher=share)
        expected = share * np.mean(divergence) + (1 - share) * float(cross)
        assert float(found.total) == pytest.approx(expected, rel=1e-4)
        assert found.parts["teacher"] == pytest.approx(np.mean(divergence), rel=1e-4)


# Data


def test_synthetic_dialogues_are_read_as_they_were_made(world, network, tmp_path):
    tokenizer = Tokenizer.from_file(str(world / "untrained" / "tokenizer.json"))
    ids = {word: tokenizer.token_to_id(word) for word in WORDS}
    made = dialogue(network.grammar, ids, np.random.default_rng((0, 3)), SECONDS)
    folder = DialogueFolder(world / "dialogues", network.grammar, tokenizer, Codec.TONES)
    assert len(folder) == 5
    read, _ = folder.read(world / "dialogues" / "00003.wav")
    assert read.replies == made.replies
    assert len(made.replies) > 0
    assert float(np.abs(read.user - made.user).max()) < 1e-4
    prompt = list(network.profile.prompt)
    assert folder[3].ids.tolist() == [*prompt, *encode(made, network.grammar).ids.tolist()]


def test_codes_and_text_in_the_json(world, network, tmp_path):
    tokenizer = Tokenizer.from_file(str(world / "untrained" / "tokenizer.json"))
    soundfile.write(tmp_path / "a.flac", np.zeros((22_050 * 3, 2)), 22_050)
    spoken = {"start": 1.0, "codes": [5, 6, 7], "text": [{"token": "one two", "at": 1.0}]}
    spoken["text"].append({"token": 2, "at": 1.16})  # 28.999999999999996 codes
    (tmp_path / "a.json").write_text(json.dumps({"replies": [spoken]}))
    folder = DialogueFolder(tmp_path, network.grammar, tokenizer, Codec.NONE)
    one, two = (tokenizer.token_to_id(word) for word in ("one", "two"))
    text = (TimedToken(one, 25), TimedToken(two, 25), TimedToken(2, 29))
    read, _ = folder.read(tmp_path / "a.flac")
    assert read.replies == (TimedReply(25, (5, 6, 7), text),)
    assert len(read.user) == 48_000


BROKEN = {
    r"a\.wav: the reply at 1.0 s has no codes": {"replies": [{"start": 1.0, "end": 2.0}]},
    r"a\.json: replies is missing": {"turns": []},
    "codebook ends at 127": {"replies": [{"start": 1.0, "codes": [128]}]},
    r"replies\[0\]\.text\[0\]\.token must be": {
        "replies": [{"start": 1.0, "codes": [1], "text": [{"token": 1.5, "at": 1}]}]
    },
}


@pytest.mark.parametrize("message", BROKEN)
def test_broken_data_is_named(message, world, network, tmp_path):
    tokenizer = Tokenizer.from_file(str(world / "untrained" / "tokenizer.json"))
    soundfile.write(tmp_path / "a.wav", np.zeros((16_000, 2)), 16_000)
    with pytest.raises(TrainingError, match=r"a\.wav has no \.json"):
        DialogueFolder(tmp_path, network.grammar, tokenizer, Codec.NONE)
    (tmp_path / "a.json").write_text(json.dumps(BROKEN[message]))
    folder = DialogueFolder(tmp_path, network.grammar, tokenizer, Codec.NONE)
    with pytest.raises(TrainingError, match=message):
        folder[0]


def test_the_assistant_s_channel_may_be_missing(world, network, tmp_path):
    tokenizer = Tokenizer.from_file(str(world / "untrained" / "tokenizer.json"))
    with pytest.raises(TrainingError, match="no dialogues in"):
        DialogueFolder(tmp_path, network.grammar, tokenizer, Codec.NONE)
    soundfile.write(tmp_path / "a.wav", np.zeros(32_000), 16_000)
    spoken = {"start": 0.6, "end": 1.0, "codes": [5, 6, 7]}
    (tmp_path / "a.json").write_text(json.dumps({"replies": [spoken]}))
    folder = DialogueFolder(tmp_path, network.grammar, tokenizer, Codec.NONE)
    assert TokenKind.SPEECH in folder[0].kinds
    (tmp_path / "a.json").write_text(json.dumps({"replies": [{"start": 0.6, "end": 1.0}]}))
    with pytest.raises(TrainingError, match="has no codes"):
        DialogueFolder(tmp_path, network.grammar, tokenizer, Codec.TONES)[0]
    soundfile.write(tmp_path / "a.wav", np.zeros((16_000, 3)), 16_000)
    with pytest.raises(TrainingError, match="has 3 channels"):
        folder[0]


def test_the_tone_codec_both_ways():
    codes = (*range(TONES), SILENCE, 3, SILENCE, 31)
    assert codes_of(tones(codes, 16_000, 25.0), 16_000, 25.0) == codes
    assert codes_of(tones(codes, 24_000, 12.5), 24_000, 12.5) == codes


def test_what_is_synthetic_is_written_with_its_codes_in_the_sound(network, tmp_path):
    tokenizer = Tokenizer.from_file(str(ROOT / "tests/duplex_tones/tokenizer.json"))
    said = TimedDialogue(
        np.zeros(32_000, np.float32), (TimedReply(8, (1, 2, 3), (TimedToken(4, 8),)),)
    )
    write_dialogue(tmp_path / "x.wav", said, network.grammar, tokenizer)
    sound, rate = soundfile.read(tmp_path / "x.wav", dtype="float32")
    assert (rate, sound.shape) == (16_000, (32_000, 2))
    assert codes_of(sound[8 * 640 : 11 * 640, 1], rate, 25.0) == (1, 2, 3)


# Configuration

NETWORK = "[network]\nfolder='a'\noutput='b'\n"
DATA = "[data]\nfolder='c'\n"
MISTAKES = {
    "is not valid TOML": "steps = = 3",
    "music is not a known key": "[music]\n",
    "network.folder is missing": "[network]\noutput = 'x'",
    "network.speed is not a known key": f"{NETWORK}speed=3",
    "training.steps must be a whole number": f"{NETWORK}{DATA}[training]\nsteps='many'",
    "training.precision must be bfloat16 or float32": (
        f"{NETWORK}{DATA}[training]\nsteps=1\nprecision='int8'"
    ),
    "data.codec must be none or tones": f"{NETWORK}{DATA}codec='wavlm'\n[training]\nsteps=1",
    "network.dtype must be .*, not 'fp16'": f"{NETWORK}dtype='fp16'\n{DATA}[training]\nsteps=1",
    "training.steps must be .* >= 1": f"{NETWORK}{DATA}[training]\nsteps=0",
    "training.lora_rank must be .* >= 0": f"{NETWORK}{DATA}[training]\nsteps=1\nlora_rank=-1",
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_in_the_configuration_are_named(message, tmp_path):
    path = tmp_path / "train.toml"
    path.write_text(MISTAKES[message])
    with pytest.raises(TrainingError, match=message) as error:
        TrainingConfig.read(path)
    assert str(path) in str(error.value)


def test_what_it_cannot_be_run_with_is_told_before_the_training(world, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device, told in (("abacus", "no device 'abacus'"), ("cuda", "finds no device 'cuda'")):
        with pytest.raises(NetworkConfigError, match=told):
            DuplexTrainer(config(world, tmp_path / "out", device=device))
    shutil.copytree(world / "untrained", tmp_path / "bare")
    (tmp_path / "bare/tokenizer.json").unlink()
    asked = config(world, tmp_path / "out")
    bare = replace(asked, network=replace(asked.network, folder=tmp_path / "bare"))
    with pytest.raises(NetworkConfigError, match=r"has no tokenizer\.json"):
        DuplexTrainer(bare)


def test_a_loss_that_is_not_finite_ends_the_training(world, tmp_path):
    asked = config(world, tmp_path / "out", steps=4, batch=1, learning_rate=1e30, save_every=1)
    with pytest.raises(TrainingError, match=r"step 2 is (nan|inf); lower training\.learning_rate"):
        list(DuplexTrainer(asked).run())
    assert not (tmp_path / "out/model.safetensors").exists()


def test_what_comes_of_it_is_a_whole_checkpoint(world, tmp_path):
    """With its voice and what speaks, where there are such; and written over its own source."""
    folder = tmp_path / "there/../model"
    (tmp_path / "there").mkdir()
    shutil.copytree(world / "untrained", tmp_path / "model")
    token2wav_folder(folder / "token2wav")
    (folder / "voices").mkdir()
    shutil.move(folder / "token2wav/prompt", folder / "voices/somebody")
    for output in (tmp_path / "out", tmp_path / "model"):
        asked = config(world, output, steps=1, batch=1)
        whole = replace(asked, network=replace(asked.network, folder=folder))
        list(DuplexTrainer(whole).run())
        for name in ("duplex.json", "token2wav/config.json", "voices/somebody/prompt_token.npy"):
            assert (output / name).is_file()
        load_duplex(output)


def test_a_checkpoint_in_shards_is_trained_in_place(world, tmp_path):
    """The index and the shards of the source make way for the trained weights."""
    model = tmp_path / "model"
    shutil.copytree(world / "untrained", model)
    before = weights(model)
    tensors = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    halves = {f"model-{n}.safetensors": dict(list(tensors.items())[n::2]) for n in range(2)}
    for name, half in halves.items():
        save_file(half, model / name)
    index = {tensor: name for name, half in halves.items() for tensor in half}
    path = model / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": index}))
    asked = config(world, model, steps=1, batch=1)
    list(DuplexTrainer(replace(asked, network=replace(asked.network, folder=model))).run())
    after = weights(model)
    assert not torch.equal(after["llm.lm_head.weight"], before["llm.lm_head.weight"])
    assert is_trained(replace(asked, network=replace(asked.network, folder=model)))


def test_a_checkpoint_of_another_run_is_refused(world, tmp_path):
    (tmp_path / STATE).write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match="cannot resume from"):
        DuplexTrainer(config(world, tmp_path))


def test_a_checkpoint_of_other_learning_rates_is_refused(world, tmp_path):
    """Parts with a rate of their own are other groups of the optimizer."""
    trainer = DuplexTrainer(config(world, tmp_path))
    trainer.train_step()
    trainer.save()
    with pytest.raises(TrainingError, match="cannot resume from"):
        DuplexTrainer(config(world, tmp_path, adapter_rate=1e-5))


def other_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


OTHERS = {
    "network.folder": ("untrained/model.safetensors", "untrained/duplex.json"),
    "data.folder": ("dialogues/00003.json", "dialogues/00003.wav"),
}
"""Files of a world, by the key that names their folder."""


@pytest.mark.parametrize("key", OTHERS)
def test_other_inputs_are_not_gone_on_with_and_trained_anew(key, world, tmp_path):
    shutil.copytree(world, tmp_path / "world")
    asked = config(tmp_path / "world", tmp_path / "out", steps=2, batch=1)
    trainer = DuplexTrainer(asked)
    trainer.train_step()
    trainer.save()
    assert not is_trained(asked)
    for name in OTHERS[key]:
        path = tmp_path / "world" / name
        before = path.read_bytes()
        path.write_bytes(before + b" ") if path.suffix == ".json" else other_byte(path)
        with pytest.raises(TrainingError, match=rf"training\.pt was begun with another {key}; del"):
            DuplexTrainer(asked)
        path.write_bytes(before)
    assert [report.step for report in DuplexTrainer(asked).run()] == [2]
    assert is_trained(asked)
    other_byte(path)
    assert not is_trained(asked)
    shutil.rmtree(path.parent)  # to make room: the result is what it was
    assert is_trained(asked)
    (tmp_path / "out/model.safetensors").unlink()
    assert not is_trained(asked)


def test_inputs_are_told_apart_without_reading_all_sounds(world, tmp_path):
    """The samples of a FLAC file have a digest in its header."""
    read = TrainingConfig.read(world / "train.toml")
    folders = {name: tmp_path / name for name in ("held_out", "chat")}
    noise = np.random.default_rng(0).normal(0, 0.1, 160_000)
    for folder in folders.values():
        folder.mkdir()
        soundfile.write(folder / "a.flac", noise, 16_000)
        (folder / "a.json").write_text("{}")
    asked = replace(
        read,
        data=replace(read.data, held_out=folders["held_out"]),
        chat=ChatSection(folders["chat"]),
    )
    before = training_inputs(asked)
    assert list(before) == ["network.folder", "data.folder", "data.held_out", "chat.folder"]
    assert changed(before, training_inputs(asked)) == []
    noise[-1] += 0.1
    soundfile.write(folders["chat"] / "a.flac", noise, 16_000)
    assert changed(before, training_inputs(asked)) == ["chat.folder"]
    (folders["held_out"] / "a.json").rename(folders["held_out"] / "b.json")
    assert changed(before, training_inputs(asked)) == ["data.held_out", "chat.folder"]


def test_a_damaged_note_of_what_was_trained_is_told(world, tmp_path):
    for name, content in ((DONE, "{"), ("model.safetensors", "")):
        (tmp_path / name).write_text(content)
    with pytest.raises(TrainingError, match=r"done\.json.*; delete it to train again"):
        is_trained(config(world, tmp_path))


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_and_leaves_no_draft(world, tmp_path, monkeypatch):
    """Whatever torch and safetensors make of it."""
    draft = tmp_path / f"{STATE}.part"
    draft.symlink_to(FULL)
    trainer = DuplexTrainer(config(world, tmp_path, save_every=1, steps=2, batch=1))
    with pytest.raises(TrainingError, match=f"cannot write .*{STATE}") as error:
        list(trainer.run())
    assert "\n" not in str(error.value)
    assert not draft.is_symlink()

    def write_some(tensors, path: Path, metadata=None) -> None:
        path.write_bytes(b"some of it")
        raise SafetensorError("Error while serializing: No space left on device (os error 28)")

    monkeypatch.setattr(whole_files, "save_file", write_some)
    for write in (trainer.export, lambda: write_untrained(tmp_path)):
        with pytest.raises(TrainingError, match=r"cannot write .*model\.safetensors .*No space"):
            write()
        assert not list(tmp_path.glob("model.safetensors*"))


def test_the_memory_is_no_longer_than_what_was_trained(world, tmp_path):
    profile = read_profile(world / "untrained")
    assert profile.context.window == 256
    for positions, window in ((0, 256), (300, 256), (101, 100), (8, 24)):
        trainer = DuplexTrainer(config(world, tmp_path, positions=positions))
        trainer.export()
        found = read_profile(tmp_path)
        assert found.context.window == window
        assert replace(found, context=profile.context) == profile
    shutil.copytree(world / "untrained", tmp_path / "own")  # trained where it lies
    asked = config(world, tmp_path / "own", positions=101)
    own = replace(asked, network=replace(asked.network, folder=tmp_path / "own"))
    DuplexTrainer(own).export()
    assert read_profile(tmp_path / "own").context.window == 100


def test_the_untrained_network_is_whole_and_small(tmp_path):
    write_untrained(tmp_path / "one")
    write_untrained(tmp_path / "two")
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)
    size = (ROOT / "tests/duplex_tones/model.safetensors").stat().st_size
    assert size < 2_000_000
    grammar = Grammar(
        read_profile(tmp_path / "one"),
        CovoConfig.read(tmp_path / "one/config.json"),
    )
    assert grammar.profile.code_rate == 25.0
    assert Precision.of_dtype(CovoConfig.read(tmp_path / "one/config.json").backbone.dtype)
