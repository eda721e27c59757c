"""From what a chat model writes to what a voice says."""
