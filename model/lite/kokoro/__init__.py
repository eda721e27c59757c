"""Kokoro's network, cut in two so that it speaks piece by piece."""
