"""Conversations become dialogues: laid out in time, in a place, and written."""
