"""Whisper's encoder run in chunks: its weights, what is measured, and its training."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from safetensors.torch import load_file

from audio_io.clock import USER_RATE
from audio_io.files import write_audio
from covo_cli.errors import CliError
from covo_cli.fd.ears import utterances
from covo_cli.fd.ears.measuring import WhisperEars, hear_in_chunks, measure_encoder
from covo_cli.fd.ears.training import ENCODER, EarsTrainer, EarsTraining
from covo_cli.fd.ears.utterances import OTHER_VOICES, UNSEEN, draw_piece, measured_utterances
from covo_cli.fd.recipe import default_sound
from covo_cli.settings.settings import load_settings, models_dir
from model.covo.config.network_config import EncoderConfig
from model.covo.language.encoder import whisper_encoder
from model.duplex.making.distilling import Distilling
from model.duplex.making.whisper import causal_encoder, read_whisper_encoder
from model.errors import WeightsError
from model.lite.mel import log_mel
from model.weights.packages import WeightStore
from tests.covo_cli.fd.small_work import VOICES, manifest, say

SMALL = EncoderConfig(16, 2, 2, 32, mels=8, positions=200, scale_embedding=False)
OWN_NAMES = {
    "self_attn_layer_norm": "self_attention/layer_norm",
    "self_attn.out_proj": "self_attention/linear_1",
    "final_layer_norm": "ffn/layer_norm",
    "fc1": "ffn/linear_0",
    "fc2": "ffn/linear_1",
}


def write_model(path: Path, encoder: torch.nn.Module) -> None:
    """Write ``encoder`` as CTranslate2 does, beside a part of a decoder."""
    state = encoder.state_dict()
    found = {"decoder/alibi": np.int8([1]), "encoder/num_heads": np.int16(2)}
    for name, tensor in state.items():
        place, _, kind = name.rpartition(".")
        if ".k_proj" in name or ".v_proj" in name:
            continue
        if place == "embed_positions":
            own = "position_encodings/encodings"
        else:
            kind = {"weight": "gamma", "bias": "beta"}[kind] if "norm" in place else kind
            if place.startswith("layers."):
                _, number, part = place.split(".", 2)
                own = f"layer_{number}/{OWN_NAMES.get(part, 'self_attention/linear_0')}"
            else:
                own = place
            own = f"{own}/{kind}"
        parts = [tensor]
        if ".q_proj" in name:
            none = torch.zeros_like(tensor)  # a key's bias
            parts += [state.get(name.replace("q_proj", f"{part}_proj"), none) for part in "kv"]
        found[f"encoder/{own}"] = torch.cat(parts).numpy().astype(np.float16)
    numbers = {"float16": 4, "int8": 1, "int16": 2}
    with path.open("wb") as file:

        def text(value: str) -> None:
            file.write(struct.pack("<H", len(value) + 1) + value.encode() + b"\0")

        file.write(struct.pack("<I", 6))
        text("WhisperSpec")
        file.write(struct.pack("<II", 3, len(found)))
        for name, values in found.items():
            text(name)
            file.write(struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape))
            file.write(struct.pack("<BI", numbers[str(values.dtype)], values.nbytes))
            file.write(values.tobytes())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small encoder with random weights, and its file."""
    torch.manual_seed(0)
    encoder = whisper_encoder(SMALL).half().float().eval()
    path = tmp_path_factory.mktemp("whisper") / "model.bin"
    write_model(path, encoder)
    return encoder, path


def test_the_weights_are_read_as_they_are(small):
    encoder, path = small
    read = read_whisper_encoder(path, SMALL)
    assert read.state_dict().keys() == encoder.state_dict().keys()
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor), name
    shorter = read_whisper_encoder(path, SMALL, positions=50)
    mel = torch.randn(1, SMALL.mels, 100)
    assert shorter(mel).last_hidden_state.shape == (1, 50, SMALL.hidden)


def test_other_files_are_refused(small, tmp_path):
    _, path = small
    with pytest.raises(WeightsError, match="another encoder than Whisper base's"):
        read_whisper_encoder(path)
    for content, reason in (
        (b"GGUF" * 20, "is no Whisper model"),
        (path.read_bytes()[:3000], "cannot read"),
        (b"", "cannot read"),
    ):
        (tmp_path / "model.bin").write_bytes(content)
        with pytest.raises(WeightsError, match=reason):
            read_whisper_encoder(tmp_path / "model.bin", SMALL)


def test_a_chunk_knows_nothing_of_what_comes_after_it(small):
    student = causal_encoder(read_whisper_encoder(small[1], SMALL), 160, 25, SMALL)
    audio = np.random.default_rng(0).normal(0, 0.1, USER_RATE).astype(np.float32)
    changed = audio.copy()
    changed[5 * 2560 :] = 0.0
    whole, other = (torch.tensor(np.array(hear_in_chunks(student, a))) for a in (audio, changed))
    assert whole.shape == (1, 128, SMALL.hidden)  # 1 s and 1.5 s of silence, in whole chunks
    assert torch.allclose(whole[:, :40], other[:, :40], atol=1e-5)
    assert not torch.allclose(whole[:, 40:48], other[:, 40:48], atol=1e-2)


@pytest.mark.weights
def test_whisper_base_hears_what_it_hears_in_its_own_library():
    ctranslate2 = pytest.importorskip("ctranslate2")
    folder = WeightStore(models_dir(load_settings())).whole("whisper-base")
    ears = WhisperEars(folder, precision="float32")
    mel = log_mel(say("low", "some words to hear"), 5 * USER_RATE)
    own = np.array(ears._model.encode(ctranslate2.StorageView.from_array(mel[None])))[0]
    encoder = read_whisper_encoder(ears.weights, positions=250)
    with torch.inference_mode():
        read = encoder(torch.from_numpy(mel)[None]).last_hidden_state[0].numpy()
    assert np.abs(read - own).max() < 1e-3 * np.abs(own).max()


# What is measured


def test_utterances_to_measure(tmp_path):
    spoken = []

    def speak(voice, text):
        spoken.append(voice)
        return say("low", text)

    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav", say("high", f"{name} b c"), USER_RATE)
    (tmp_path / "a.txt").write_text("what a said")
    found = list(measured_utterances(speak, 8, tmp_path))
    assert [one.group for one in found[:2]] == ["synthetic", "synthetic, noise at 12 dB"]
    assert found[0].text == found[1].text != found[2].text
    assert len(found[2].text.split()) > 2 * len(found[0].text.split())
    assert [(one.group, one.text) for one in found[16:]] == [("people", "what a said")]
    assert set(spoken) == set(UNSEEN)
    assert not set(UNSEEN) & set(OTHER_VOICES)


class EarsOfAList:
    """Hears an utterance's number, and reads the words at that place; in chunks, the wrong ones."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        self.made: list[tuple[int, float, Path | None]] = []

    def whole(self, audio):
        return int(audio[0])

    def causal(self, chunk_ms, look_back_s, trained=None):
        self.made.append((chunk_ms, look_back_s, trained))
        return lambda audio: int(audio[0]) - 1 if trained is None else int(audio[0])

    def words(self, encoded, seconds):
        return self.texts[encoded]


def test_errors_are_counted_by_group():
    pytest.importorskip("jiwer")
    spoken = [
        replace(one, audio=np.float32([number] * USER_RATE))
        for number, one in enumerate(measured_utterances(say_low, 2, None))
    ]
    ears = EarsOfAList([one.text for one in spoken])
    figures = measure_encoder(ears, spoken, Path("weights"), lambda stage: None)
    assert [made[:2] for made in ears.made[:4]] == [(160, 5), (160, 10), (320, 5), (320, 10)]
    assert [made[2] for made in ears.made] == [None] * 4 + [Path("weights")] * 4
    rates = figures["word_error_rate"]
    assert rates["30 s, both directions"] == {"synthetic": 0.0, "synthetic, noise at 12 dB": 0.0}
    assert rates["160 ms, 5 s back"]["synthetic"] > 0.5
    assert rates["320 ms, 10 s back, trained"]["synthetic"] == 0.0
    looped = [f"{one.text} {one.text}" for one in spoken]
    again = measure_encoder(EarsOfAList(looped), spoken, Path("weights"), lambda stage: None)
    trained = "160 ms, 5 s back, trained"
    assert again["word_error_rate"][trained] == again["inserted_words"][trained]
    assert set(again["inserted_words"][trained].values()) == {1.0}
    assert figures["utterances"]["synthetic"]["count"] == 2


def say_low(voice: str, text: str) -> np.ndarray:
    return say("low", text)


# The training


def test_half_of_the_pieces_end_with_silence_behind_a_whole_utterance(tmp_path, monkeypatch):
    monkeypatch.setattr(utterances, "in_a_place", lambda piece, *place: piece)
    for number, seconds in enumerate((0.7, 1.6)):
        write_audio(tmp_path / f"{number}.wav", np.ones(round(seconds * USER_RATE)), USER_RATE)
    sounds, random = sorted(tmp_path.iterdir()), np.random.default_rng(1)
    pieces = [draw_piece(sounds, 5 * USER_RATE, default_sound(), random) for _ in range(60)]
    silent = [len(piece) - np.flatnonzero(piece)[-1] for piece in pieces]
    assert 28 < sum(length > USER_RATE // 2 for length in silent) < 45  # without, 9


TINY = EarsTraining(
    **{"steps": 6, "utterances": 5, "look_back": 20, "pieces": 2, "piece_s": 1.28},
    **{"learning_rate": 5e-3, "save_every": 2, "judge_every": 2, "judged": 2},
)


def ears_trainer(folder: Path, weights: Path) -> EarsTrainer:
    return EarsTrainer(
        folder,
        weights,
        TINY,
        default_sound(),
        lambda voice, text: say(list(VOICES)[len(voice) % 3], text),
        SMALL,
    )


def test_a_stopped_training_goes_on_to_the_same_weights(small, tmp_path):
    def trainer(folder: str) -> EarsTrainer:
        return ears_trainer(tmp_path / folder, small[1])

    assert list(trainer("one").run()) == list(range(1, 12))
    stopped = trainer("other").run()
    assert [next(stopped) for _ in range(3)] == [1, 2, 3]
    stopped.close()
    stopped = trainer("other").run()
    assert [next(stopped) for _ in range(5)][-1] == 8  # the third step, which is not on disk
    stopped.close()
    assert list(trainer("other").run()) == [8, 9, 10, 11]
    assert list(trainer("one").run()) == []
    one, other = (load_file(tmp_path / folder / ENCODER) for folder in ("one", "other"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    before = small[0].state_dict()
    changed = {name for name in one if not torch.equal(one[name], before[name])}
    assert changed == one.keys() - {"embed_positions.weight"}
    for name in ("losses.jsonl", "judged.jsonl", "manifest.json"):
        same = (tmp_path / folder / name for folder in ("one", "other"))
        assert len({path.read_bytes() for path in same}) == 1
    for name in ("model.bin", "other.bin"):
        (tmp_path / name).write_bytes(small[1].read_bytes() + name.encode())
    ears_trainer(tmp_path / "third", tmp_path / "model.bin")
    with pytest.raises(CliError, match="begun with another weights"):
        ears_trainer(tmp_path / "third", tmp_path / "other.bin")


def test_the_best_encoder_is_kept_on_the_way(small, tmp_path, monkeypatch):
    """So that it can be measured, or used should the training be stopped for good."""
    losses, judged = iter((1.0, 0.5, 0.7, 0.6)), []

    def judge(self, sounds):
        judged.append(self._student.encoder.conv1.weight.detach().clone())
        return next(losses)

    monkeypatch.setattr(Distilling, "judge", judge)
    trainer = ears_trainer(tmp_path, small[1])
    for done in trainer.run():
        kept = load_file(tmp_path / ENCODER)["conv1.weight"] if judged else None
        if done > 5:
            assert torch.equal(kept, judged[0 if done < 7 else 1])
    found = [(one.step, one.loss) for one in trainer.judged]
    assert found == [(0, 1.0), (2, 0.5), (4, 0.7), (6, 0.6)]
    assert torch.equal(judged[0], small[0].conv1.weight)
    assert manifest(tmp_path)["counts"]["best step"] == 2
