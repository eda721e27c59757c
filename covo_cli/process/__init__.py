"""The process: its name, signals, output and files."""
