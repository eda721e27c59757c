"""Measurements of the assistant, each run by ``covo bench``."""
