"""Hold scenarios as conversations."""
