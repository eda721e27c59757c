"""Sound in and out: devices, files, resampling, speech detection, echo cancellation, levels.

Start with :mod:`audio_io.ends`, the protocols of microphone and speaker. The ground floor
(clock, signal, levels) needs numpy only. This package imports nothing else of covo.
"""
