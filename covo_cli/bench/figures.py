"""Machine and summary figures that every measurement reports."""

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


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
