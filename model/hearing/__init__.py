"""Hearing: when the user speaks, and what the words are."""
