"""The speech side: speech codes to 24 kHz sound, while they are decoded."""
