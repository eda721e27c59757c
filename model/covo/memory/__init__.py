"""Estimates of a network's memory, parameters and operations."""
