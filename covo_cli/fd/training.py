"""What training reads beside the dialogues: half-duplex samples, and its configuration.

The samples are the teacher's answers in its own format, to keep it alive in the student.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tomlkit

from audio_io.clock import USER_RATE
from audio_io.files import write_audio
from audio_io.signal import Audio
from covo_cli.fd.recipe import FdRecipe
from covo_cli.fd.records import (
    CHAT,
    DIALOGUES,
    HELD_OUT,
    INTERRUPTED,
    START,
    TRAINED,
    SaidReply,
    SpokenTurn,
)
from covo_cli.process.whole_file import write_text
from model.covo.config.network_config import CovoConfig
from model.covo.conversation.chat_prompt import ChatPrompt, read_system_prompt
from model.covo.language.tokenizer import CovoTokenizer
from model.duplex.protocol.profile import DuplexProfile

TRAINING = "train.toml"


class ChatWriter:
    """Writes samples (:mod:`model.duplex.training.chat`) of the teacher in ``model``. Raises:
    NetworkConfigError."""

    def __init__(self, model: Path, profile: DuplexProfile, speaker: str) -> None:
        tokenizer = CovoTokenizer.read(model, CovoConfig.read(model / "config.json"))
        self._prompt = ChatPrompt(tokenizer)
        self._system = self._prompt.system(read_system_prompt(model).text(speaker))
        self._profile = profile

    def write(
        self,
        path: Path,
        turns: Sequence[SpokenTurn],
        sounds: Sequence[Audio],
        replies: Sequence[SaidReply],
    ) -> None:
        """Write a conversation to the JSON file ``path``, and the user beside it, unless it is
        there. It ends with the first reply that is interrupted, which is whole here."""
        if path.exists():
            return
        chunk = self._profile.chunk_samples
        ids, learn, heard = list(self._system), list[tuple[int, int]](), list[Audio]()
        for turn, sound, reply in zip(turns, sounds, replies, strict=False):
            padded = np.pad(sound, (0, -len(sound) % chunk))
            heard.append(padded)
            rows = len(padded) // chunk * self._profile.features_per_chunk
            ids += self._prompt.turn(rows=rows)
            begin = len(ids)
            ids += (*reply.tokens, self._prompt.end_of_reply)
            learn.append((begin, len(ids)))
            if turn.kind in INTERRUPTED:
                break
        write_audio(path.with_suffix(".flac"), np.concatenate(heard), USER_RATE)
        text = json.dumps({"ids": ids, "learn": learn}, separators=(",", ":"))
        write_text(path, text + "\n")  # last: with it, the sample is there


def write_training(folder: Path, recipe: FdRecipe) -> None:
    """Write ``train.toml`` into the work ``folder``, replacing an older one. Raises: OSError."""
    mix = recipe.mix
    held_out = f"{DIALOGUES}/{HELD_OUT}"
    judged = (folder / held_out).is_dir()
    tables: dict[str, Any] = {
        "network": {"folder": START, "output": TRAINED},
        "data": {
            "folder": DIALOGUES,
            "middle": mix.middle,
            "overlap": mix.overlap,
            "held_out": held_out if judged else None,
        },
        "training": {
            **msgspec.to_builtins(recipe.training),
            **({} if judged else {"judge_every": 0}),
        },
        "loss": msgspec.to_builtins(recipe.loss),
    }
    if mix.chat:
        tables["chat"] = {"folder": f"{DIALOGUES}/{CHAT}", "share": mix.chat}
    known = {
        table: {name: value for name, value in values.items() if value is not None}
        for table, values in tables.items()
    }
    heading = "# Written by `covo fd dialogues` from recipe.toml; change that instead.\n\n"
    write_text(folder / TRAINING, heading + tomlkit.dumps(known))
