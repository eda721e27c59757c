"""The Covo-Audio network: speech in; text tokens, speech codes and a wave out.

Rooms, in the order of the data:

- ``config``: a checkpoint's sizes, devices and precisions.
- ``products``: linear layers: few rows at a time, and with integers as weights.
- ``language``: wave to log-mel to embeddings, the language model, its step-wise decoder.
- ``speech``: speech codes to latents (flow matching) to a wave (BigVGAN), at once or in a stream.
- ``loading``: networks from a folder; :mod:`model.covo.loading.assemble` puts it all together.
- ``memory``: estimates of memory and cost before loading.
- ``conversation``: history, prompt, reply stream and the reply generator.

Written from the published description and the public code's numbers, without its code; every stage
is tested against numbers that the public code produced. Most modules need the ``covo`` extra (torch
and transformers); those that only know sizes and memory say so.
"""

import logging

# Importing transformers imports torchao if it is installed, which then warns about things that
# do not matter here: kernels for other machines, and how it registers with torch.
for _noisy in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_noisy).setLevel(logging.ERROR)
