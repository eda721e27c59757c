"""Measure in words what the encoder hears chunk by chunk, beside what it hears in one piece.

Whisper's own decoder, greedy and in int8 as in the embedded engine, reads what either encoder made
of an utterance. Needs jiwer and whisper-normalizer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from audio_io.clock import USER_RATE
from audio_io.signal import Audio
from covo_cli.bench.figures import machine
from covo_cli.bench.words import word_errors
from covo_cli.fd.ears.utterances import Utterance
from model.duplex.making.whisper import causal_encoder, read_whisper_encoder
from model.duplex.network.encoder import StreamingEncoder
from model.errors import WeightsError
from model.lite.mel import log_mel
from model.lite.recognizer import MARGIN_S, WINDOWS_S, decode_words

CHUNKS_MS = (160, 320)
LOOK_BACKS_S = (5.0, 10.0)
FRAMES_PER_S = 50

Hear = Callable[[Audio], Any]
"""Returns what CTranslate2's decoder takes for an utterance."""


class WhisperEars:
    """The encoder and decoder of Whisper base in ``folder``; ``precision`` as CTranslate2 names
    it."""

    def __init__(self, folder: Path, threads: int = 1, precision: str = "int8") -> None:
        import ctranslate2
        import tokenizers

        self.weights = folder / "model.bin"
        self._model = ctranslate2.models.Whisper(
            str(folder), device="cpu", compute_type=precision, intra_threads=threads
        )
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        torch.set_num_threads(threads)  # CTranslate2 has set them, too

    def whole(self, audio: Audio) -> Any:
        """Hear ``audio`` in one piece of 30 s, as Whisper was trained to."""
        from ctranslate2 import StorageView

        mel = log_mel(audio, round(WINDOWS_S[-1] * USER_RATE))
        return self._model.encode(StorageView.from_array(mel[None]))

    def words(self, encoded: Any, seconds: float) -> str:
        """Return what the decoder reads."""
        found = decode_words(self._model, self._tokenizer, encoded, "en", seconds)
        ids = found.sequences_ids[0]
        return str(self._tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def causal(self, chunk_ms: int, look_back_s: float, trained: Path | None = None) -> Hear:
        """Return what hears in chunks, with the ``trained`` weights instead of its own.

        Raises: WeightsError.
        """
        encoder = read_whisper_encoder(self.weights)
        if trained is not None:
            try:
                encoder.load_state_dict(load_file(trained))
            except (OSError, RuntimeError) as error:
                raise WeightsError(f"cannot read {trained}: {error}") from error
        student = causal_encoder(encoder, chunk_ms, round(look_back_s * FRAMES_PER_S))
        return lambda audio: hear_in_chunks(student, audio)


@torch.inference_mode()
def hear_in_chunks(student: StreamingEncoder, audio: Audio) -> Any:
    """Return what ``student`` hears of ``audio`` and the silence behind it."""
    from ctranslate2 import StorageView

    length = len(audio) + round(MARGIN_S * USER_RATE)
    length += -length % student.profile.chunk_samples
    padded = np.pad(audio, (0, length - len(audio)))
    heard, _ = student(student.start(), torch.from_numpy(padded)[None])
    return StorageView.from_array(np.ascontiguousarray(heard.numpy()))


def measure_encoder(
    ears: WhisperEars,
    utterances: Sequence[Utterance],
    trained: Path | None,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Let each encoder hear ``utterances``; return the word error rates by group, and those of
    words too many alone: the decoder repeats itself where it hears no end.

    Raises: WeightsError, RecognizerError.
    """
    hears: dict[str, Hear] = {"30 s, both directions": ears.whole}
    for which in [None, *[trained] * (trained is not None)]:
        for chunk in CHUNKS_MS:
            for back in LOOK_BACKS_S:
                name = f"{chunk} ms, {back:g} s back" + (", trained" if which else "")
                hears[name] = ears.causal(chunk, back, which)
    groups = list(dict.fromkeys(one.group for one in utterances))
    rates: dict[str, dict[str, float]] = {}
    inserted: dict[str, dict[str, float]] = {}
    for name, hear in hears.items():
        progress(name)
        read = _read(ears, hear, utterances)
        errors = {group: word_errors(read[group]) for group in groups}
        rates[name] = {group: round(found.rate, 4) for group, found in errors.items()}
        inserted[name] = {group: round(found.inserted, 4) for group, found in errors.items()}
    return {
        "machine": machine(),
        "utterances": {
            group: {
                "count": len(own := [one for one in utterances if one.group == group]),
                "words": sum(len(one.text.split()) for one in own),
                "seconds": round(sum(len(one.audio) for one in own) / USER_RATE, 1),
            }
            for group in groups
        },
        "word_error_rate": rates,
        "inserted_words": inserted,
    }


def _read(
    ears: WhisperEars, hear: Hear, utterances: Sequence[Utterance]
) -> Mapping[str, list[tuple[str, str]]]:
    read: dict[str, list[tuple[str, str]]] = {}
    for one in utterances:
        words = ears.words(hear(one.audio), len(one.audio) / USER_RATE)
        read.setdefault(one.group, []).append((one.text, words))
    return read
