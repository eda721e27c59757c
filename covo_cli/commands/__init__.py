"""One module for each command. Their imports stay light, so that ``covo --help`` answers at once:
whatever needs numpy, sound or a model is imported inside the command."""
