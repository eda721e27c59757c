"""From speech codes to sound: flow matching, vocoder, streams, voices."""
