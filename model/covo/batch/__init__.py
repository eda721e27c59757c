"""Several histories of one network, computed in one pass: reading the weights costs it once."""
