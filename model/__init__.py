"""From the user's audio to the assistant's audio and text.

Start with :mod:`model.engine` (what an engine is), :mod:`model.events` (what it reports) and
:mod:`model.turns.controller` (how a half-duplex reply generator becomes an engine).

This package touches no device, prints nothing and reads no settings.
"""
