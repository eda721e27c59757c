"""Weights: the pinned packages and the model hub they come from."""
