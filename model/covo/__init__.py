"""The Covo-Audio network: from a turn of speech to text tokens and speech codes, and to a wave.

The way through, one module each: :mod:`model.covo.config.config` (sizes),
:mod:`model.covo.language.features` (wave to log-mel), :mod:`model.covo.language.encoder` and
:mod:`model.covo.language.adapter` (log-mel to 6.25 embeddings per second),
:mod:`model.covo.language.network` (the language model around them),
:mod:`model.covo.language.decoder` (its history, and the tokens generated behind it),
:mod:`model.covo.speech.flow` (speech codes to latents), :mod:`model.covo.speech.bigvgan` (latents
to wave, also in pieces), :mod:`model.covo.speech.token2wav` (the last two together),
:mod:`model.covo.speech.speech_stream` (the same while the codes come) and
:mod:`model.covo.loading.loading`. A conversation with it: :mod:`model.covo.conversation.dialogue`
(what was said, and the stream of the next reply) with its prompt and tokenizer,
:mod:`model.covo.conversation.generator` (the same as a :class:`model.reply.ReplyGenerator`), and
:mod:`model.covo.loading.assemble` (from a model folder to that). What it costs in memory, and in
which precision, is said beforehand by :mod:`model.covo.memory.memory_plan`.

Written from the published description and the public code's numbers, none of its code; every
stage is tested against numbers that the public code produced. Most modules need the ``covo`` extra
(torch and transformers); those that only know sizes and memory do not, and say so.
"""

import logging

# Importing transformers imports torchao when it is there, and that warns of what no user can or
# need change: kernels of its own for other machines, and how it registers things with torch.
for _noisy in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_noisy).setLevel(logging.ERROR)
