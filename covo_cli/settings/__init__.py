"""Settings: their declarations, the file, the flags, the values in force."""
