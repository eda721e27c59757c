"""Turn taking: whose turn it is, and why."""
