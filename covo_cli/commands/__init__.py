"""The commands. They import what is heavy when they run, so that ``covo --help`` is quick."""
