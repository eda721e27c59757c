"""The voices on this machine: built-in and the user's own.

An unknown or broken voice is an error, never replaced by another. A user's pack cannot override a
built-in voice of the same name.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from voices.errors import VoiceError, did_you_mean
from voices.folders import draft_in, make_folder
from voices.pack import VoicePack, read_pack

BUILTIN = Path(__file__).parent / "builtin"
"""The voices that come with covo."""


@dataclass(frozen=True, slots=True)
class BrokenPack:
    """A folder in the store without a usable voice, and why."""

    name: str
    folder: Path
    problem: str


class VoiceStore:
    """The packs in the folders ``builtin`` and ``user``, which may be missing."""

    def __init__(self, user: Path | None = None, builtin: Path = BUILTIN) -> None:
        self._builtin = builtin
        self._user = user

    def names(self) -> tuple[str, ...]:
        """Return the names of all packs, broken ones too: built-in first, each group sorted."""
        return tuple(dict.fromkeys(folder.name for folder in self._folders()))

    def list(self) -> tuple[VoicePack, ...]:
        """Return the usable voices, the built-in ones first."""
        return tuple(pack for pack in self._read_all() if isinstance(pack, VoicePack))

    def broken(self) -> tuple[BrokenPack, ...]:
        """Return the packs that cannot be used."""
        return tuple(pack for pack in self._read_all() if isinstance(pack, BrokenPack))

    def get(self, name: str) -> VoicePack:
        """Read and check the voice ``name``. Raises: VoiceError."""
        found = [folder for folder in self._folders() if folder.name == name]
        if not found:
            known = self.names()
            hint = did_you_mean(name, known)
            raise VoiceError(f"no voice {name!r}; known: {', '.join(known) or 'none'}{hint}")
        if len(found) > 1:
            raise VoiceError(
                f"{found[1]} has the name of the built-in voice {name}; rename the folder and "
                "`name` in its voice.toml"
            )
        return self._read(found[0])

    def add(self, folder: Path) -> VoicePack:
        """Check the pack in ``folder`` and copy it into the user's store.

        Raises: VoiceError; the store is then unchanged.
        """
        if self._user is None:
            raise VoiceError("this store has no user folder")
        pack = read_pack(folder)
        if any(f.name == pack.name for f in self._folders(self._builtin)):
            raise VoiceError(f"{pack.name} is a built-in voice; rename the new one")
        target = self._user / pack.name
        if target.exists() or target.is_symlink():
            raise VoiceError(
                f"a voice {pack.name} exists already; remove it first with "
                f"`covo voices remove {pack.name}`"
            )
        try:
            make_folder(self._user)
            draft = draft_in(self._user)
            try:
                draft.mkdir()
                for file in pack.files:
                    shutil.copyfile(file, draft / file.name)
                read_pack(draft)
                draft.rename(target)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        except OSError as error:
            raise VoiceError(
                f"cannot write the voice to {self._user}: {error.strerror or error}"
            ) from error
        return read_pack(target)

    def remove(self, name: str) -> None:
        """Delete the user's voice ``name``, even if broken.

        Raises: VoiceError for a built-in or unknown voice, or when it cannot be deleted.
        """
        own = [f for f in self._folders(self._user) if f.name == name]
        if not own:
            self.get(name)
            raise VoiceError(f"{name} is a built-in voice; only added voices can be removed")
        try:
            if own[0].is_symlink():
                own[0].unlink()
            else:
                shutil.rmtree(own[0])
        except OSError as error:
            raise VoiceError(f"cannot delete {own[0]}: {error.strerror or error}") from error

    def _folders(self, *roots: Path | None) -> Sequence[Path]:
        folders = []
        for root in roots or (self._builtin, self._user):
            try:
                inside = sorted(root.iterdir()) if root is not None else []
            except FileNotFoundError:
                continue
            except OSError as error:
                raise VoiceError(f"cannot read the voices in {root}: {error.strerror}") from error
            folders += [p for p in inside if p.is_dir() and not p.name.startswith(".")]
        return folders

    def _read(self, folder: Path) -> VoicePack:
        try:
            pack = read_pack(folder, builtin=folder.parent == self._builtin)
        except VoiceError as error:
            raise VoiceError(f"the voice {folder.name} is broken: {error}") from error
        if pack.name != folder.name:
            raise VoiceError(
                f"the voice {folder.name} is broken: its voice.toml calls it {pack.name}; rename "
                "one of them"
            )
        return pack

    def _read_all(self) -> Iterator[VoicePack | BrokenPack]:
        seen: set[str] = set()
        for folder in self._folders():
            try:
                yield self.get(folder.name) if folder.name in seen else self._read(folder)
            except VoiceError as error:
                yield BrokenPack(folder.name, folder, str(error))
            seen.add(folder.name)
