"""Measurements of the assistant, run by ``covo bench``."""
