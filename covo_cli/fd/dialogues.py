"""Stage ``dialogues``: lay the answered conversations out in time, and write them for training.

The output is ``dialogues/`` (:class:`~covo_cli.fd.laying.maker.DialogueMaker`). In it are
``chat/``, the same answers in the teacher's own format, and ``held_out/``, dialogues of the
held-out conversations by which the training is judged; beside it is ``train.toml``, the training's
configuration.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from audio_io.clock import USER_RATE
from audio_io.files import read_audio
from covo_cli.fd.laying.maker import DialogueMaker, WrittenDialogue, noise_files
from covo_cli.fd.recipe import FdRecipe
from covo_cli.fd.records import ANSWERS, CHAT, DIALOGUES, HELD_OUT, PROFILE, QUESTIONS
from covo_cli.fd.training import TRAINING, ChatWriter, write_training
from covo_cli.fd.work import Journal, Stage, digest, require
from model.duplex.protocol.profile import read_profile
from voices.folders import make_folder

WRITTEN = "written.jsonl"


class Dialogues:
    """The stage in the work ``folder``. Raises: CliError if earlier stages are incomplete, or
    nothing was answered."""

    def __init__(self, folder: Path, recipe: FdRecipe) -> None:
        self._folder, self._recipe = folder, recipe
        self._profile = read_profile(folder)
        inputs = {
            "recipe": recipe.numbers("timing", "sound", "dialogues"),
            "profile": digest(folder / PROFILE),
            "questions": require(folder / QUESTIONS, "questions"),
            "answers": require(folder / ANSWERS, "answers"),
            "noises": {str(path): digest(path) for path in noise_files(recipe)},
        }
        self._maker = DialogueMaker(folder, recipe, self._profile)
        self.stage = Stage(folder / DIALOGUES, inputs)
        if not self.stage.complete:  # nothing is trained on a part of them
            (folder / TRAINING).unlink(missing_ok=True)
        self._journal = Journal(self.stage.folder / WRITTEN, WrittenDialogue)
        self.done = sum(one.seconds for one in self._journal)
        """Seconds of the dialogues that are there."""

    def __len__(self) -> int:
        """Return the seconds of the dialogues to be made."""
        return round(self._recipe.dialogues.hours * 3600)

    def run(self) -> Iterator[float]:
        """Write dialogues until there are enough; yield the seconds that are there.

        They may end before, when each conversation was laid out as often as the recipe allows.
        """
        most = len(self._maker.usable) * self._recipe.dialogues.rounds
        while self.done < len(self) and len(self._journal) < most:
            written = self._maker.write(self.stage.folder, len(self._journal))
            self._journal.append([written])
            self.done += written.seconds
            yield self.done
        if not self.stage.complete:
            self._write_chat()
            self._write_held_out()
            self._finish()
        write_training(self._folder, self._recipe)

    def _write_chat(self) -> None:
        model = Path(self._recipe.model.folder)
        writer = ChatWriter(model, self._profile, self._recipe.model.speaker)
        target = self.stage.folder / CHAT
        make_folder(target)
        for index in self._maker.usable:
            turns = self._maker.conversations[index].turns
            sounds = [read_audio(self._maker.sounds / turn.sound, USER_RATE) for turn in turns]
            writer.write(
                target / f"{index:06}.json",
                turns,
                sounds,
                self._maker.answers[index].replies,
            )

    def _write_held_out(self) -> None:
        """Write a dialogue of each held-out conversation, if there are any."""
        if not any(one.held_out for one in self._maker.conversations):
            return
        maker = DialogueMaker(self._folder, self._recipe, self._profile, held_out=True)
        target = self.stage.folder / HELD_OUT
        make_folder(target)
        for number in range(len(maker.usable)):
            if not (target / f"{number:06}.flac").is_file():  # written last
                maker.write(target, number)

    def _finish(self) -> None:
        written = list(self._journal)
        totals = {name: Counter[str]() for name in ("turns", "events", "left_out")}
        for one in written:
            for name, total in totals.items():
                total.update(getattr(one, name))
        turns = totals["turns"].total()
        counts = {
            "dialogues": len(written),
            "hours": round(self.done / 3600, 4),
            "conversations": len({one.conversation for one in written}),
            "turns": turns,
            "shares of the turns": {
                kind: round(count / turns, 4) for kind, count in sorted(totals["turns"].items())
            },
            "events": dict(sorted(totals["events"].items())),
        }
        self.stage.finish(counts, totals["left_out"], WRITTEN)
