"""Full duplex in one network, which listens and speaks at once, chunk by chunk.

Read :mod:`~model.duplex.protocol.profile`, :mod:`~model.duplex.protocol.grammar` and
:mod:`~model.duplex.protocol.sequence` first (how a conversation is written as tokens), then
:mod:`~model.duplex.network.loop` (one step per chunk) and :mod:`model.duplex.engine`. ``training``
and ``tones``, a synthetic world to train in, are not used in a conversation.

The protocol is the Covo-Audio report's; docs/duplex.md explains what it leaves open. Most modules
need the ``covo`` extra.
"""
