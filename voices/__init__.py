"""Voice packs (format, built-in voices, user's store) and the strict config reader."""
