"""Weights of the engines: pinned packages, and models from the hub."""
