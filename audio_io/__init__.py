"""Samples and clocks: microphones, speakers, files, resampling, VAD, echo cancellation, levels.

Start with :mod:`audio_io.endpoints` (what a microphone and a speaker are to the conversation).
This package knows nothing of models, voices or the command line.
"""
