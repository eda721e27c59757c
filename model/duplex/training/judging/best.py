"""Judge a network while it is trained, and keep its weights of the steps at which it was best.

Judged is what it decides and writes along held-out dialogues, not its loss: that goes on falling
while a network begins to know less, or to answer in pauses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from safetensors import safe_open
from torch import Tensor, nn

from model.duplex.network.network import DuplexNetwork
from model.duplex.protocol.grammar import Place
from model.duplex.training.dataset import DialogueFolder
from model.duplex.training.judging.calibration import (
    ROWS,
    DecisionMargins,
    calibrate,
    margins_at,
    run_along,
)
from model.duplex.training.sample import Sample, TokenKind
from model.duplex.training.whole import write_tensors, write_whole
from model.errors import TrainingError

JUDGED = "judged.json"
_STEP, _KEPT = "step-", ".kept"
_SOURCE = "source"
"""In the metadata of what is kept."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Shares along the held-out dialogues.

    Args:
        taken: turns that are answered in time, with the bias that the pauses allow.
        stopped: interruptions that are stopped for, with the bias that the backchannels allow.
        written: text tokens that the network would have chosen itself.
    """

    taken: float
    stopped: float
    written: float

    @property
    def score(self) -> float:
        """What is best: the mean of the shares."""
        return (self.taken + self.stopped + self.written) / 3


class BestSteps:
    """Keeps in ``folder`` the ``trained`` weights of ``network`` of the ``count`` steps at which it
    was best along ``dialogues``, and all judgements.

    ``source``: digest of the network that the weights belong to; empty if they are all of it.
    """

    def __init__(
        self,
        folder: Path,
        count: int,
        network: DuplexNetwork,
        trained: Mapping[str, nn.Parameter],
        dialogues: DialogueFolder,
        source: str = "",
    ) -> None:
        self._folder, self._count, self._source = folder, count, source
        self._network, self._trained, self._dialogues = network, trained, dialogues

    @property
    def judgements(self) -> dict[int, Judgement]:
        """Return the judgements by step. Raises: TrainingError."""
        path = self._folder / JUDGED
        if not path.is_file():
            return {}
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[int, Judgement])
        except (OSError, msgspec.MsgspecError) as error:
            raise TrainingError(f"cannot read {path}: {error}; delete it to go on") from error

    def forget(self) -> None:
        """Remove what an earlier run left."""
        for path in (self._folder / JUDGED, *self._folder.glob(f"{_STEP}*{_KEPT}")):
            path.unlink(missing_ok=True)

    def judge(self, step: int) -> Judgement:
        """Judge the network after ``step``, and keep its weights if it is among the best. Raises:
        TrainingError."""
        found = judge(self._network, self._dialogues)
        judged = {**self.judgements, step: found}
        best = _best(judged)[: self._count]
        if step in best:
            tensors = {name: p.detach().contiguous() for name, p in self._trained.items()}
            write_tensors(self._weights(step), tensors, {_SOURCE: self._source})
        write_whole(self._folder / JUDGED, msgspec.json.encode(judged))
        for other in judged.keys() - best:
            self._weights(other).unlink(missing_ok=True)
        return found

    def take(self, step: int | None = None) -> int:
        """Give the network the weights kept after ``step``, or of the best step; return which.

        Raises: TrainingError if they were not kept, or belong to another network.
        """
        kept = [one for one in _best(self.judgements) if self._weights(one).is_file()]
        if not kept or (step is not None and step not in kept):
            known = ", ".join(map(str, kept)) or "none"
            what = "any step" if step is None else f"step {step}"
            raise TrainingError(
                f"{self._folder} has no weights of {what}; those kept, the best first: {known}"
            )
        taken = kept[0] if step is None else step
        path = self._weights(taken)
        with safe_open(path, framework="pt") as kept_file, torch.no_grad():
            if (kept_file.metadata() or {}).get(_SOURCE) != self._source:
                raise TrainingError(
                    f"{path} belongs to another network.folder; restore it, or train again"
                )
            for name, parameter in self._trained.items():
                parameter.copy_(kept_file.get_tensor(name))
        return taken

    def _weights(self, step: int) -> Path:
        return self._folder / f"{_STEP}{step:06}{_KEPT}"


@torch.inference_mode()
def judge(network: DuplexNetwork, dialogues: DialogueFolder) -> Judgement:
    """Judge ``network`` along ``dialogues``. Raises: TrainingError."""
    network.eval()
    margins, written, count = DecisionMargins(), 0, 0
    for dialogue, events in dialogues.timed():
        sample, hidden = run_along(network, dialogue)
        margins += margins_at(network, sample, hidden, events)
        right, of = _written(network, sample, hidden)
        written, count = written + right, count + of
    found = calibrate(margins)
    shares = (found.taken, found.stopped, written / max(1, count))
    return Judgement(*(round(share, 4) for share in shares))


def _written(network: DuplexNetwork, sample: Sample, hidden: Tensor) -> tuple[int, int]:
    """Return how many text tokens of ``sample`` the network would have chosen, and of how many."""
    right = count = 0
    for place in (Place.SPEAK, Place.TEXT):
        where = ((sample.kinds == TokenKind.TEXT) & (sample.places == place)).nonzero()[0]
        at = torch.from_numpy(where).to(hidden.device)
        wanted = torch.from_numpy(sample.ids[where]).to(hidden.device)
        for rows, ids in zip(hidden[at - 1].split(ROWS), wanted.split(ROWS), strict=True):
            chosen = network.ids(place)[network.logits(rows, place).argmax(dim=1)]
            right += int((chosen == ids).sum())
        count += len(where)
    return right, count


def _best(judged: Mapping[int, Judgement]) -> list[int]:
    """Return the steps, the best first, and of equal ones the latest."""
    return sorted(judged, key=lambda step: (judged[step].score, step), reverse=True)
