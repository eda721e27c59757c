"""The tests, in the rooms of the code they test; :mod:`tests.fakes` is what they share."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository."""
