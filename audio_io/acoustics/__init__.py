"""Simulated acoustics: noises, and the echo path of a room."""
