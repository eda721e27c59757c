"""Playback: a reply on its way to the ear, and how much of it was heard."""
