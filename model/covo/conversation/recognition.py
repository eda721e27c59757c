"""The embedded recogniser beside a network that hears the user itself."""

from __future__ import annotations

import torch

from model.reply import LoadableRecognizer


def load_recognizer(recognizer: LoadableRecognizer) -> None:
    """Load it, and leave torch as it was. Raises: RecognizerError."""
    threads = torch.get_num_threads()
    recognizer.load()
    # CTranslate2 sets OpenMP's number of threads for the calling thread, hence for torch.
    torch.set_num_threads(threads)
