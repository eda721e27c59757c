"""Scripted conversations: who says what when, and how it sounds."""
