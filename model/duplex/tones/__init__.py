"""A world of tones: small enough to train a full-duplex network on a CPU."""
