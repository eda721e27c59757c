"""Models on the hub: the TOML files of this package as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path

from model.errors import WeightsError
from voices.strict_reader import read


class ModelUse(StrEnum):
    """What a model of the hub is for."""

    ENGINE = "engine"
    CHAT = "chat"
    HEARING = "hearing"


@dataclass(frozen=True, slots=True)
class Licence:
    """A model's licence; ``terms`` sums up the permitted uses, one sentence each.

    ``file`` names the full text, a file of the code repository that contains the words ``says``;
    without it, nobody needs to accept the licence.
    """

    name: str
    terms: tuple[str, ...] = ()
    file: str = ""
    says: str = ""


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository of the model hub at ``revision``, a commit, branch or tag.

    ``files``: patterns of the wanted files; each group in ``required`` must match at least one.
    ``licence``: what the hub must call the repository's licence; empty: anything.
    """

    repo: str
    revision: str
    files: tuple[str, ...]
    required: tuple[tuple[str, ...], ...]
    licence: str = ""

    def wants(self, name: str) -> bool:
        """Return whether to fetch the file called ``name``."""
        return _any_matches(self.files, name)

    def lacking(self, names: list[str]) -> list[str]:
        """Return the required groups that match none of ``names``, as text."""
        return [
            " or ".join(group)
            for group in self.required
            if not any(_any_matches(group, name) for name in names)
        ]


@dataclass(frozen=True, slots=True)
class CodeFile:
    """A file of the code repository: its ``path`` there and its ``name`` in the model's folder.

    ``dtype`` and ``shape`` describe a NumPy array.
    """

    path: str
    name: str
    dtype: str = ""
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CodeSource:
    """A repository of code at a commit, and the files that a model needs of it, perhaps none."""

    repo: str = ""
    revision: str = ""
    files: tuple[CodeFile, ...] = ()


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model that is pulled from the hub; ``code``: where the rest of its files is from.

    ``about``: its size in bytes, roughly, until the hub has told it. ``parameters``: of a chat
    model.
    """

    name: str
    what: str
    publisher: str
    licence: Licence
    hub: HubSource
    code: CodeSource = CodeSource()
    use: ModelUse = ModelUse.ENGINE
    about: int = 0
    parameters: int = 0


def parse(text: str, path: Path = Path("model.toml")) -> HubModel:
    """Return the model in ``text``, the content of ``path``. Raises: WeightsError."""
    return read(path, HubModel, WeightsError, text=text)


def hub_models() -> tuple[HubModel, ...]:
    """Return the models that covo can pull from the hub."""
    folder = resources.files("model.weights.hub")
    texts = {name: folder.joinpath(f"{name}.toml").read_text("utf-8") for name in _MODELS}
    return tuple(parse(text, Path(f"{name}.toml")) for name, text in texts.items())


_MODELS = (
    *("covo-audio-chat", "chat-small", "chat-medium", "chat-large"),
    *("whisper-small", "whisper-turbo"),
)


def _any_matches(patterns: tuple[str, ...], name: str) -> bool:
    # fnmatch lets a star cross folders, but token2wav's weights are no shard of the network.
    return any(
        fnmatchcase(name, pattern) and name.count("/") == pattern.count("/") for pattern in patterns
    )
