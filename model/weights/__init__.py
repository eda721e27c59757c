"""Weights of the engines: pinned packages, and models of the hub."""
