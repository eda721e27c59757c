"""Begin a work: agree to the licence, and write the recipe and the protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from covo_cli.errors import CliError
from covo_cli.fd.recipe import FdRecipe, Size, written_recipe
from covo_cli.fd.records import PROFILE, RECIPE
from covo_cli.fd.work import digest
from covo_cli.process.whole_file import write_text
from covo_cli.settings.settings import Settings, models_dir
from model.duplex.making.start import student_profile
from model.duplex.protocol.profile import profile_text
from model.weights.hub.licence import licence_text
from model.weights.hub.source import HubModel
from model.weights.hub.store import HubStore, find_model
from voices.folders import make_folder

CONSENT = "consent.json"
TEACHER = "covo-audio-chat"
"""The model whose licence binds everything that is made of its weights."""


@dataclass(frozen=True, slots=True)
class WorkTerms:
    """What has to be agreed to: the licence of ``model``, its full text at ``place``."""

    model: HubModel
    place: str

    @property
    def lines(self) -> tuple[str, ...]:
        """What the user reads before agreeing."""
        return (
            f"{self.model.name} is licensed under the {self.model.licence.name}:",
            *(f"  {term}" for term in self.model.licence.terms),
            f"  Full text: {self.place}",
            "The answers that it gives and the weights that are trained on them are made of it and "
            "are bound in the same way: keep them to yourself, and publish neither.",
        )


def work_terms(settings: Settings) -> WorkTerms:
    """Return the terms of the teacher's weights. Raises: WeightsError."""
    store = HubStore(
        models_dir(settings), hub=settings.models.hub, code_host=settings.models.code_host
    )
    return WorkTerms(store.find(TEACHER), store.licence_place(TEACHER))


def begin(
    folder: Path,
    settings: Settings,
    size: Size,
    model: str,
    speaker: str,
    accept: Callable[[WorkTerms], bool],
) -> FdRecipe:
    """Write a new work into ``folder`` and return its recipe.

    ``accept`` is asked first, and its consent recorded. Raises: CliError if there is a work, or the
    answer is no; ModelError if ``model`` cannot be a teacher.
    """
    if (folder / RECIPE).exists():
        raise CliError(f"{folder / RECIPE} is there already; choose another folder")
    weights = find_model(model, models_dir(settings))
    text = written_recipe(size, str(weights.resolve()), speaker)
    recipe = FdRecipe.read(folder, text)
    profile = student_profile(weights, speaker, recipe.model.duplex_line)
    terms = work_terms(settings)
    if not accept(terms):
        raise CliError("the licence was not accepted, so nothing was begun")
    try:
        make_folder(folder)
        write_text(folder / CONSENT, json.dumps(_consent(terms, settings), indent=1) + "\n")
        write_text(folder / PROFILE, profile_text(profile))
        write_text(folder / RECIPE, text)  # last: with it, the work is there
    except OSError as error:
        raise CliError(f"cannot write {folder}: {error.strerror or error}") from error
    return recipe


def check_consent(folder: Path) -> None:
    """Raises: CliError unless the licence was agreed to in this work."""
    if not (folder / CONSENT).is_file():
        raise CliError(f"{folder} has no {CONSENT}; make a work with `covo fd init`")


def _consent(terms: WorkTerms, settings: Settings) -> dict[str, str]:
    text = licence_text(terms.model, models_dir(settings))
    return {
        "licence": terms.model.licence.name,
        "sha256": digest(text) if text.is_file() else "",
        "says": "\n".join(terms.lines),
        "accepted": datetime.now(UTC).isoformat(timespec="seconds"),
    }
