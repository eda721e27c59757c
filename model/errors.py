"""What can go wrong in :mod:`model`. Each message says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from voices.errors import VoiceError


class ModelError(Exception):
    """Base of every error that this package raises on purpose."""


class WeightsError(ModelError):
    """Weights are missing, incomplete or not the bytes that were pinned."""


class NetworkConfigError(ModelError):
    """A network's config.json or duplex.json is missing, unreadable, or describes something we
    cannot run."""


class NetworkInputError(ModelError):
    """The network was given something it cannot take: audio, tokens, speech codes, a voice."""


class NetworkMemoryError(ModelError):
    """A network takes more memory than a device has free."""


class DialogueError(ModelError):
    """A dialogue cannot be written as chunks, or a sequence of chunks is none."""


class TrainingError(ModelError):
    """A network cannot be trained as asked: the configuration, the data or a checkpoint."""


class RecognizerError(ModelError):
    """The speech recogniser could not be loaded or could not read the audio."""


class EndOfTurnError(ModelError):
    """The end-of-turn model could not be loaded or could not read the audio."""


class ChatError(ModelError):
    """The chat model could not be loaded or reached, or answered with an error."""


class SynthesizerError(ModelError):
    """The synthesiser could not be loaded or could not speak the text."""


@contextmanager
def failing_as_model_error(what: str) -> Iterator[None]:
    """Where a part's work is collected: whatever it raises comes out as a ModelError.

    Parts call libraries that raise what they like, and a conversation outlives a failed reply.
    """
    try:
        yield
    except (ModelError, VoiceError):
        raise
    except Exception as error:
        raise ModelError(f"{what} failed: {type(error).__name__}: {error}") from error
