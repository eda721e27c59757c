"""Settings: what can be set, the file, the values in force."""
