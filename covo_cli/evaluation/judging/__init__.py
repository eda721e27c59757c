"""Judging: what happened, against what would have been right."""
