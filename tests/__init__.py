"""The tests, in the rooms of the code they test; :mod:`tests.fakes` is what they share."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository."""

# Tiny networks are slower on several threads, and on a busy machine many times slower. OpenMP reads
# this once, so it must be set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
