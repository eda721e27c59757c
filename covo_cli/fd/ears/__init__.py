"""What becomes of real speech when Whisper base's encoder hears it chunk by chunk.

The only encoder with trained weights that the project may pass on is that of the embedded
recogniser. Its own decoder tells what it heard, so the causal encoder can be measured in words.
"""
