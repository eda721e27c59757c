"""Read Spanish text: its numbers and signs as words, and its words as phonemes."""
