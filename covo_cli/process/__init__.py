"""The process: its name, heap, signals, output and files."""
