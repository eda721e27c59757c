"""The commands. Heavy imports happen when one runs, so that ``covo --help`` is quick."""
