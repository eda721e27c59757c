"""Models from the hub: which there are, and the store they are pulled into."""
