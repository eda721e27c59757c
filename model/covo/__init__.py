"""The Covo-Audio network: from a turn of speech to text tokens and speech codes, and to a wave.

Rooms, in the order of the data:

- ``config``: what a checkpoint says of itself, devices and precisions.
- ``language``: wave to log-mel to embeddings, the language model, its step-wise decoder.
- ``speech``: speech codes to latents (flow matching) to a wave (BigVGAN), at once or in a stream.
- ``loading``: from a folder to networks; :mod:`model.covo.loading.assemble` puts it all together.
- ``memory``: what a network will take, before it is loaded.
- ``conversation``: what was said, the stream of the next reply, and the reply generator.

Written from the published description and the public code's numbers, without its code; every stage
is tested against numbers that the public code produced. Most modules need the ``covo`` extra (torch
and transformers); those that only know sizes and memory say so.
"""

import logging

# Importing transformers imports torchao if it is installed, which then warns about things that no
# user can change: kernels for other machines, and how it registers with torch.
for _noisy in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_noisy).setLevel(logging.ERROR)
