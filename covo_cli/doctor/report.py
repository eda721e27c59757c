"""Bundle what a bug report needs into one text file, without anything private."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from covo_cli.doctor.check import Check
from covo_cli.errors import CliError
from covo_cli.process.log import log_path, native_log_path
from covo_cli.process.whole_file import write_text
from covo_cli.sessions.info import package_versions
from covo_cli.settings.option import Option
from covo_cli.settings.settings import OPTIONS, Settings
from model.secrets import SHORTEST_HIDDEN
from voices.folders import expanded

TAIL_BYTES = 100_000
HIDDEN = "(hidden)"
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD")
_EDGE = r"(?:(?<!\w)|(?!\w))"
"""A place that is not within a word."""
_HOME = re.compile(r"(/home/|/Users/|[A-Z]:\\Users\\)[^/\\\s'\"]+")


def write_report(path: Path, checks: Iterable[Check], settings: Settings) -> None:
    """Write versions, ``checks``, settings and the end of the logs to ``path``.

    Home folders become ``~``. Hidden are the settings that may be a path, an address or a name.
    Hidden elsewhere are these texts, unless they are too short to identify anybody, and the values
    of secret environment variables. Raises: CliError.
    """
    parts = {
        "versions": [f"{name} {version}" for name, version in package_versions().items()],
        "checks": [
            f"{c.status} {c.name}: {c.detail}" + f" -> {c.fix}" * bool(c.fix) for c in checks
        ],
        "settings": [f"{key} = {_shown(option, settings)}" for key, option in OPTIONS.items()],
        "covo.log": _tail(log_path()),
        "native.log": _tail(native_log_path()),
    }
    text = "\n\n".join("\n".join((f"== {title}", *lines)) for title, lines in parts.items())
    try:
        write_text(path, _without_private(text, settings, os.environ) + "\n")
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror or error}") from error


def _tail(path: Path) -> Sequence[str]:
    try:
        return [path.read_bytes()[-TAIL_BYTES:].decode("utf-8", "replace")]
    except OSError:
        return ["(none)"]


def _shown(option: Option, settings: Settings) -> str:
    return HIDDEN if _is_private(option, settings) else repr(settings.value(option.key))


def _is_private(option: Option, settings: Settings) -> bool:
    return option.personal and settings.value(option.key) != option.default


def _without_private(text: str, settings: Settings, environment: Mapping[str, str]) -> str:
    # All at once, the longest first: what stands in for one must not be searched for another.
    if found := sorted(_private_texts(settings, environment), reverse=True):
        text = re.sub("|".join(pattern for _, pattern in found), HIDDEN, text, flags=re.ASCII)
    home = str(expanded("~"))
    return _HOME.sub("~", text.replace(home, "~") if len(home) > 1 else text)


def _private_texts(settings: Settings, environment: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Yield the length of each private text, and its pattern."""
    for option in OPTIONS.values():
        value = str(settings.value(option.key))
        if _is_private(option, settings) and len(value) >= SHORTEST_HIDDEN:
            for written in {value, repr(value)[1:-1]}:
                yield len(written), f"{_EDGE}{re.escape(written)}{_EDGE}"
    for name, value in environment.items():
        if _SECRET.search(name) and len(value) >= SHORTEST_HIDDEN:
            yield len(value), re.escape(value)
