"""A checkpoint's sizes, and the devices and precisions it can run in."""
