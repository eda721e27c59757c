"""Full duplex in one network: it listens and speaks at once, chunk by chunk.

The way through, one module each: :mod:`model.duplex.profile` (what a checkpoint's ``duplex.json``
decides), :mod:`model.duplex.grammar` (which slots a chunk has and what may stand in each),
:mod:`model.duplex.sequence` (dialogues to chunks and back), :mod:`model.duplex.mel` and
:mod:`model.duplex.encoder` (what the user says, as it comes), :mod:`model.duplex.context` (a
bounded memory), :mod:`model.duplex.network` (all of it, loaded), :mod:`model.duplex.loop` (one
step per chunk), :mod:`model.duplex.speaking` (its codes as sound), :mod:`model.duplex.transcripts`
(the user's words, which the network does not write) and :mod:`model.duplex.engine`. Training is
beside it: ``dataset``, ``batch``, ``training`` and, to try it all without any recording, ``tones``.

The protocol is the one that the Covo-Audio report describes; what it leaves open is decided by
the profile. docs/duplex.md has the reasons. Importing most of this needs the ``covo`` extra.
"""
