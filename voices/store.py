"""All voices on this machine: the built-in ones and the user's own.

There is no fallback: a voice that is unknown or broken is a :class:`VoiceError`, and a pack of the
user's never stands in for a built-in voice of the same name.
"""

from __future__ import annotations

import difflib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from voices.errors import VoiceError
from voices.pack import VoicePack, read_pack

BUILTIN = Path(__file__).parent / "builtin"
"""The voices that come with covo."""


@dataclass(frozen=True, slots=True)
class BrokenPack:
    """A folder of the store that is no usable voice, and why."""

    name: str
    folder: Path
    problem: str


class VoiceStore:
    """The packs in the folders ``builtin`` and ``user`` (which need not exist yet)."""

    def __init__(self, user: Path | None = None, builtin: Path = BUILTIN) -> None:
        self._builtin = builtin
        self._user = user

    def names(self) -> tuple[str, ...]:
        """The names of all packs, broken ones too: built-in first, each group in order."""
        return tuple(dict.fromkeys(folder.name for folder in self._folders()))

    def list(self) -> tuple[VoicePack, ...]:
        """All usable voices, the built-in ones first."""
        return tuple(pack for pack in self._read_all() if isinstance(pack, VoicePack))

    def broken(self) -> tuple[BrokenPack, ...]:
        """The packs that cannot be used."""
        return tuple(pack for pack in self._read_all() if isinstance(pack, BrokenPack))

    def get(self, name: str) -> VoicePack:
        """The voice called ``name``, with everything in it checked.

        Raises: VoiceError when it is unknown (with the known ones) or broken (with what is).
        """
        found = [folder for folder in self._folders() if folder.name == name]
        if not found:
            known = self.names()
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise VoiceError(
                f"there is no voice called {name!r}; there are: {', '.join(known) or 'none'}{hint}"
            )
        if len(found) > 1:
            raise VoiceError(
                f"{found[1]} has the name of the built-in voice {name}; give it another name "
                f"(the folder's, and `name` in its voice.toml)"
            )
        return self._read(found[0])

    def add(self, folder: Path) -> VoicePack:
        """Copy the pack in ``folder`` into the user's store, after checking all of it.

        Raises: VoiceError; the store is then as it was.
        """
        if self._user is None:
            raise VoiceError("there is no folder for voices of one's own")
        pack = read_pack(folder)
        if any(f.name == pack.name for f in self._folders(self._builtin)):
            raise VoiceError(f"{pack.name} is a built-in voice; give the new one another name")
        target = self._user / pack.name
        if target.exists() or target.is_symlink():
            raise VoiceError(
                f"there is a voice called {pack.name} already; remove it first with "
                f"`covo voices remove {pack.name}`"
            )
        try:
            self._user.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._user, prefix=".adding-") as temporary:
                draft = Path(temporary) / pack.name
                draft.mkdir()
                for file in pack.files:
                    shutil.copyfile(file, draft / file.name)
                read_pack(draft)
                draft.rename(target)
        except OSError as error:
            raise VoiceError(
                f"cannot write the voice to {self._user}: {error.strerror or error}"
            ) from error
        return read_pack(target)

    def remove(self, name: str) -> None:
        """Delete the user's voice called ``name``, broken or not.

        Raises: VoiceError for a built-in or unknown voice, or when it cannot be deleted.
        """
        own = [f for f in self._folders(self._user) if f.name == name]
        if not own:
            self.get(name)
            raise VoiceError(f"{name} is a built-in voice; only voices that you added can go")
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
                f"the voice {folder.name} is broken: its voice.toml calls it {pack.name}; the "
                "folder must have the same name"
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
