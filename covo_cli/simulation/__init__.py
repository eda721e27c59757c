"""Simulation: a scripted user in a simulated room."""
