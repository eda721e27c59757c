"""The protocol: how a conversation is written as a sequence of chunks."""
