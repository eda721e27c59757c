"""Configuration: what a checkpoint says of itself, and how it is to be run."""
