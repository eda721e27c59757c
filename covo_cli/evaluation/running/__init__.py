"""Running: scenarios held as conversations."""
