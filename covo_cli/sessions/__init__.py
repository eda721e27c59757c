"""Conversations on disk: record, find, show, replay and export them.

A session is one folder, named after the moment it began::

    2026-11-23_21-04-51/
        session.json    engine, voices, devices, settings, versions, why it ended
        events.jsonl    every event, one JSON object a line
        audio.flac      left the user, right the assistant, one clock, 24 kHz, 16 bit
        transcript.md   for reading

During recording the sound is plain PCM in ``audio.part``, which the process locks. An unlocked
``audio.part`` belongs to a process that died: any prefix of it is valid sound, and the session is
completed when it is next opened (:func:`covo_cli.sessions.finish.recover`).
"""
