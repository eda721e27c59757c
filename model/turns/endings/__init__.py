"""What tells whether a turn is over: evidence from words and sound, weighed by trained weights."""
