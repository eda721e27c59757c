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
from covo_cli.settings.settings import OPTIONS, Settings

TAIL_BYTES = 100_000
HIDDEN = "(hidden)"
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD")
_HOME = re.compile(r"(/home/|/Users/|[A-Z]:\\Users\\)[^/\\\s'\"]+")


def write_report(path: Path, checks: Iterable[Check], settings: Settings) -> None:
    """Write versions, ``checks``, settings and the end of the logs to ``path``.

    Home folders become ``~``; free text in the settings, such as paths and addresses, and the
    values of secret environment variables are hidden wherever they occur. Raises: CliError.
    """
    parts = {
        "versions": [f"{name} {version}" for name, version in package_versions().items()],
        "checks": [
            f"{c.status} {c.name}: {c.detail}" + f" -> {c.fix}" * bool(c.fix) for c in checks
        ],
        "settings": [f"{key} = {settings.value(key)!r}" for key in OPTIONS],
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


def _without_private(text: str, settings: Settings, environment: Mapping[str, str]) -> str:
    for value in sorted(_private_values(settings, environment), key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    home = str(Path.home())
    return _HOME.sub("~", text.replace(home, "~") if len(home) > 1 else text)


def _private_values(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    for key, option in OPTIONS.items():
        value = settings.value(key)
        if isinstance(value, str) and not option.choices and value != option.default:
            yield repr(value)[1:-1]
            yield value
    for name, value in environment.items():
        if _SECRET.search(name) and len(value) > 3:
            yield value
