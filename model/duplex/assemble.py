"""Build the full-duplex assistant from a checkpoint and settings.

The folder is one of Covo-Audio's (:mod:`model.covo.loading.assemble`) with a ``duplex.json``:
``config.json``, ``tokenizer.json`` and the safetensors files and, unless the profile speaks in
tones, ``token2wav/`` and ``voices/NAME/``. Everything is checked before anything large is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isclose
from pathlib import Path

from tokenizers import Tokenizer

from model.covo.batch.sharing import SharedDecoders
from model.covo.config.device import AUTO, capability, describe, named_device
from model.covo.config.gpu import is_modern
from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import (
    SPEECH_BF16,
    Precision,
    SpeechPrecision,
    token2wav_precision,
)
from model.covo.config.sizes import FULL
from model.covo.config.token2wav_config import Token2WavConfig
from model.covo.loading.assemble import TOKEN2WAV, NetworkSettings
from model.covo.loading.checkpoint import load_token2wav
from model.covo.memory.fit import MemoryFit, free_memory
from model.covo.memory.plan import MemoryPlan, MemorySetting
from model.covo.speech.token2wav import Token2Wav
from model.covo.speech.voice_catalogue import NetworkVoice, VoiceCatalogue
from model.duplex.network.context import shared_decoders
from model.duplex.network.loop import DuplexLoop, LoopState
from model.duplex.network.network import DuplexNetwork, load_duplex, load_tokenizer
from model.duplex.network.speech import SpeechDecoder, Token2WavSpeech, ToneSpeech
from model.duplex.protocol.profile import Speech, read_profile
from model.engine import EngineInfo, Progress
from model.errors import NetworkConfigError
from model.jobs.shared import Shared


@dataclass(frozen=True, slots=True)
class DuplexAssistant:
    """The loop, the decoder of its codes, and the tokenizer of its text. ``loudness``: dB by which
    its voice is louder."""

    loop: DuplexLoop
    speech: SpeechDecoder
    tokenizer: Tokenizer
    loudness: float = 0.0

    def warm_up(self) -> LoopState:
        """Run everything once, on the thread that will make the steps, so that the first ones are
        as fast as later ones; return the state before a conversation."""
        self.speech.warm_up()
        return self.loop.warm_up()


class DuplexModel:
    """The checkpoint in ``folder``, checked but not loaded. What is loaded several times while it
    is in use shares its weights.

    ``voice``: a name in ``catalogue``, or empty for the checkpoint's own. Settings of turns, prompt
    and sampling are ignored: the profile decides these.

    Raises: NetworkConfigError (also for a half-duplex checkpoint), VoiceError, WeightsError,
    NetworkInputError; NetworkMemoryError when it does not fit.
    """

    def __init__(
        self, folder: Path, settings: NetworkSettings, catalogue: VoiceCatalogue, voice: str = ""
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._profile = read_profile(folder)
        self._config = CovoConfig.read(folder / "config.json")
        self._profile.check(self._config)
        self._tokenizer = load_tokenizer(folder, self._profile)
        self._device = named_device(settings.device)
        self._precision = self._checked_precision()
        self._network: Shared[DuplexNetwork] = Shared()
        self._token2wav: Shared[Token2Wav] = Shared()
        self._decoders: Shared[SharedDecoders] = Shared()
        self._sound = None
        if self._profile.speech is Speech.TOKEN2WAV:
            self._sound = self._check_token2wav(catalogue, voice)
        self.plan = self._plan()

    @property
    def info(self) -> EngineInfo:
        """Describe the engine and its parts."""
        voice, parts = str(self._profile.speech), {"network": f"{self._folder}, {self._precision}"}
        if self._sound is not None:
            voice = self._sound.voice.name
            parts["token2wav"] = f"flow matching and BigVGAN, {self._sound.precision}"
        return EngineInfo(
            "covo-fd",
            f"full-duplex network in {self._folder.name}, {self._profile.chunk_ms} ms at a time, "
            f"on {self._device}",
            voice,
            describe(self._device),
            parts,
        )

    def load(self, progress: Progress) -> DuplexAssistant:
        """Load everything, without warming up. Raises: NetworkConfigError, WeightsError."""
        progress("loading the duplex network")
        network = self._network.get(
            lambda: load_duplex(self._folder, device=self._device, precision=self._precision)
        )
        loop = self._loop(network)
        speech: SpeechDecoder = ToneSpeech(self._profile.code_rate)
        if self._sound is not None:
            progress("loading token2wav")
            speech = self._load_speech(self._sound)
        return DuplexAssistant(loop, speech, self._tokenizer, self._settings.loudness)

    def _loop(self, network: DuplexNetwork) -> DuplexLoop:
        """Return a loop; those of several sessions share the passes of their language model."""
        graph, sessions = self._settings.graph, self._settings.sessions
        if sessions == 1:
            return DuplexLoop(network, graph=graph)
        shared = self._decoders.get(
            lambda: shared_decoders(network.covo, self._profile, sessions, graph=graph)
        )
        return DuplexLoop(network, graph=graph, decoders=shared.decoder)

    def _plan(self) -> MemoryPlan:
        sound = self._sound
        setting = MemorySetting(
            self._precision,
            SPEECH_BF16 if sound is None else sound.precision,
            speaks=sound is not None,
            sessions=self._settings.sessions,
            duplex_tokens=self._profile.cache_tokens,
        )
        # Without a voice, the sizes of token2wav do not count.
        token2wav = FULL.token2wav if sound is None else sound.config
        fit = MemoryFit(
            self._config,
            token2wav,
            self._device.type,
            modern=is_modern(capability(self._device)),
        )
        return fit.require(setting, free_memory(str(self._device)), str(self._device))

    def _checked_precision(self) -> Precision:
        wanted = self._settings.precision
        if wanted == AUTO:
            return Precision.of_dtype(self._config.backbone.dtype)
        precision = Precision.named(wanted)
        if precision.quantised:
            raise NetworkConfigError(
                f"the full-duplex engine does not run in {precision}; use auto, bf16, fp16 or fp32"
            )
        return precision

    def _check_token2wav(self, catalogue: VoiceCatalogue, name: str) -> _Token2Wav:
        settings, folder = self._settings, self._folder / TOKEN2WAV
        config = Token2WavConfig.read(folder / "config.json")
        if config.flow.codebook != self._config.codebook:
            raise NetworkConfigError(
                f"{folder} has {config.flow.codebook} codes, but the network has "
                f"{self._config.codebook}; take both from the same checkpoint"
            )
        if not isclose(config.codes_per_second, self._profile.code_rate):
            raise NetworkConfigError(
                f"{folder} speaks {config.codes_per_second:g} codes a second, but the duplex "
                f"profile has {self._profile.code_rate:g}; take both from the same checkpoint"
            )
        voice = catalogue.load(name, config.flow)
        if settings.voice_prompt_seconds is not None:
            prompt = voice.prompt.crop(settings.voice_prompt_seconds, config)
            voice = replace(voice, prompt=prompt)
        precision = token2wav_precision(settings.token2wav_precision, self._device.type)
        return _Token2Wav(config, precision, voice)

    def _load_speech(self, sound: _Token2Wav) -> Token2WavSpeech:
        folder = self._folder / TOKEN2WAV
        token2wav = self._token2wav.get(
            lambda: load_token2wav(folder, device=self._device, precision=sound.precision)
        )
        sampling = self._settings.flow_sampling(sound.config.sampling)
        return Token2WavSpeech.chunkwise(
            token2wav, sound.voice.prompt, self._profile, sampling, graph=self._settings.graph
        )


@dataclass(frozen=True, slots=True)
class _Token2Wav:
    """The checked speech parts; ``voice`` has its prompt cropped."""

    config: Token2WavConfig
    precision: SpeechPrecision
    voice: NetworkVoice = field(repr=False)
