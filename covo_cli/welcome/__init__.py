"""The first minute: what to do next on this machine, and the offer of missing weights."""
