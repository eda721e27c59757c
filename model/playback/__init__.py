"""Playback of replies, and how much of each was heard."""
