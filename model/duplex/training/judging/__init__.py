"""Judge a network along held-out dialogues: how it decides there, and what it writes."""
