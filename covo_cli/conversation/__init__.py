"""One conversation, live or from files."""
