"""Scenarios: what is said to the engine, and how it sounds."""
