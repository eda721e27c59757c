"""Tell the commands that change this installation of covo, made with pip, uv tool or pipx.

In the one room that both the model and the commands may import, as both may lack a package.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

_RECEIPTS = {"uv-receipt.toml": "uv tool", "pipx_metadata.json": "pipx"}
"""The file that each installer of programs leaves in their environment."""

_EXTRA = re.compile(r"""\bextra\s*==\s*["']([\w-]+)["']""")
_NAME = re.compile(r"[\w.-]+")


def add_extra(extra: str) -> str:
    """Return the command that adds ``extra``, one of covo's extras.

    A program of its own is installed anew, from where it came, with the extras that it has.
    """
    if installer := _installer():
        again = "--force " if installer == "pipx" else ""
        return f"{installer} install {again}{_covo({extra, *_extras()})}"
    return f"{_pip()} install {_quoted(f'covo[{extra}]')}"


def install_again(requirement: str) -> str:
    """Return the command that replaces the files of a package, such as ``numpy`` or ``x==1.0``, or
    installs it where it is missing."""
    installer, name = _installer(), _NAME.match(requirement)
    package = name[0] if name else requirement
    if installer == "uv tool":
        return f"{installer} install --reinstall-package {package} {_covo(_extras())}"
    pip = "pipx runpip covo" if installer else _pip()
    replaced = "--force-reinstall --no-deps " if _is_installed(package) else ""
    return f"{pip} install {replaced}{_quoted(requirement)}"


def _installer() -> str:
    for receipt, installer in _RECEIPTS.items():
        if Path(sys.prefix, receipt).exists():
            return installer
    return ""


def _pip() -> str:
    """Return ``pip`` if the shell finds the one of this environment, else the way through its
    Python."""
    found = shutil.which("pip")
    here = Path(sys.executable).parent
    return "pip" if found and Path(found).parent == here else f"{_quoted(sys.executable)} -m pip"


def _covo(extras: Iterable[str]) -> str:
    """Return what to install: covo with ``extras``, from where it came."""
    listed = f"[{','.join(sorted(extras))}]" if extras else ""
    try:
        text = importlib.metadata.distribution("covo").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        text = None
    if not text:
        return _quoted(f"covo{listed}")  # from an index
    origin = json.loads(text)
    url: str = origin["url"]
    if origin.get("dir_info", {}).get("editable"):
        return f"--editable {_quoted(url2pathname(urlsplit(url).path) + listed)}"
    if vcs := origin.get("vcs_info"):
        revision = vcs.get("requested_revision")
        url = f"{vcs['vcs']}+{url}" + (f"@{revision}" if revision else "")
    return _quoted(f"covo{listed} @ {url}")


def _extras() -> set[str]:
    """Return covo's extras of which every package is installed."""
    wanted: dict[str, list[str]] = {}
    for name, extra in _optional():
        wanted.setdefault(extra, []).append(name)
    return {extra for extra, names in wanted.items() if all(map(_is_installed, names))}


def _optional() -> Iterator[tuple[str, str]]:
    """Yield each optional package of covo with its extra."""
    try:
        requirements = importlib.metadata.requires("covo") or ()
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        name, extra = _NAME.match(requirement), _EXTRA.search(requirement)
        if name and extra:
            yield name[0], extra[1]


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _quoted(word: str) -> str:
    """Quote ``word`` for the shell where it must be."""
    if os.name == "nt":
        return f'"{word}"' if re.search(r"[\s\[\]@]", word) else word
    return shlex.quote(word)
