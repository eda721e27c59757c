"""Engines built from the settings."""
