"""Stage ``encoder``: the causal encoder, and the checkpoint that the student begins with.

The output is ``encoder/`` with the losses, and ``start/``, a whole full-duplex checkpoint with a
manifest of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from covo_cli.errors import CliError
from covo_cli.fd.recipe import FdRecipe
from covo_cli.fd.records import DIALOGUES, ENCODER, PROFILE, START
from covo_cli.fd.work import MANIFEST, Journal, Stage, digest, require, tenths, weights_digest
from model.duplex.making.causal import CausalSettings, CausalTrainer
from model.duplex.making.distilling import DistillingSettings
from model.duplex.protocol.profile import read_profile

LOSSES = "losses.jsonl"


class EncoderStage:
    """The stage in the work ``folder``; it hears the user's channel of the dialogues. Raises:
    CliError if there are none."""

    def __init__(self, folder: Path, recipe: FdRecipe, device: str) -> None:
        self._folder, self._recipe, self._device = folder, recipe, device
        settings = recipe.encoder
        self.stage = Stage(
            folder / ENCODER,
            {
                "recipe": recipe.numbers("model", "encoder"),
                "profile": digest(folder / PROFILE),
                "model": weights_digest(Path(recipe.model.folder)),
                "dialogues": require(folder / DIALOGUES, "dialogues"),
            },
        )
        self._settings = CausalSettings(
            DistillingSettings(
                steps=settings.steps,
                pieces=round(settings.seconds_per_step / settings.seconds_per_piece),
                warm_up=settings.warm_up,
                cosine=settings.cosine,
                save_every=settings.save_every,
                seed=recipe.seed,
            ),
            piece_s=settings.seconds_per_piece,
            lora_rank=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            learning_rate=settings.learning_rate,
            frontend_rate=settings.frontend_rate,
            adapter_rate=settings.adapter_rate,
        )
        if not self.stage.complete and (folder / START / MANIFEST).is_file():
            raise CliError(f"{folder / START} was made of another encoder; delete it, too")
        self._losses = Journal(self.stage.folder / LOSSES, float)

    def __len__(self) -> int:
        return self._recipe.encoder.steps

    @property
    def done(self) -> int:
        """Return the steps whose loss is known."""
        return len(self._losses)

    def run(self) -> Iterator[int]:
        """Run the remaining steps, then write the checkpoint; yield the steps that are done.

        Raises: CliError, also if the checkpoint is no longer what was made; TrainingError,
        NetworkConfigError, WeightsError.
        """
        if self.stage.complete and self._start().complete:
            require(self._folder / START, "encoder")
            return
        sounds = sorted((self._folder / DIALOGUES).glob("*.flac"))
        if not sounds:
            raise CliError(f"{self._folder / DIALOGUES} has no sound")
        trainer = CausalTrainer(
            Path(self._recipe.model.folder),
            read_profile(self._folder),
            self.stage.folder,
            sounds,
            self._settings,
            self._device,
        )
        self._losses.keep(trainer.step)
        for step, loss in trainer.run():
            self._losses.append([loss])
            yield step
        if not self.stage.complete:
            self._finish()
        start = self._start()
        start.finish({}, {}, *trainer.export(start.folder))

    def _start(self) -> Stage:
        """Return the checkpoint, made of the complete encoder."""
        made_of = {ENCODER: digest(self.stage.folder / MANIFEST)}
        return Stage(self._folder / START, made_of)

    def _finish(self) -> None:
        counts: dict[str, float] = {"steps": len(self._losses)}
        if curve := tenths(self._losses):
            counts |= {"loss of the first tenth": curve[0], "loss of the last tenth": curve[-1]}
        self.stage.finish(counts, {}, LOSSES)
