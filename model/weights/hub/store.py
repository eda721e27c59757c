"""The store of models from the hub: what is there, what it lacks, and how it gets there.

A model lives in ``<root>/<name>/`` in the layout that its engine reads, together with ``covo.json``
(:mod:`model.weights.hub.manifest`). Licences that were accepted are kept beside the models, so that
removing and pulling again does not ask again: ``<root>/licences/<name>.txt`` and ``.json``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from filelock import FileLock, Timeout

from model.errors import WeightsError
from model.weights.hub.download import Remote, code_url
from model.weights.hub.licence import agree, fetch_text, given_consent, licence_text, read_consent
from model.weights.hub.manifest import MANIFEST, Consent, Manifest, read_manifest
from model.weights.hub.pull import Progress, Pull, come, damages
from model.weights.hub.source import HubModel, hub_models
from model.weights.packages import PullProgress


class ModelState(StrEnum):
    """How a model is doing."""

    READY = "ready"
    MISSING = "missing"
    PARTIAL = "partial"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """``state`` of ``model``, which lives in ``folder``. ``problems``: what is wrong, a sentence
    each. ``have``: bytes that need not be downloaded any more. ``manifest``: None before the first
    pull has learnt what there is to fetch. ``consent``: the licence, when it was accepted."""

    model: HubModel
    folder: Path
    state: ModelState
    problems: tuple[str, ...] = ()
    have: int = 0
    manifest: Manifest | None = None
    consent: Consent | None = None

    @property
    def size(self) -> int:
        """Bytes of the whole model; 0 when they are not known yet."""
        return self.manifest.size if self.manifest else 0


class HubStore:
    """The models under ``root``. Any number of processes may pull the same model at once.

    ``models`` are those that covo knows unless told otherwise. ``hub`` and ``code_host``: addresses
    to use instead of the public ones (:class:`model.weights.hub.download.Remote`).
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
        """The model called ``name``. Raises: WeightsError."""
        for model in self.models:
            if model.name == name:
                return model
        known = ", ".join(model.name for model in self.models)
        raise WeightsError(f"there is no model called {name!r}; there are: {known}")

    def folder(self, model: HubModel) -> Path:
        """Where ``model`` is, or would be."""
        return self.root / model.name

    def status(self) -> list[ModelStatus]:
        """How each model is doing, judged by the sizes of its files (quick)."""
        return [self._status(model, deep=False) for model in self.models]

    def verify(self, name: str, progress: Progress = lambda _: None) -> ModelStatus:
        """How the model called ``name`` is doing, judged by reading every byte.

        Raises: WeightsError when there is no such model.
        """
        return self._status(self.find(name), deep=True, progress=progress)

    def accept_licence(self, name: str, accept: Callable[[HubModel, Path], bool]) -> None:
        """Have the licence of the model called ``name`` accepted, unless that is on record.

        ``accept`` is asked about the text in the given file. Raises: WeightsError when the text
        cannot be had or the answer is no; then nothing is recorded.
        """
        model = self.find(name)
        with self._writing(model):
            if given_consent(model, self.root) is None:
                remote = Remote(self._hub, self._code_host)
                with self._locked(model, lambda _: None):
                    sha256 = fetch_text(model, self.root, remote)
                agree(model, self.root, sha256, accept)

    def licence_place(self, name: str) -> str:
        """Where the full text of a model's licence is: a file, or the address before it is here."""
        model = self.find(name)
        text = licence_text(model, self.root)
        if text.exists():
            return str(text)
        return code_url(self._code_host, model.code, model.licence.file)

    def pull(
        self, name: str, progress: Progress = lambda _: None, *, revision: str = ""
    ) -> list[str]:
        """Fetch what the model called ``name`` lacks; return the names of the files fetched.

        ``revision``: a commit, branch or tag of the hub to change to; without it, the commit of
        the first pull is kept. A pull that was cut off goes on where it stopped.
        Raises: WeightsError, also when the licence was not accepted before.
        """
        model = self.find(name)
        remote = Remote(self._hub, self._code_host)
        with self._writing(model), self._locked(model, progress):
            consent = given_consent(model, self.root)
            if consent is None:
                raise WeightsError(
                    f"the licence of {name} was not accepted yet: see `covo models license {name}`"
                )
            return Pull(model, self.folder(model), remote, progress).run(consent, revision)

    def remove(self, name: str) -> int:
        """Delete the model called ``name``; return the bytes that this freed. The accepted licence
        stays on record. Raises: WeightsError."""
        model = self.find(name)
        folder = self.folder(model)
        if not folder.exists():
            return 0
        with self._writing(model), self._locked(model, None):
            freed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            # Without its manifest the model is not whole, whatever stops us after this.
            (folder / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(folder)
        return freed

    def _status(
        self, model: HubModel, *, deep: bool, progress: Progress = lambda _: None
    ) -> ModelStatus:
        folder = self.folder(model)
        status = ModelStatus(model, folder, ModelState.MISSING)
        try:
            status = replace(status, consent=read_consent(model, self.root))
            if not folder.is_dir():
                return status
            manifest = read_manifest(folder)
        except WeightsError as error:
            return replace(status, state=ModelState.DAMAGED, problems=(str(error),))
        if manifest is None:
            problem = f"{folder} has no {MANIFEST}: its pull did not get far, or covo did not do it"
            return replace(status, state=ModelState.PARTIAL, problems=(problem,))
        wrong = damages(folder, manifest.files, deep=deep, progress=progress)
        state = ModelState.PARTIAL if wrong else ModelState.READY
        if any((folder / file.name).exists() for file in wrong):
            state = ModelState.DAMAGED
        return replace(
            status,
            state=state,
            problems=tuple(wrong.values()),
            have=manifest.size - sum(file.size - come(folder, file) for file in wrong),
            manifest=manifest,
        )

    @contextmanager
    def _locked(self, model: HubModel, progress: Progress | None) -> Iterator[None]:
        """Hold the model's lock. ``progress`` is told of waiting; None: do not wait."""
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / f".{model.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if progress is None:
                raise WeightsError(
                    f"{model.name} is being pulled by another process; wait until it has finished"
                ) from None
            progress(PullProgress("waiting for another pull", 0, 0))
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _writing(self, model: HubModel) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WeightsError(f"cannot write to {self.folder(model)}: {error}") from error


def find_model(name_or_folder: str, root: Path) -> Path:
    """The folder of a model: that of a model which was pulled into the store at ``root``, by its
    name, or any folder of the user's own, as it is.

    Raises: WeightsError, which says how to get the model, when it is not there or not whole.
    """
    for status in HubStore(root).status():
        name = status.model.name
        if name_or_folder != name:
            continue
        if status.state is ModelState.READY:
            return status.folder
        remedy = f"get it with `covo models pull {name}`"
        if status.state is ModelState.MISSING:
            raise WeightsError(f"{name} is not here; {remedy}")
        raise WeightsError(f"{name} is not whole: {status.problems[0]}; {remedy}")
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder
    known = ", ".join(model.name for model in hub_models())
    raise WeightsError(
        f"{name_or_folder!r} is neither a folder nor a model that covo knows; there are: {known}"
    )
