"""The command line: commands, the live screen, settings, sessions on disk, and the conversation."""

__version__ = "0.1.0"
