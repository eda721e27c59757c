"""Everything to train a first duplex network with: written into a folder by one call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from model.covo.config.config import CovoConfig
from model.duplex.protocol.grammar import Grammar
from model.duplex.protocol.profile_file import FILE, read_profile
from model.duplex.tones.tones import WORDS, dialogue
from model.duplex.tones.tones_network import write_untrained
from model.duplex.training.dataset import write_dialogue

SECONDS = 10.0
"""About how long a dialogue is."""

CONFIG = """\
# covo train duplex --config THIS FILE

[network]
folder = "untrained"
output = "trained"
dtype = "float16"

[data]
folder = "dialogues"
codec = "tones"
keep = true

[training]
steps = 500
batch = 8
learning_rate = 3e-3
warm_up = 40
save_every = 100

[loss]
text = 4.0    # a single word of a reply, the pitch, has to be heard; the rest follows from it
speech = 0.5
"""


def write_world(
    folder: Path, dialogues: int, *, seed: int = 0, progress: Callable[[], None] = lambda: None
) -> None:
    """Write an untrained network, ``dialogues`` synthetic dialogues and the training's
    configuration, ``train.toml``, into ``folder``. ``progress`` is called after each dialogue."""
    untrained, data = folder / "untrained", folder / "dialogues"
    write_untrained(untrained, seed)
    data.mkdir(exist_ok=True)
    config = CovoConfig.read(untrained / "config.json")
    grammar = Grammar(read_profile(untrained / FILE), config)
    tokenizer = Tokenizer.from_file(str(untrained / "tokenizer.json"))
    ids: dict[str, int] = {word: tokenizer.encode(word).ids[0] for word in WORDS}
    for number in range(dialogues):
        random = np.random.default_rng((seed, number))
        made = dialogue(grammar, ids, random, SECONDS)
        write_dialogue(data / f"{number:05}.wav", made, grammar, tokenizer)
        progress()
    (folder / "train.toml").write_text(CONFIG, encoding="utf-8")
