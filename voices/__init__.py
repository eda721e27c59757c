"""Voice packs (format, built-in voices, the user's store) and the strict reader of config files."""
