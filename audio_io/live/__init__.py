"""Sound cards: devices, microphone and speaker, and what to do when one goes away."""
