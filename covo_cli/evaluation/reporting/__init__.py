"""Show runs: tables, comparisons and pictures."""
