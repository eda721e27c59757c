"""Write a voice pack into a folder."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import tomlkit

from voices.errors import VoiceError
from voices.folders import draft_in, make_folder
from voices.pack import FILE, FORMAT, VOICEPRINT, VoicePack, Voiceprint
from voices.tuning import AS_IT_IS


def write_pack(pack: VoicePack, folder: Path, voiceprint: Voiceprint | None = None) -> None:
    """Write ``pack`` with its ``voiceprint`` into ``folder``; data that lies there stays.

    Raises: OSError.
    """
    if pack.lite is not None and pack.lite.synthesizer == "hibari":
        # The style of Kokoro beside a built-in one is for blends.
        pack = replace(pack, lite=replace(pack.lite, data=None))
    for file in pack.data_files:
        if file.parent != folder:
            shutil.copyfile(file, folder / file.name)
    if voiceprint is not None:
        np.save(folder / VOICEPRINT, voiceprint.astype(np.float32))
    (folder / FILE).write_text(tomlkit.dumps(_table(pack)), encoding="utf-8")


def rename_pack(folder: Path, name: str) -> None:
    """Write ``name`` into the description of the pack in ``folder``, which else stays as it is.

    Raises: OSError.
    """
    path = folder / FILE
    table = tomlkit.parse(path.read_text(encoding="utf-8-sig"))
    table["name"] = name
    path.write_text(tomlkit.dumps(table), encoding="utf-8")


def export_pack(pack: VoicePack, voiceprint: Voiceprint | None, parent: Path) -> Path:
    """Write ``pack`` as a new folder in ``parent``, which is made if it is missing; return it.

    Raises: VoiceError.
    """
    target = parent / pack.name
    if target.exists() or target.is_symlink():
        raise VoiceError(f"{target} is there already: move it away, or name another folder")
    draft = draft_in(parent)
    try:
        make_folder(parent)
        draft.mkdir()
        write_pack(pack, draft, voiceprint)
        draft.rename(target)
    except OSError as error:
        raise VoiceError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _table(pack: VoicePack) -> dict[str, object]:
    texts = ("name", "description", "language", "gender", "age", "licence", "source")
    table: dict[str, object] = {"format": FORMAT}
    table |= {key: text for key in texts if (text := getattr(pack, key))}
    if (lite := pack.lite) is not None:
        values: dict[str, object | None] = {"synthesizer": lite.synthesizer}
        if lite.data is not None:
            digest = hashlib.sha256(lite.data.read_bytes()).hexdigest()
            values |= {"file": lite.data.name, "sha256": digest}
        values |= {"real_time_factor": lite.real_time_factor, "level": lite.level}
        values["tuning"] = asdict(lite.tuning) if lite.tuning != AS_IT_IS else None
        values["measured"] = asdict(pack.figures) if pack.figures is not None else None
        table["lite"] = {key: value for key, value in values.items() if value is not None}
    if pack.covo is not None:
        table["covo"] = {"speaker": pack.covo.speaker}
    return table
