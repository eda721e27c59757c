"""Teach Whisper base's encoder to hear in chunks what it hears in one piece, on speech of its own.

The folder holds the ``sounds``, what a stopped run goes on from, the loss of each step in
``losses.jsonl``, that of utterances which are not learnt from in ``judged.jsonl``, and in
``encoder.safetensors`` the encoder of the step at which the latter was lowest so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from audio_io.clock import USER_RATE
from audio_io.files import write_audio
from covo_cli.endings.examples import examples
from covo_cli.fd.ears.utterances import draw_piece, say_training_texts
from covo_cli.fd.questions import Say
from covo_cli.fd.recipe import SoundSection
from covo_cli.fd.work import Journal, Stage, digest, tenths
from model.covo.config.network_config import EncoderConfig
from model.duplex.making.distilling import Distilling, DistillingSettings
from model.duplex.making.whisper import BASE, causal_encoder, read_whisper_encoder
from model.duplex.protocol.profile import ENCODER_FRAME
from model.duplex.training.whole import write_tensors
from model.lite.mel import log_mel
from voices.folders import make_folder

ENCODER = "encoder.safetensors"
_HELD_OUT = 0.05
"""Share of the utterances that are not learnt from."""


@dataclass(frozen=True, slots=True)
class EarsTraining:
    """How to train.

    Args:
        steps: each hears ``pieces`` of ``piece_s`` seconds.
        utterances: to say beforehand.
        look_back: frames of 20 ms that a chunk sees before it.
        judge_every: steps from one judgement to the next, on ``judged`` pieces.
    """

    steps: int
    utterances: int
    chunk_ms: int = 160
    look_back: int = 250
    pieces: int = 4
    piece_s: float = 9.6
    learning_rate: float = 2e-4
    warm_up: int = 20
    save_every: int = 20
    judge_every: int = 50
    judged: int = 8
    seed: int = 0


@dataclass(frozen=True, slots=True)
class EarsJudgement:
    """The loss after ``step`` on utterances that are not learnt from."""

    step: int
    loss: float


class EarsTrainer:
    """The training in ``folder``, from the encoder in ``weights`` (CTranslate2's ``model.bin``).

    Raises: CliError if it was begun otherwise, TrainingError, WeightsError.
    """

    def __init__(
        self,
        folder: Path,
        weights: Path,
        training: EarsTraining,
        place: SoundSection,
        say: Say,
        config: EncoderConfig = BASE,
    ) -> None:
        inputs = {
            "training": asdict(training),
            "sound": asdict(place),
            "weights": digest(weights),
        }
        self.stage = Stage(folder, inputs)
        self._weights, self._training, self._place, self._say = weights, training, place, say
        self._config = config
        self._sounds = folder / "sounds"
        make_folder(self._sounds)
        self._losses = Journal(folder / "losses.jsonl", float)
        self.judged = Journal(folder / "judged.jsonl", EarsJudgement)

    def __len__(self) -> int:
        return self._training.utterances + self._training.steps

    @property
    def done(self) -> int:
        """Return how many utterances and steps are done."""
        return len(self._files()) + len(self._losses)

    def run(self) -> Iterator[int]:
        """Say what is missing, train, and write the encoder; yield how much is done."""
        if self.stage.complete:
            return
        for _ in self._speak():
            yield self.done
        training = self._training
        learner, encoder, held_out = self._learner()
        self._losses.keep(learner.step)
        self.judged.keep(sum(one.step <= learner.step for one in self.judged))
        if not len(self.judged):
            self._judge(0, learner, encoder, held_out)
        for step, loss in learner.run():
            self._losses.append([round(loss, 5)])
            if step % training.judge_every == 0 or step == training.steps:
                self._judge(step, learner, encoder, held_out)
            yield self.done
        best = min(self.judged, key=lambda one: one.loss)
        counts = {
            "steps": len(self._losses),
            "losses by tenths": tenths(self._losses),
            "best step": best.step,
            "its loss on what was held out": best.loss,
        }
        self.stage.finish(counts, {}, ENCODER)

    def _judge(
        self, step: int, learner: Distilling, encoder: nn.Module, held_out: Sequence[Tensor]
    ) -> None:
        loss = round(learner.judge(held_out), 5)
        if all(loss < one.loss for one in self.judged):
            tensors = {name: t.detach().contiguous() for name, t in encoder.state_dict().items()}
            write_tensors(self.stage.folder / ENCODER, tensors)
        self.judged.append([EarsJudgement(step, loss)])

    def _files(self) -> list[Path]:
        return sorted(self._sounds.glob("*.flac"))

    def _speak(self) -> Iterator[Path]:
        texts = [line for one in examples("en") for line in one.lines if one.whole]
        missing = range(len(self._files()), self._training.utterances)
        said = say_training_texts(self._say, texts, missing)
        for number, sound in zip(missing, said, strict=True):
            path = self._sounds / f"{number:05}.flac"
            write_audio(path, sound, USER_RATE)
            yield path

    def _learner(self) -> tuple[Distilling, nn.Module, list[Tensor]]:
        """Return what learns, its encoder, and the pieces by which it is judged."""
        training = self._training
        torch.manual_seed(training.seed)
        chunk = training.chunk_ms * USER_RATE // 1000
        length = round(training.piece_s * USER_RATE) // chunk * chunk
        config, files = self._config, self._files()
        count = max(1, round(len(files) * _HELD_OUT))
        files, held_out = files[:-count], files[-count:]
        teacher = read_whisper_encoder(self._weights, config, length // ENCODER_FRAME)
        encoder = read_whisper_encoder(self._weights, config)
        student = causal_encoder(encoder, training.chunk_ms, training.look_back, config)

        def teach(audio: Tensor) -> Tensor:
            mel = torch.from_numpy(log_mel(audio.numpy(), length, config.mels))
            heard: Tensor = teacher(mel[None]).last_hidden_state[0]
            return heard

        def piece(random: np.random.Generator, of: Sequence[Path] = files) -> Tensor:
            return torch.from_numpy(draw_piece(of, length, self._place, random))

        learner = Distilling(
            encoder,
            student,
            lambda name: None if name.startswith("embed_positions") else training.learning_rate,
            teach,
            piece,
            DistillingSettings(
                steps=training.steps,
                pieces=training.pieces,
                warm_up=training.warm_up,
                cosine=0.5,
                save_every=training.save_every,
                seed=training.seed,
                anywhere=False,  # an utterance begins where the decoder expects it
                half=True,
            ),
            self.stage.folder,
        )
        random = np.random.default_rng((training.seed, 5))
        return learner, encoder, [piece(random, held_out) for _ in range(training.judged)]
