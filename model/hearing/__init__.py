"""Detecting the user's speech and recognising its words."""
