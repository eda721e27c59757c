"""Hearing: what the user says, and when."""
