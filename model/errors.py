"""The errors of :mod:`model`; each message names the cause and the remedy.

ModelError
├── WeightsError          weights missing, incomplete or changed
│   └── MissingPieceError of the embedded engine: a pull gets them
├── NetworkConfigError    config.json or duplex.json missing, unreadable or unsupported
├── NetworkInputError     audio, tokens, codes or voice that a network cannot take
├── NetworkMemoryError    not enough memory on the device
├── DialogueError         not a valid dialogue or sequence of chunks
├── TrainingError         bad training configuration, data or checkpoint
├── RemoteError           a server cannot be reached, refuses, or speaks another protocol
├── RecognizerError
├── EndOfTurnError
├── ChatError
├── ToolError             a tool cannot be set up, or a call of it failed
└── SynthesizerError      each: cannot be loaded, or failed at its work
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from audio_io.worker import details_hint
from model.secrets import without_secrets
from voices.errors import VoiceError

log = logging.getLogger(__name__)


class ModelError(Exception):
    """Base of all errors that this package raises on purpose; its message has no keys."""

    def __str__(self) -> str:
        return without_secrets(super().__str__())


class WeightsError(ModelError):
    """Weights are missing, incomplete or not the pinned bytes."""


class MissingPieceError(WeightsError):
    """Weights of the embedded engine are missing or damaged, and a pull would get them."""


class NetworkConfigError(ModelError):
    """A network's config.json or duplex.json is missing, unreadable or unsupported."""


class NetworkInputError(ModelError):
    """A network was given audio, tokens, speech codes or a voice that it cannot take."""


class NetworkMemoryError(ModelError):
    """A network needs more memory than the device has free."""


class DialogueError(ModelError):
    """A dialogue cannot be written as chunks, or chunks do not form a dialogue."""


class TrainingError(ModelError):
    """Training cannot run: its configuration, data or checkpoint is wrong."""


class RecognizerError(ModelError):
    """The speech recogniser cannot be loaded, or cannot read the audio."""


class EndOfTurnError(ModelError):
    """The end-of-turn model cannot be loaded, or cannot read the audio."""


class ChatError(ModelError):
    """The chat model cannot be loaded or reached, or answered with an error."""


class RemoteError(ModelError):
    """A server that holds the conversation cannot be reached, refuses, or speaks otherwise."""


class ToolError(ModelError):
    """A tool cannot be set up, or a call of it failed."""


class SynthesizerError(ModelError):
    """The synthesiser cannot be loaded, or cannot speak the text."""


@contextmanager
def failing_as_model_error(what: str) -> Iterator[None]:
    """Raise every error as a ModelError, so that a conversation outlives it.

    Deliberate errors pass unchanged; others are bugs, and their traceback is logged.
    """
    try:
        yield
    except (ModelError, VoiceError) as error:
        log.warning("%s failed: %s", what, error)
        raise
    except Exception as error:
        log.exception("%s failed", what)
        hint = details_hint()
        raise ModelError(f"{what} failed: {type(error).__name__}: {error}{hint}") from error
