"""Full duplex in one network: it listens and speaks at once, chunk by chunk.

The way through, one module each: :mod:`model.duplex.protocol.profile` (what a checkpoint's
``duplex.json`` decides), :mod:`model.duplex.protocol.grammar` (which slots a chunk has and what may
stand in each), :mod:`model.duplex.protocol.sequence` (dialogues to chunks and back),
:mod:`model.duplex.network.mel` and :mod:`model.duplex.network.encoder` (what the user says, as it
comes), :mod:`model.duplex.network.context` (a bounded memory), :mod:`model.duplex.network.network`
(all of it, loaded), :mod:`model.duplex.network.loop` (one step per chunk),
:mod:`model.duplex.speaking` (its codes as sound), :mod:`model.duplex.transcripts` (the user's
words, which the network does not write) and :mod:`model.duplex.engine`. Training is beside it:
``dataset``, ``batch``, ``training`` and, to try it all without any recording, ``tones``.

The protocol is the one that the Covo-Audio report describes; what it leaves open is decided by
the profile. docs/duplex.md has the reasons. Importing most of this needs the ``covo`` extra.
"""
