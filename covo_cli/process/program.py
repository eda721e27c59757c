"""Name this program as the user can call it again."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def program() -> str:
    """Return ``covo`` if the shell finds it, else the shortest path to it."""
    if shutil.which("covo"):
        return "covo"
    path = Path(sys.argv[0])
    if path.name != "covo":
        return f"{sys.executable} -m covo_cli"
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
