"""A work on the tiny golden network: made-up voices, and a recipe of seconds instead of hours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit
from safetensors.torch import load_file, save_file

from audio_io.clock import USER_RATE
from audio_io.signal import Audio
from covo_cli.fd.answers import Answers
from covo_cli.fd.dialogues import Dialogues
from covo_cli.fd.plan import SaidPrompt
from covo_cli.fd.questions import Mouth, Questions
from covo_cli.fd.recipe import FdRecipe
from tests.model.covo.covo_model import covo_folder

PROTOCOL = {521: "vision_start", 522: "vision_end", 523: "vision_pad", 524: "image_pad"} | {
    531: "fim_pad"
}
LIKELY = {45: 594, 299: 638}
"""Text tokens that the golden network writes most often, and codes to be as frequent instead."""
BLOCK_END = 514
PROMPTS = [f"Question number {n}, is it {'so' * (n % 5 + 1)} or not?" for n in range(24)]
VOICES = {"low": 120.0, "high": 210.0, "aside": 160.0}
"""Voices and their pitch in Hz; the last is held out."""


def teacher_folder(target: Path) -> Path:
    """The golden network, with the protocol's tokens in its tokenizer, and a head that likes to
    speak and to come to an end."""
    folder = covo_folder(target)
    weights = load_file(folder / "model.safetensors")
    head = weights["llm.lm_head.weight"]
    for text, code in LIKELY.items():
        head[[text, code]] = head[[code, text]]
    head[BLOCK_END] = head[436]
    save_file(weights, folder / "model.safetensors")
    path = folder / "tokenizer.json"
    text = path.read_text()
    for number, name in PROTOCOL.items():
        text = text.replace(f"<|reserved_{number}|>", f"<|{name}|>")
    path.write_text(text)
    return folder


def small_recipe(folder: Path, **changes: dict[str, Any]) -> FdRecipe:
    """Make the recipe in ``folder`` small; ``changes`` are by table."""
    path = folder / "recipe.toml"
    document: Any = tomlkit.parse(path.read_text())
    small: dict[str, dict[str, Any]] = {
        "prompts": {"streams": 4, "block": 8, "limit": 40, "words": [1, 40], "temperature": 1.5},
        "questions": {
            "held_out": 4,
            "voices": ["low", "high"],
            "held_out_voices": ["aside"],
            "turns": [0.2, 0.4, 0.4],
        },
        "answers": {
            **{"limit": 400, "streams": 3, "block": 4, "likely": 5},
            "codes_per_text": [0.01, 200.0],
        },
        "dialogues": {"hours": 0.05, "rounds": 3},
        "timing": {"gap_longer": [3.0, 4.0], "long_silence": [2.0, 4.0], "longest": 60.0},
    }
    for table, values in (*small.items(), *changes.items()):
        document[table].update(values)
    path.write_text(tomlkit.dumps(document))
    return FdRecipe.read(folder)


def say(voice: str, text: str) -> Audio:
    """A harmonic tone for each word, with gaps, 0.05 s of silence around."""
    pitch = VOICES[voice]
    quiet = np.zeros(round(0.05 * USER_RATE), np.float32)
    parts = [quiet]
    for word in text.split():
        time = np.arange(round((0.08 + 0.02 * len(word)) * USER_RATE)) / USER_RATE
        tone = sum(np.sin(2 * np.pi * k * pitch * time) / k for k in range(1, 6))
        parts += [(0.1 * tone * np.hanning(len(time))).astype(np.float32), quiet]
    return np.concatenate(parts)


MOUTH = Mouth(say, dict.fromkeys(VOICES, "en"), lambda audio: "what was recorded")
WRITTEN = [SaidPrompt(text, "en") for text in PROMPTS]


def questions(folder: Path) -> Questions:
    return Questions(folder, FdRecipe.read(folder), WRITTEN, MOUTH)


def answers(folder: Path) -> Answers:
    return Answers(folder, FdRecipe.read(folder), "cpu")


def dialogues(folder: Path) -> Dialogues:
    return Dialogues(folder, FdRecipe.read(folder))


STAGES = {"questions": questions, "answers": answers, "dialogues": dialogues}


def files(folder: Path) -> dict[str, bytes]:
    """Every file in ``folder`` with its bytes, but for the lock of its commands."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def manifest(folder: Path) -> dict[str, Any]:
    """What a stage's manifest says."""
    return json.loads((folder / "manifest.json").read_text())


def student_folder(folder: Path, model: Path) -> Path:
    """Put a student into the work ``folder``: its teacher ``model``, in the work's protocol."""
    student = folder / "trained"
    shutil.copytree(model, student)
    shutil.copyfile(folder / "duplex.json", student / "duplex.json")
    return student
