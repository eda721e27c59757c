"""Settings: declarations, settings file, flags and effective values."""
