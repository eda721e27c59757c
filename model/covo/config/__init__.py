"""What a checkpoint says of itself, and the devices and precisions it can run in."""
