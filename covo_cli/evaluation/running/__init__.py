"""Run scenarios as conversations."""
