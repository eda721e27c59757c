"""Models from the hub: check them, and pull what is missing.

A model lives in ``<root>/<name>/`` in the layout that its engine reads, with ``covo.json``
(:mod:`model.weights.hub.manifest`). Accepted licences stay in ``<root>/licences/`` when a model is
removed, so that pulling it again does not ask again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from model.errors import WeightsError
from model.weights.files import Progress, WeightState, locked, remove_folder, writing
from model.weights.hub.download import Remote, code_url
from model.weights.hub.licence import agree, fetch_text, given_consent, licence_text, read_consent
from model.weights.hub.manifest import MANIFEST, Consent, Manifest, read_manifest
from model.weights.hub.pull import Pull, come, damages
from model.weights.hub.source import HubModel, ModelUse, hub_models
from voices.folders import expanded


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """The state of ``model`` in ``folder``.

    ``have`` counts the bytes already downloaded. ``manifest`` is None before the first pull,
    ``consent`` before the licence was accepted.
    """

    model: HubModel
    folder: Path
    state: WeightState
    problems: tuple[str, ...] = ()
    have: int = 0
    manifest: Manifest | None = None
    consent: Consent | None = None

    @property
    def size(self) -> int:
        """Total bytes of the model; 0 while unknown."""
        return self.manifest.size if self.manifest else 0

    def check_ready(self) -> None:
        """Raise WeightsError, with the remedy, when the model is missing or incomplete."""
        name = self.model.name
        remedy = f"get it with `covo models pull {name}`"
        if self.state is WeightState.MISSING:
            raise WeightsError(f"{name} is not downloaded; {remedy}")
        if self.state is not WeightState.READY:
            raise WeightsError(f"{name} is incomplete: {self.problems[0]}; {remedy}")


class HubStore:
    """The models under ``root``. Any number of processes may pull the same model at once.

    ``models`` defaults to those that covo knows. ``hub`` and ``code_host`` replace the public
    addresses (:class:`model.weights.hub.download.Remote`).
    """

    def __init__(
        self,
        root: Path,
        models: Iterable[HubModel] | None = None,
        hub: str = "",
        code_host: str = "",
    ) -> None:
        self.root = root
        self.models = tuple(hub_models() if models is None else models)
        self._hub = hub
        self._code_host = code_host

    def find(self, name: str) -> HubModel:
        """Return the model called ``name``. Raises: WeightsError."""
        for model in self.models:
            if model.name == name:
                return model
        known = ", ".join(model.name for model in self.models)
        raise WeightsError(f"there is no model called {name!r}; there are: {known}")

    def folder(self, model: HubModel) -> Path:
        """Return the folder of ``model``, whether or not it exists."""
        return self.root / model.name

    def status(self) -> list[ModelStatus]:
        """Return the state of each model by the sizes of its files, which is quick."""
        return [self._status(model, deep=False) for model in self.models]

    def verify(self, name: str, progress: Progress = lambda _: None) -> ModelStatus:
        """Return the state of the model called ``name`` after reading every byte.

        Raises: WeightsError when there is no such model.
        """
        return self._status(self.find(name), deep=True, progress=progress)

    def accept_licence(self, name: str, accept: Callable[[HubModel, Path], bool]) -> None:
        """Ask for consent to the licence of the model called ``name``, unless it was given before.

        ``accept`` is called with the model and the path of the licence's text. Nothing is recorded
        when there is no text or the answer is no. Raises: WeightsError.
        """
        model = self.find(name)
        with writing(self.folder(model)):
            if given_consent(model, self.root) is None:
                remote = Remote(self._hub, self._code_host)
                with locked(self.root, name, lambda _: None):
                    sha256 = fetch_text(model, self.root, remote)
                agree(model, self.root, sha256, accept)

    def licence_place(self, name: str) -> str:
        """Return the path of the licence's text, or its address before it was fetched; the model's
        page if its files have no text of it."""
        model = self.find(name)
        if not model.licence.file:
            text = self.folder(model) / "LICENSE"
            return str(text) if text.exists() else f"{self._hub}/{model.hub.repo}"
        text = licence_text(model, self.root)
        if text.exists():
            return str(text)
        return code_url(self._code_host, model.code, model.licence.file)

    def pull(
        self, name: str, progress: Progress = lambda _: None, *, revision: str = ""
    ) -> list[str]:
        """Fetch the missing files of the model called ``name`` and return their names.

        ``revision`` is a commit, branch or tag of the hub to change to; by default the commit of
        the first pull is kept. A pull that was interrupted continues where it stopped.
        Raises: WeightsError, also without a recorded consent to the licence.
        """
        model = self.find(name)
        remote = Remote(self._hub, self._code_host)
        with writing(self.folder(model)), locked(self.root, name, progress):
            consent = given_consent(model, self.root)
            if consent is None:
                raise WeightsError(
                    f"the licence of {name} was not accepted yet; read it with "
                    f"`covo models license {name}`"
                )
            return Pull(model, self.folder(model), remote, progress).run(consent, revision)

    def remove(self, name: str) -> int:
        """Delete the model called ``name`` and return the bytes that this freed.

        The consent to its licence stays on record. Raises: WeightsError.
        """
        model = self.find(name)
        folder = self.folder(model)
        if not folder.exists():
            return 0
        with writing(self.folder(model)), locked(self.root, name, None):
            # Without its manifest the model is incomplete, even if the removal is cut short.
            (folder / MANIFEST).unlink(missing_ok=True)
            return remove_folder(folder)

    def _status(
        self, model: HubModel, *, deep: bool, progress: Progress = lambda _: None
    ) -> ModelStatus:
        folder = self.folder(model)
        status = ModelStatus(model, folder, WeightState.MISSING)
        try:
            status = replace(status, consent=read_consent(model, self.root))
            if not folder.is_dir():
                return status
            manifest = read_manifest(folder)
        except WeightsError as error:
            return replace(status, state=WeightState.DAMAGED, problems=(str(error),))
        if manifest is None:
            problem = f"{folder} has no {MANIFEST}: the pull stopped early, or was not covo's"
            return replace(status, state=WeightState.PARTIAL, problems=(problem,))
        wrong = damages(folder, manifest.files, deep=deep, progress=progress)
        state = WeightState.PARTIAL if wrong else WeightState.READY
        if any((folder / file.name).exists() for file in wrong):
            state = WeightState.DAMAGED
        return replace(
            status,
            state=state,
            problems=tuple(wrong.values()),
            have=manifest.size - sum(file.size - come(folder, file) for file in wrong),
            manifest=manifest,
        )


def find_model(name_or_folder: str, root: Path, use: ModelUse = ModelUse.ENGINE) -> Path:
    """Return the folder of a model: by its name in the store at ``root``, or any other folder.

    Only models for ``use`` have names here.

    Raises: WeightsError, with the remedy, when the model is missing or incomplete.
    """
    known = [status for status in HubStore(root).status() if status.model.use is use]
    for status in known:
        if name_or_folder == status.model.name:
            status.check_ready()
            return status.folder
    folder = expanded(name_or_folder)
    if folder.is_dir():
        return folder
    names = ", ".join(status.model.name for status in known)
    raise WeightsError(f"{name_or_folder!r} is neither a folder nor a known model; models: {names}")


def find_chat_file(name_or_file: str, root: Path) -> Path:
    """Return the GGUF file of a chat model: by its name in the store at ``root``, or any other
    file, which is not looked at.

    Raises: WeightsError, with the remedy, when the model is missing or incomplete.
    """
    for status in HubStore(root).status():
        if status.model.use is ModelUse.CHAT and name_or_file == status.model.name:
            status.check_ready()
            # llama.cpp finds the further parts of a model by the name of the first.
            return min(status.folder.glob("*.gguf"))
    return expanded(name_or_file)
