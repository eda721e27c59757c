"""Training a full-duplex network."""
