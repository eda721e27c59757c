"""The network: encoder, decoder and loop, chunk by chunk."""
