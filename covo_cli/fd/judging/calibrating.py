"""Stage ``calibrate``: find the biases of SHIFT and BREAK, and write them beside the student.

The output is ``calibration/``: dialogues of the held-out conversations, the margins by which the
student decides in them, and ``trained/duplex.json`` with the biases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from covo_cli.errors import CliError
from covo_cli.fd.laying.maker import DialogueMaker, noise_files
from covo_cli.fd.recipe import FdRecipe
from covo_cli.fd.records import ANSWERS, CALIBRATION, PROFILE, QUESTIONS, TRAINED
from covo_cli.fd.work import Journal, Stage, digest, require
from covo_cli.process.whole_file import write_text
from model.duplex.network.network import DuplexNetwork, load_duplex, load_tokenizer
from model.duplex.protocol.profile import FILE, profile_text, read_profile
from model.duplex.training.dataset import Codec, DialogueFolder
from model.duplex.training.judging.best import JUDGED
from model.duplex.training.judging.calibration import (
    Calibration,
    DecisionMargins,
    calibrate,
    decision_margins,
)
from model.duplex.training.whole import WEIGHTS, remade
from model.errors import DialogueError

MARGINS = "margins.jsonl"
_DIGITS = 4
"""Of what is written: finer than the edge that the calibration leaves."""


class CalibrationStage:
    """The stage in the work ``folder``; ``device`` as torch names it. Raises: CliError if nothing
    was trained or held out."""

    def __init__(self, folder: Path, recipe: FdRecipe, device: str) -> None:
        self._folder, self._recipe, self._device = folder, recipe, device
        inputs = {
            "recipe": recipe.numbers("timing", "sound", "calibration"),
            "profile": digest(folder / PROFILE),
            "questions": require(folder / QUESTIONS, "questions"),
            "answers": require(folder / ANSWERS, "answers"),
            "student": student_digest(folder),
            "noises": {str(path): digest(path) for path in noise_files(recipe)},
        }
        self._maker = DialogueMaker(folder, recipe, read_profile(folder), held_out=True)
        self.stage = Stage(folder / CALIBRATION, inputs)
        self._journal = Journal(self.stage.folder / MARGINS, DecisionMargins)

    def __len__(self) -> int:
        return len(self._maker.usable) * self._recipe.calibration.rounds

    @property
    def done(self) -> int:
        """Return how many dialogues were heard."""
        return len(self._journal)

    def run(self) -> Iterator[int]:
        """Let the student hear the dialogues that are missing, then write the biases; yield the
        number that it heard.

        Raises: CliError, NetworkConfigError, WeightsError, TrainingError.
        """
        if self.done < len(self):
            yield from self._hear()
        found = self._found()
        student = self._folder / TRAINED
        profile = replace(
            read_profile(student),
            shift_bias=round(found.shift_bias, _DIGITS),
            stop_bias=round(found.stop_bias, _DIGITS),
        )
        write_text(student / FILE, profile_text(profile))
        if not self.stage.complete:
            self._finish(found)

    def _found(self) -> Calibration:
        settings = self._recipe.calibration
        return calibrate(self._margins(), takeovers=settings.takeovers, stops=settings.stops)

    def _margins(self) -> DecisionMargins:
        return sum(self._journal, DecisionMargins())

    def _hear(self) -> Iterator[int]:
        student, target = self._folder / TRAINED, self.stage.folder
        network = load_student(self._folder, self._device, merge=False)
        tokenizer = load_tokenizer(student, network.profile)
        while self.done < len(self):
            self._maker.write(target, self.done)
            dialogues = DialogueFolder(target, network.grammar, tokenizer, Codec.NONE)
            path = target / f"{self.done:06}.flac"
            try:
                margins = decision_margins(network, *dialogues.read(path))
            except DialogueError as error:
                raise CliError(f"{path}: {error}") from error
            self._journal.append([margins])
            yield self.done

    def _finish(self, found: Calibration) -> None:
        margins = self._margins()
        free = calibrate(margins, takeovers=1.0, stops=1.0)
        counts = {
            "dialogues": self.done,
            "pauses": len(margins.pauses),
            "turns": len(margins.ends),
            "backchannels": len(margins.backchannels),
            "interruptions": len(margins.interruptions),
            "shift_bias": round(found.shift_bias, _DIGITS),
            "stop_bias": round(found.stop_bias, _DIGITS),
            "begins in pauses, before": round(free.takeovers, _DIGITS),
            "begins in pauses": round(found.takeovers, _DIGITS),
            "answers turns in time, before": round(free.taken, _DIGITS),
            "answers turns in time": round(found.taken, _DIGITS),
            "stops for backchannels, before": round(free.stops, _DIGITS),
            "stops for backchannels": round(found.stops, _DIGITS),
            "stops for interruptions, before": round(free.stopped, _DIGITS),
            "stops for interruptions": round(found.stopped, _DIGITS),
        }
        self.stage.finish(counts, {}, MARGINS)


def student_digest(folder: Path) -> str:
    """Return the digest of the trained weights. Raises: CliError if there are none."""
    weights = folder / TRAINED / WEIGHTS
    if not weights.is_file():
        raise CliError(
            f"{weights.parent} has no trained weights; run `covo train duplex --config "
            f"{folder / 'train.toml'}` first"
        )
    return digest(weights)


def load_student(folder: Path, device: str, *, merge: bool = True) -> DuplexNetwork:
    """Load the trained network of the work ``folder``. Raises: NetworkConfigError, WeightsError."""
    remedy = (
        f"write it again: `covo train duplex --config {folder / 'train.toml'} --take STEP`, with a "
        f"step of {folder / TRAINED / JUDGED}"
    )
    with remade(remedy):
        return load_duplex(folder / TRAINED, device=device, merge=merge)
