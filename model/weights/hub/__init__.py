"""Models on the hub, and the local store for them."""
