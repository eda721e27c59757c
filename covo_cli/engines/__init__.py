"""The engines, built from the settings."""
