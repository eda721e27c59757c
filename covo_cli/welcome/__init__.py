"""The first minute: what to do next on this machine, and the offers of missing weights and
running servers."""
