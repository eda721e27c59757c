"""What every measurement reports: machine, summary figures, a picture."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from covo_cli import __version__
from covo_cli.errors import CliError
from covo_cli.process.packages import require_packages


def machine() -> dict[str, Any]:
    """Describe the machine, the command and the time."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "covo": __version__,
        "command": " ".join(["covo", *sys.argv[1:]]),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def summary(values: Sequence[float], **percentiles: float) -> dict[str, float]:
    """Return named ``percentiles`` of ``values``, to three digits: ``median=50, max=100``."""
    return {name: round(float(np.percentile(values, q)), 3) for name, q in percentiles.items()}


def check_plot(path: Path) -> None:
    """Check, before measuring, that the plot can be written. Raises: CliError."""
    require_packages("plot", "matplotlib")
    if path.suffix != ".png" or not path.parent.is_dir():
        raise CliError(f"{path} must be a .png file in a folder that exists")


def save_picture(figure: Any, path: Path) -> None:
    """Write a matplotlib ``figure`` to ``path``. Raises: CliError."""
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror}") from error


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
