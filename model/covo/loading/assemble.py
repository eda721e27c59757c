"""Build a reply generator from a model folder and settings.

The folder has the published layout: config.json, the tokenizer and the safetensors files;
``token2wav/`` with its own config.json, weights and statistics; ``voices/NAME/`` with three arrays
per voice; and optionally ``system_prompt.txt`` (:mod:`model.covo.conversation.chat_prompt`).

Every check that can fail runs before weights are read: the kind of folder, the voice's size, the
precision, the device and its memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model.covo.batch.sharing import SharedDecoders
from model.covo.config.device import AUTO, capability, describe, named_device
from model.covo.config.gpu import is_modern
from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import Precision, token2wav_precision
from model.covo.config.token2wav_config import SamplingConfig, Token2WavConfig
from model.covo.conversation.chat_prompt import read_system_prompt
from model.covo.conversation.dialogue import Dialogue, DialogueSettings
from model.covo.conversation.generator import CovoGenerator, LoadedNetwork
from model.covo.language.decoder import Decoder
from model.covo.language.network import CovoNetwork
from model.covo.language.sampling import GREEDY, SamplingSettings
from model.covo.language.tokenizer import CovoTokenizer
from model.covo.loading.checkpoint import load_network, load_token2wav
from model.covo.memory.fit import MemoryFit, free_memory
from model.covo.memory.plan import MemoryPlan, MemorySetting, context_tokens
from model.covo.speech.speech_stream import SpeechSettings, SpeechStreamer
from model.covo.speech.speech_worker import SpeechWorker
from model.covo.speech.token2wav import Token2Wav
from model.covo.speech.voice_catalogue import NetworkVoice, VoiceCatalogue
from model.engine import EngineInfo, Progress
from model.jobs.shared import Shared

TOKEN2WAV = "token2wav"
"""Subfolder of a model folder."""
LICENCE = "academic use only, nothing commercial and nothing in production"


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """How the network is run.

    ``device``: ``auto`` or torch's name. ``precision``: ``auto`` for the weights' own, or one of
    :class:`Precision`; ``token2wav_precision``: see :func:`token2wav_precision`.
    ``context_minutes``: minutes of talk to remember. ``voice_prompt_seconds``: how much of a voice
    prompt's end to use, None for all. ``flow_steps``: midpoint steps of flow matching, None for the
    checkpoint's; ``guidance``: its strength, None for the checkpoint's, negative to disable.
    ``graph``: use CUDA graphs. ``text_only``: write without speaking. ``sessions``: conversations
    at once, for which there must be memory. ``loudness``: dB by which the voice is louder.
    """

    device: str = AUTO
    precision: str = AUTO
    token2wav_precision: str = AUTO
    context_minutes: float = 10.0
    reply_tokens: int = 2048
    sampling: SamplingSettings = GREEDY
    voice_prompt_seconds: float | None = None
    flow_steps: int | None = None
    guidance: float | None = None
    graph: bool = True
    text_only: bool = False
    persona: str | None = None
    sessions: int = 1
    loudness: float = 0.0

    def flow_sampling(self, own: SamplingConfig) -> SamplingConfig:
        """Return how the flow is solved, with a checkpoint's ``own`` settings as defaults."""
        points = own.points if self.flow_steps is None else self.flow_steps + 1
        alpha = own.alpha if self.guidance is None else self.guidance
        return SamplingConfig(
            points, None if alpha is not None and alpha < 0 else alpha, own.rescale
        )


class CovoModel:
    """The model in ``folder`` with ``settings``, inspected but not loaded.

    What is loaded several times while it is in use shares its weights.

    Raises: NetworkConfigError when the folder is not a Covo-Audio model, the precision unknown or
    the device missing; NetworkMemoryError when it does not fit.
    """

    def __init__(self, folder: Path, settings: NetworkSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.config = CovoConfig.read(folder / "config.json")
        self.speech_config = Token2WavConfig.read(folder / TOKEN2WAV / "config.json")
        self.device = named_device(settings.device)
        own = Precision.of_dtype(self.config.backbone.dtype)
        self.precision = own if settings.precision == AUTO else Precision.named(settings.precision)
        self.speech_precision = token2wav_precision(settings.token2wav_precision, self.device.type)
        self.tokenizer = CovoTokenizer.read(folder, self.config)
        self.system = read_system_prompt(folder, settings.persona)
        self._network: Shared[CovoNetwork] = Shared()
        self._token2wav: Shared[Token2Wav] = Shared()
        self._decoders: Shared[SharedDecoders] = Shared()
        self.plan = self._plan()

    @property
    def where(self) -> str:
        """Return the device's name for the user, with what an older card lacks."""
        return describe(self.device)

    def load_dialogue(self, speaker: str | None, progress: Progress) -> Dialogue:
        """Load the language-model side, without warming up. ``speaker``: the voice's name, None for
        text only.

        Raises: WeightsError, NetworkConfigError.
        """
        network = self._network.get(
            lambda: load_network(
                self.folder,
                device=self.device,
                precision=self.precision,
                progress=_bytes("the language model", progress),
            )
        )
        decoder = self._decoder(network)
        settings = DialogueSettings(
            sampling=self.settings.sampling,
            limit=self.settings.reply_tokens,
            text_only=speaker is None,
        )
        return Dialogue(network, decoder, self.tokenizer, self.system, speaker, settings)

    def load_speech(self, progress: Progress) -> SpeechWorker:
        """Load token2wav. Raises: WeightsError, NetworkConfigError."""
        token2wav = self._token2wav.get(
            lambda: load_token2wav(
                self.folder / TOKEN2WAV,
                device=self.device,
                precision=self.speech_precision,
                progress=_bytes("token2wav", progress),
            )
        )
        sampling = self.settings.flow_sampling(self.speech_config.sampling)
        return SpeechWorker(
            SpeechStreamer(token2wav),
            SpeechSettings(sampling=sampling),
            graph=self.settings.graph,
        )

    def voice(self, catalogue: VoiceCatalogue, name: str) -> NetworkVoice:
        """Return the voice called ``name``, its prompt cropped as the settings say. Raises:
        VoiceError, NetworkInputError."""
        voice = catalogue.load(name, self.speech_config.flow)
        seconds = self.settings.voice_prompt_seconds
        if seconds is None:
            return voice
        return NetworkVoice(
            voice.name, voice.speaker, voice.prompt.crop(seconds, self.speech_config)
        )

    def _decoder(self, network: CovoNetwork) -> Decoder:
        """Return a decoder; those of several sessions share their passes."""
        capacity = min(
            context_tokens(self.settings.context_minutes), self.config.backbone.max_positions
        )
        graph, sessions = self.settings.graph, self.settings.sessions
        if sessions == 1:
            return Decoder(network, capacity, graph=graph)
        shared = self._decoders.get(
            lambda: SharedDecoders(network, sessions, capacity, graph=graph)
        )
        return shared.decoder()

    def _plan(self) -> MemoryPlan:
        setting = MemorySetting(
            self.precision,
            self.speech_precision,
            self.settings.context_minutes,
            speaks=not self.settings.text_only,
            sessions=self.settings.sessions,
        )
        fit = MemoryFit(
            self.config,
            self.speech_config,
            self.device.type,
            modern=is_modern(capability(self.device)),
        )
        return fit.require(setting, free_memory(str(self.device)), str(self.device))


def build_generator(
    model: CovoModel,
    catalogue: VoiceCatalogue,
    *,
    voice: str = "",
) -> CovoGenerator:
    """Return the reply generator of ``model``, not loaded yet. ``voice``: a name in ``catalogue``,
    or empty for the model's own.

    Raises: VoiceError, NetworkInputError.
    """
    text_only = model.settings.text_only

    def load(first: NetworkVoice | None, progress: Progress) -> LoadedNetwork:
        speech = model.load_speech(progress) if first else None
        dialogue = model.load_dialogue(first.speaker if first else None, progress)
        return LoadedNetwork(dialogue, speech)

    parts = {"language model": f"{model.folder.name}, {model.precision}"}
    if not text_only:
        parts["token2wav"] = f"flow matching and BigVGAN, {model.speech_precision}"
    info = EngineInfo(
        name="covo",
        description=f"Covo-Audio-Chat ({', '.join(parts.values())}); licence: {LICENCE}",
        voice="",
        device=model.where,
        parts=parts,
        speaks=not text_only,
    )
    return CovoGenerator(
        load,
        lambda name: model.voice(catalogue, name),
        voice=None if text_only else model.voice(catalogue, voice),
        info=info,
        loudness=model.settings.loudness,
    )


def _bytes(what: str, progress: Progress) -> Callable[[int, int], None]:
    said = ""

    def tell(done: int, total: int) -> None:
        nonlocal said
        stage = f"loading {what}: {done / 1e9:.1f} of {total / 1e9:.1f} GB"
        if stage != said:
            said = stage
            progress(stage)

    return tell
