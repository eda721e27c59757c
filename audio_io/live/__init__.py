"""Sound cards: devices, microphone and speaker, and recovery when a device goes away."""
