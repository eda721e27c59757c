"""Show the figures of runs: tables, comparisons and pictures."""
