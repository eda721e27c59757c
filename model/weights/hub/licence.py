"""The licence of a model: shown once, and the consent to it on record.

The text comes from the code repository before anything else does. The record holds its sha256, so
another text is asked about anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from model.errors import WeightsError
from model.weights.hub.download import Remote
from model.weights.hub.manifest import Consent, read_json, write_json
from model.weights.hub.source import HubModel


def licence_text(model: HubModel, root: Path) -> Path:
    """Where the text of ``model``'s licence is, once it was fetched into the store at ``root``."""
    return root / "licences" / f"{model.name}.txt"


def read_consent(model: HubModel, root: Path) -> Consent | None:
    """The consent to ``model``'s licence on record at ``root``, if any. Raises: WeightsError."""
    path = _record(model, root)
    values = read_json(path)
    if values is None:
        return None
    try:
        return Consent(**values)
    except TypeError as error:
        raise WeightsError(f"{path} is damaged; delete it and pull again") from error


def given_consent(model: HubModel, root: Path) -> Consent | None:
    """The consent on record, when it is to the text at the pinned commit. Raises: WeightsError."""
    consent = read_consent(model, root)
    if consent is None or consent.revision != model.code.revision:
        return None
    return consent


def fetch_text(model: HubModel, root: Path, remote: Remote) -> str:
    """Fetch the licence's text to :func:`licence_text`; return its sha256.

    Raises: WeightsError, OSError.
    """
    text = licence_text(model, root)
    wanted = next(file for file in model.code.files if file.name == model.licence.file)
    part = text.with_suffix(".part")
    digest = remote.fetch_code(model.code, wanted, part).digest
    if model.licence.says not in part.read_text(encoding="utf-8", errors="replace"):
        part.unlink()
        raise WeightsError(
            f"what was downloaded as the licence of {model.code.repo} is not its text; check the "
            f"setting models.code_host and the network, then pull again"
        )
    part.replace(text)
    return digest.partition(":")[2]


def agree(
    model: HubModel, root: Path, sha256: str, accept: Callable[[HubModel, Path], bool]
) -> None:
    """Put a consent to the text with ``sha256`` on record: an earlier one to the same text, or a
    new one when ``accept`` says yes. Raises: WeightsError when the answer is no; OSError."""
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
