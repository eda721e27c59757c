"""Which models the hub store knows: the TOML files of this package as frozen dataclasses."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class Licence:
    """What a model may be used for. ``terms``: the gist, a sentence each. ``file``: the text, among
    the files of the code repository; it contains the words ``says``."""

    name: str
    terms: tuple[str, ...]
    file: str
    says: str


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository of the model hub. ``revision``: a commit, branch or tag. ``files``: patterns of
    what is wanted. ``required``: groups of patterns; of each, at least one file must be there."""

    repo: str
    revision: str
    files: tuple[str, ...]
    required: tuple[tuple[str, ...], ...]

    def wants(self, name: str) -> bool:
        """Whether the file called ``name`` is to be fetched."""
        return _any_matches(self.files, name)

    def lacking(self, names: list[str]) -> list[str]:
        """The required groups of which ``names`` has nothing, in words."""
        return [
            " or ".join(group)
            for group in self.required
            if not any(_any_matches(group, name) for name in names)
        ]


@dataclass(frozen=True, slots=True)
class CodeFile:
    """A file of the code repository: its ``path`` there, its ``name`` in the model's folder, and,
    for a NumPy array, its ``dtype`` and ``shape``."""

    path: str
    name: str
    dtype: str = ""
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CodeSource:
    """A repository of code at a commit, and what a model needs from it."""

    repo: str
    revision: str
    files: tuple[CodeFile, ...]


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model that is pulled from the hub."""

    name: str
    what: str
    publisher: str
    licence: Licence
    hub: HubSource
    code: CodeSource


def parse(text: str) -> HubModel:
    """The model that the TOML ``text`` describes."""
    entry = tomllib.loads(text)
    licence, hub, code = entry["licence"], entry["hub"], entry["code"]
    return HubModel(
        name=entry["name"],
        what=entry["what"],
        publisher=entry["publisher"],
        licence=Licence(licence["name"], tuple(licence["terms"]), licence["file"], licence["says"]),
        hub=HubSource(
            hub["repo"],
            hub["revision"],
            tuple(hub["files"]),
            tuple(tuple(group) for group in hub["required"]),
        ),
        code=CodeSource(code["repo"], code["revision"], tuple(map(_code_file, code["file"]))),
    )


def hub_models() -> tuple[HubModel, ...]:
    """The models that covo can pull from the hub."""
    text = resources.files("model.weights.hub").joinpath("covo-audio-chat.toml").read_text("utf-8")
    return (parse(text),)


def _code_file(entry: dict[str, Any]) -> CodeFile:
    array = entry.get("array", {})
    return CodeFile(
        entry["path"], entry["name"], array.get("dtype", ""), tuple(array.get("shape", ()))
    )


def _any_matches(patterns: tuple[str, ...], name: str) -> bool:
    # fnmatch lets a star cross folders; a weight file of token2wav is no shard of the network.
    return any(
        fnmatchcase(name, pattern) and name.count("/") == pattern.count("/") for pattern in patterns
    )
