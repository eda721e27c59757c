"""Compare what happened with what would have been right."""
