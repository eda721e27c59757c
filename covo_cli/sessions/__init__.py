"""Conversations on disk: recorded while they happen, found again, shown, replayed, exported.

One conversation is one folder, named after the moment it began::

    2026-11-23_21-04-51/
        session.json    what it was: engine, voices, devices, settings, versions, why it ended
        events.jsonl    every event of the conversation, one JSON object a line
        audio.flac      left the user, right the assistant, one clock, 24 kHz, 16 bit
        transcript.md   for reading

While it is being recorded the sound is plain PCM in ``audio.part`` and the process holds a lock on
that file. A conversation whose process died is told by an ``audio.part`` that nobody locks; any
prefix of it is valid sound, so it is completed when it is next opened
(:func:`covo_cli.sessions.finish.recover`).
"""
