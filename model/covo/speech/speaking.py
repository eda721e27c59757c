"""From a reply's speech codes, as they come, to pieces of sound with the words they say."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from audio_io.signal import Audio
from model.covo.config.config import Token2WavConfig
from model.covo.conversation.answer import Answer
from model.covo.speech.speech_stream import SpeechSettings
from model.covo.speech.speech_worker import SpeechWorker
from model.covo.speech.token2wav import VoicePrompt


@dataclass(frozen=True, slots=True)
class Spoken:
    """A piece of sound, float32 mono at 24 kHz, and about what it says."""

    samples: Audio = field(repr=False)
    text: str


class Speaking:
    """Speaks replies with ``worker``, one after the other, whoever asks. ``config``: that of the
    worker's network."""

    def __init__(
        self, worker: SpeechWorker, config: Token2WavConfig, settings: SpeechSettings
    ) -> None:
        self._worker = worker
        self._config = config
        self._settings = settings
        self._busy = threading.Lock()

    def speak(
        self, groups: Iterable[tuple[int, ...]], voice: VoicePrompt, answer: Answer, seed: int
    ) -> Iterator[Spoken]:
        """The sound of all ``groups`` of codes, as soon as the chunk schedule lets it be known.

        ``answer``: the reply that they belong to, for the words. Raises: NetworkInputError.
        """
        said = ""
        with self._busy:
            stream = self._worker.start(voice, self._settings, seed=seed)
            for group in groups:
                piece, stream = self._worker.step(stream, group)
                if len(piece):
                    now = answer.said_by(stream.spoken)
                    yield Spoken(piece.samples(), now[len(said) :])
                    said = now if len(now) > len(said) else said
            piece, stream = self._worker.step(stream, (), last=True)
            if len(piece):
                yield Spoken(piece.samples(), answer.said_by(stream.spoken)[len(said) :])

    def heard_codes(self, samples: int, voice: VoicePrompt) -> int:
        """How many codes of a reply in ``voice`` were played to their end when ``samples`` were:
        the inverse of :meth:`Token2Wav.samples`."""
        if samples <= 0:
            return 0
        latents = samples // self._config.vocoder.hop + len(voice.latents)
        return max(0, latents // self._config.flow.upsample - len(voice.codes))

    def warm_up(self, voice: VoicePrompt) -> None:
        """Speak as much as takes every size of chunk once, and throw it away."""
        sizes = self._settings.schedule.sizes
        codes = (0,) * (sum(sizes) + self._settings.schedule.look_ahead)
        with self._busy:
            stream = self._worker.start(voice, self._settings)
            for code in codes:
                piece, stream = self._worker.step(stream, (code,))
                piece.samples()
            piece, _ = self._worker.step(stream, (), last=True)
            piece.samples()
