"""Load networks from a model folder."""
