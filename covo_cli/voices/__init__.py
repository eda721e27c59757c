"""Voices: measured, compared, mixed, and made into a library or a page of samples."""
