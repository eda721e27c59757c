"""Built-in voices: measured, and made into the library."""
