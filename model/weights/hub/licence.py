"""A model's licence: fetch its text, ask once, and record the consent.

The text is fetched from the code repository before anything else. The record holds its sha256, so
covo asks again when the text changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from model.errors import WeightsError
from model.weights.hub.download import Remote
from model.weights.hub.manifest import Consent, read_record, write_json
from model.weights.hub.source import HubModel


def licence_text(model: HubModel, root: Path) -> Path:
    """Return the path of the licence's text in the store at ``root``."""
    return root / "licences" / f"{model.name}.txt"


def read_consent(model: HubModel, root: Path) -> Consent | None:
    """Return the recorded consent to ``model``'s licence, if any. Raises: WeightsError."""
    return read_record(_record(model, root), Consent)


def given_consent(model: HubModel, root: Path) -> Consent | None:
    """Return the consent to the licence at the pinned commit, if there is or needs to be one.

    Raises: WeightsError.
    """
    if not model.licence.file:
        return Consent(model.licence.name, "", "", "")
    consent = read_consent(model, root)
    if consent is None or consent.revision != model.code.revision:
        return None
    return consent


def fetch_text(model: HubModel, root: Path, remote: Remote) -> str:
    """Fetch the licence's text to :func:`licence_text` and return its sha256.

    Raises: WeightsError, OSError.
    """
    text = licence_text(model, root)
    wanted = next(file for file in model.code.files if file.name == model.licence.file)
    part = text.with_suffix(".part")
    digest = remote.fetch_code(model.code, wanted, part).digest
    if model.licence.says not in part.read_text(encoding="utf-8", errors="replace"):
        part.unlink()
        raise WeightsError(
            f"the download of the licence of {model.code.repo} is not its text; check the setting "
            f"models.code_host and the network, then pull again"
        )
    part.replace(text)
    return digest.partition(":")[2]


def agree(
    model: HubModel, root: Path, sha256: str, accept: Callable[[HubModel, Path], bool]
) -> None:
    """Record the consent to the text with ``sha256``, asking ``accept`` unless it was given before.

    Raises: WeightsError when the answer is no; OSError.
    """
    earlier = read_consent(model, root)
    if earlier is not None and earlier.sha256 == sha256:
        accepted = earlier.accepted
    elif accept(model, licence_text(model, root)):
        accepted = datetime.now(UTC).isoformat(timespec="seconds")
    else:
        raise WeightsError("the licence was not accepted, so nothing was downloaded")
    consent = Consent(model.licence.name, sha256, model.code.revision, accepted)
    write_json(_record(model, root), asdict(consent))


def _record(model: HubModel, root: Path) -> Path:
    return root / "licences" / f"{model.name}.json"
