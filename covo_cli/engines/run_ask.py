"""Answer one question about a recording in text, streamed to stdout."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from audio_io.clock import USER_RATE
from audio_io.files import read_audio
from covo_cli.engines.covo_engine import covo_model
from covo_cli.process.terminal import PlainConsole
from covo_cli.settings.settings import Settings
from model.covo.conversation.dialogue_parts import DialoguePart, ReplyEnd, StopReason, TextDelta
from model.errors import failing_as_model_error

CUT_SHORT = 1
"""Exit code of an incomplete answer."""


def run_ask(settings: Settings, audio: Path, question: str, *, as_json: bool) -> int:
    """Ask ``question`` about the recording ``audio``; return the exit code.

    Raises: AudioFileError, SettingsError, ModelError.
    """
    sound = read_audio(audio, USER_RATE)
    model = covo_model(settings, text_only=True)
    console = PlainConsole(stderr=True)
    with console.status("Loading") as status:
        dialogue = model.load_dialogue(None, lambda stage: status.update(f"{stage} ..."))
    reply = dialogue.begin(sound, question.strip())
    with failing_as_model_error("the answer"):
        end = _write(dialogue.stream(reply, lambda: False), as_json=as_json)
    if end.reason is StopReason.END:
        return 0
    console.print(f"Answer cut short after {end.text} tokens: {end.reason}.")
    return CUT_SHORT


def _write(parts: Iterator[DialoguePart], *, as_json: bool) -> ReplyEnd:
    for part in parts:
        match part:
            case TextDelta(text) if as_json:
                _put(json.dumps({"event": "text", "delta": text}, ensure_ascii=False) + "\n")
            case TextDelta(text):
                _put(text)
            case ReplyEnd():
                facts = {"event": "end", **dataclasses.asdict(part)}
                _put(json.dumps(facts) + "\n" if as_json else "\n")
                return part
    raise RuntimeError("the reply has no end")


def _put(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
