"""Tools that a chat model may use: what they are, running them, and their part in a reply."""
