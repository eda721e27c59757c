"""Synthesis from speech codes: flow matching, vocoder, streams, voices."""
