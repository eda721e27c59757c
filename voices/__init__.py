"""Voice packs: the format, the built-in voices and the user's store. Never runs a network."""
