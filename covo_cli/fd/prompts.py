"""Stage ``prompts``: let the half-duplex weights write what users ask.

Given nothing but the opening of a user's turn, they go on with one. The output is
``prompts/prompts.txt``, a line each, for the stage ``questions``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from covo_cli.fd.answers import load_teacher
from covo_cli.fd.plan import language_of
from covo_cli.fd.recipe import FdRecipe, PromptsSection
from covo_cli.fd.records import PROMPTS
from covo_cli.fd.work import Journal, Stage, weights_digest
from covo_cli.process.whole_file import write_text

FILE, BLOCKS = "prompts.txt", "blocks.jsonl"

_FIRST_SEED = 1 << 40
"""Beyond those of the answers."""
_UNSPOKEN = re.compile(r"https?:|www\.|[\n\t{}<>\[\]*#|_=/\\^~`@]|\ufffd")
"""What nobody says: several lines, markup, formulas, addresses, broken characters."""
_SAID = re.compile(r"[\u4e00-\u9fff]|[^\W_]+(?:'\w+)?")
"""A word, or a Chinese character."""


@dataclass(frozen=True, slots=True)
class WrittenPrompts:
    """What a block of attempts gave: the ``texts`` that are kept, and how many were ``dropped``
    for what reason."""

    texts: tuple[str, ...]
    dropped: dict[str, int]


class Prompts:
    """The stage in the work ``folder``, for as many prompts as ``questions`` says; ``device`` as
    torch names it. Raises: CliError."""

    def __init__(self, folder: Path, recipe: FdRecipe, device: str) -> None:
        self._recipe, self._device = recipe, device
        self.stage = Stage(
            folder / PROMPTS,
            {
                "recipe": recipe.numbers("model", "prompts"),
                "count": len(self),
                "model": weights_digest(Path(recipe.model.folder)),
            },
        )
        self._journal = Journal(self.stage.folder / BLOCKS, WrittenPrompts)
        self._kept = {_plain(text): text for one in self._journal for text in one.texts}

    def __len__(self) -> int:
        return self._recipe.questions.count

    @property
    def done(self) -> int:
        """Return how many prompts are kept."""
        return len(self._kept)

    def run(self) -> Iterator[int]:
        """Write what is missing; yield how many prompts are kept.

        Raises: WeightsError, NetworkConfigError, NetworkInputError.
        """
        settings = self._recipe.prompts
        blocks = -(-round(len(self) * settings.attempts) // settings.block)
        if self.done < len(self) and len(self._journal) < blocks:
            teacher = load_teacher(self._recipe, self._device, settings.longest, settings.streams)
            while self.done < len(self) and len(self._journal) < blocks:
                first = self._recipe.seed + _FIRST_SEED + len(self._journal) * settings.block
                seeds = range(first, first + settings.block)
                written = dict(
                    teacher.write_turns(seeds, settings.temperature, settings.top_k, settings.limit)
                )
                self._journal.append([self._sorted(written[n] for n in range(len(seeds)))])
                yield self.done
        if not self.stage.complete:
            self._finish()

    def _sorted(self, texts: Iterator[str | None]) -> WrittenPrompts:
        dropped: Counter[str] = Counter()
        kept: list[str] = []
        for text in texts:
            said = None if text is None else " ".join(text.strip(" ").split(" "))
            if reason := why_no_prompt(said, self._recipe.prompts):
                dropped[reason] += 1
            elif said is not None and _plain(said) in self._kept:
                dropped["written before"] += 1
            elif said is not None and len(self._kept) < len(self):
                self._kept[_plain(said)] = said
                kept.append(said)
        return WrittenPrompts(tuple(kept), dict(sorted(dropped.items())))

    def _finish(self) -> None:
        write_text(self.stage.folder / FILE, "".join(f"{text}\n" for text in self._kept.values()))
        dropped = sum((Counter(one.dropped) for one in self._journal), Counter[str]())
        languages = Counter(language_of(text) for text in self._kept.values())
        counts = {"prompts": self.done, "languages": dict(sorted(languages.items()))}
        self.stage.finish(counts, dropped, FILE, BLOCKS)


def why_no_prompt(text: str | None, settings: PromptsSection) -> str:
    """Return why ``text`` (None: without an end) is nothing to say, or an empty string."""
    if text is None:
        return "without an end within the limit"
    if _UNSPOKEN.search(text):
        return "not as one speaks"
    low, high = settings.words
    if not low <= len(_SAID.findall(text)) <= high:
        return "too few or too many words"
    return ""


def _plain(text: str) -> str:
    return " ".join(_SAID.findall(text.casefold()))
