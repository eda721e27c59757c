"""A conversation, live or from a file: its loop and what listens to it."""
