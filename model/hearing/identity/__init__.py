"""Whose voice it is: speaker embeddings and the user's profile."""
