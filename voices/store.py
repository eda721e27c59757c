"""The voices on this machine: built-in and the user's own.

An unknown or broken voice is an error, never replaced by another. A user's pack cannot override a
built-in voice of the same name.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from voices.errors import VoiceError, did_you_mean
from voices.folders import draft_in, make_folder
from voices.library import library_voiceprints, read_library
from voices.lite_data import check_data
from voices.pack import VoicePack, Voiceprint, is_name, read_pack, read_voiceprint

BUILTIN = Path(__file__).parent / "builtin"
"""The library of voices that comes with covo."""


@dataclass(frozen=True, slots=True)
class BrokenPack:
    """A folder in the store without a usable voice, and why."""

    name: str
    folder: Path
    problem: str


class VoiceStore:
    """The voices of the library ``builtin``, and the packs in ``user``, which may be missing."""

    def __init__(self, user: Path | None = None, builtin: Path = BUILTIN) -> None:
        self._builtin = builtin
        self._user = user

    @cached_property
    def _library(self) -> dict[str, VoicePack]:
        return {pack.name: pack for pack in read_library(self._builtin)}

    @cached_property
    def _voiceprints(self) -> dict[str, Voiceprint]:
        return library_voiceprints(self._builtin)

    def names(self) -> tuple[str, ...]:
        """Return the names of all voices, broken ones too: built-in first."""
        own = [folder.name for folder in self._folders()]
        return tuple(dict.fromkeys((*self._library, *own)))

    def list(self) -> tuple[VoicePack, ...]:
        """Return the usable voices, the built-in ones first."""
        return tuple(pack for pack in self._read_all() if isinstance(pack, VoicePack))

    def broken(self) -> tuple[BrokenPack, ...]:
        """Return the packs that cannot be used."""
        return tuple(pack for pack in self._read_all() if isinstance(pack, BrokenPack))

    def in_language(self, general: str) -> tuple[VoicePack, ...]:
        """Return the usable voices of a language, such as ``en``.

        The data of built-in ones is not read.
        """
        own = (self._own(folder) for folder in self._folders())
        packs = (*self._library.values(), *(pack for pack in own if isinstance(pack, VoicePack)))
        return tuple(pack for pack in packs if pack.language.partition("-")[0] == general)

    def get(self, name: str) -> VoicePack:
        """Read and check the voice ``name``. Raises: VoiceError."""
        own = [folder for folder in self._folders() if folder.name == name]
        if own:
            return self._read(own[0])
        if name not in self._library:
            hint = did_you_mean(name, self.names()) or "; `covo voices list` shows them"
            raise VoiceError(f"no voice {name!r}{hint}")
        return self._checked(self._library[name])

    def likeness(self, name: str) -> dict[str, float]:
        """Return how alike each measured voice is to the voice ``name``: a cosine, at most 1.

        Raises: VoiceError, also if ``name`` has not been measured.
        """
        pack = self.get(name)
        if (one := self.voiceprint(pack)) is None:
            remedy = f"`covo voices tune {name} --as NAME` measures a copy"
            if not pack.lite:
                remedy = f"`covo voices compare {name} OTHER` tells how alike Covo's voices are"
            raise VoiceError(f"{name} has not been measured; {remedy}")
        own = (self._own(folder) for folder in self._folders())
        prints = self._voiceprints | {
            pack.name: found
            for pack in own
            if isinstance(pack, VoicePack) and (found := self.voiceprint(pack)) is not None
        }
        return {other: float(one @ two) for other, two in prints.items()}

    def voiceprint(self, pack: VoicePack) -> Voiceprint | None:
        """Return the speaker embedding of ``pack``, of length 1; None if it is not measured.

        Raises: VoiceError.
        """
        return self._voiceprints[pack.name] if pack.builtin else read_voiceprint(pack.folder)

    def owns(self, name: str) -> bool:
        """Return whether the user has a voice ``name``, perhaps broken."""
        return any(folder.name == name for folder in self._folders())

    def has_builtin(self, name: str) -> bool:
        """Return whether ``name`` is a built-in voice."""
        return name in self._library

    def add(self, folder: Path, name: str = "", *, replace: bool = False) -> VoicePack:
        """Check the pack in ``folder`` and copy it into the user's store as ``name``, "": its own.

        ``replace``: in place of the one that has the name. Raises: VoiceError; the store is then
        unchanged.
        """
        from voices.writing import rename_pack

        pack = read_pack(folder)
        name = name or pack.name
        with self.new(name, replace=replace) as draft:
            for file in pack.files:
                shutil.copyfile(file, draft / file.name)
            rename_pack(draft, name)
        return self.get(name)

    def check_new(self, name: str, *, replace: bool = False) -> Path:
        """Return the folder for a new voice ``name``. ``replace``: it may be there already.

        Raises: VoiceError.
        """
        if self._user is None:
            raise VoiceError("this store has no user folder")
        if not is_name(name):
            raise VoiceError(f"a voice cannot be called {name!r}: use 1 to 40 of a-z, 0-9, - and _")
        if self.has_builtin(name):
            raise VoiceError(f"{name} is a built-in voice; give the new one another name")
        target = self._user / name
        if not replace and (target.exists() or target.is_symlink()):
            raise VoiceError(
                f"a voice {name} exists already; remove it first with `covo voices remove {name}`"
            )
        return target

    @contextmanager
    def new(self, name: str, *, replace: bool = False) -> Iterator[Path]:
        """Yield an empty folder, which becomes the voice ``name`` when the block ends without an
        error. ``replace``: in place of the one that is there.

        Raises: VoiceError; the store is then unchanged.
        """
        target = self.check_new(name, replace=replace)
        try:
            make_folder(target.parent)
            draft = draft_in(target.parent)
            try:
                draft.mkdir()
                yield draft
                read_pack(draft)
                self.check_new(name, replace=replace)  # meanwhile another may have been made
                _move(draft, target)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        except OSError as error:
            raise VoiceError(
                f"cannot write the voice to {target.parent}: {error.strerror or error}"
            ) from error

    def remove(self, name: str) -> None:
        """Delete the user's voice ``name``, even if broken.

        Raises: VoiceError for a built-in or unknown voice, or when it cannot be deleted.
        """
        folder = self.folder_of_own(name)
        try:
            _delete(folder)
        except OSError as error:
            raise VoiceError(f"cannot delete {folder}: {error.strerror or error}") from error

    def folder_of_own(self, name: str) -> Path:
        """Return the folder of the user's voice ``name``, even if broken.

        Raises: VoiceError for a built-in or unknown voice.
        """
        own = [f for f in self._folders() if f.name == name]
        if not own:
            self.get(name)
            raise VoiceError(f"{name} is a built-in voice; only added voices can be removed")
        return own[0]

    def _folders(self) -> Sequence[Path]:
        """Return the folders in the user's store, sorted."""
        if self._user is None:
            return ()
        try:
            inside = sorted(self._user.iterdir())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise VoiceError(f"cannot read the voices in {self._user}: {error.strerror}") from error
        return [p for p in inside if p.is_dir() and not p.name.startswith(".")]

    def _read(self, folder: Path) -> VoicePack:
        if folder.name in self._library:
            raise VoiceError(
                f"{folder} has the name of the built-in voice {folder.name}; rename the folder "
                "and `name` in its voice.toml"
            )
        try:
            pack = read_pack(folder)
        except VoiceError as error:
            raise VoiceError(f"the voice {folder.name} is broken: {error}") from error
        if pack.name != folder.name:
            raise VoiceError(
                f"the voice {folder.name} is broken: its voice.toml calls it {pack.name}; rename "
                "one of them"
            )
        return pack

    def _checked(self, pack: VoicePack) -> VoicePack:
        """Check the data of a built-in voice."""
        if pack.lite is not None and pack.lite.data is not None:
            try:
                check_data(pack.lite.data, pack.lite.sha256)
            except VoiceError as error:
                raise VoiceError(f"the voice {pack.name} is broken: {error}") from error
        return pack

    def _own(self, folder: Path) -> VoicePack | BrokenPack:
        try:
            return self._read(folder)
        except VoiceError as error:
            return BrokenPack(folder.name, folder, str(error))

    def _read_all(self) -> Iterator[VoicePack | BrokenPack]:
        for pack in self._library.values():
            try:
                yield self._checked(pack)
            except VoiceError as error:
                yield BrokenPack(pack.name, pack.folder, str(error))
        yield from map(self._own, self._folders())


def _move(draft: Path, target: Path) -> None:
    """Rename ``draft`` to ``target``, in place of what is there. Raises: OSError."""
    if not (target.exists() or target.is_symlink()):
        draft.rename(target)
        return
    old = draft_in(target.parent)
    target.rename(old)
    try:
        draft.rename(target)
    except OSError:
        old.rename(target)
        raise
    _delete(old)


def _delete(folder: Path) -> None:
    """Delete ``folder``, or the link that it is. Raises: OSError."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)
