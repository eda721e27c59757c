"""Simulated acoustics: background noise and the echo path of a room."""
