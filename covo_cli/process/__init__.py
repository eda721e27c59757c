"""The process: its log, output, signals, ending, files and name."""
