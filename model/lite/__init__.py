"""The embedded engine: a cascade of small models that runs on two CPU cores.

:func:`build_cascade` assembles it; :mod:`model.lite.cascade` is the reply generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from model.errors import ChatError, SynthesizerError
from model.jobs.shared import Shared
from voices.folders import expanded

if TYPE_CHECKING:
    from model.lite.cascade import Cascade
    from model.lite.chat import ChatModel
    from model.lite.prompt import Prompt
    from model.lite.synthesizer import Synthesizer
    from model.tools.toolbox import Toolbox
    from model.weights.packages import WeightStore
    from voices.pack import LiteVoice, VoicePack
    from voices.tuning import VoiceTuning


@dataclass(frozen=True, slots=True)
class ChatLimits:
    """Limits of a chat model of the user's own, in tokens and seconds; 0: its kind's default."""

    max_tokens: int = 0
    context: int = 0
    timeout: float = 180.0


CHAT_FILE = "SmolLM2-135M-Instruct.Q8_0.gguf"


def build_cascade(
    weights: WeightStore,
    voices: Callable[[str], VoicePack],
    *,
    voice: str,
    chat_model: str = "",
    chat_url: str = "",
    persona: str | None = None,
    limits: ChatLimits | None = None,
    threads: int = 2,
    tools: Toolbox | None = None,
    shared: Shared[SynthesizerMaker] | None = None,
    tuning: VoiceTuning | None = None,
) -> Cascade:
    """Return the embedded engine's reply generator, not loaded yet.

    Args:
        voices: returns the pack of a voice.
        chat_model: a GGUF file or, with ``chat_url``, the endpoint's name of the model; without
            both, the embedded chat model is used.
        chat_url: an OpenAI-compatible endpoint.
        persona: replaces who the assistant is.
        limits: of ``chat_model``.
        threads: of the embedded models; a GGUF file uses the machine's physical cores.
        tools: those that the chat model may use; the embedded one cannot.
        shared: the maker of the voices, with other cascades.
        tuning: how every voice is changed.

    Raises: WeightsError, ChatError, SynthesizerError, VoiceError.
    """
    from model.lite.cascade import Cascade
    from model.lite.chat import ToolCallingChat
    from model.lite.prompt import local_time
    from model.tools.tool_use import ToolUse

    chat, prompt = choose_chat(
        weights, chat_model, chat_url, persona, limits=limits, threads=threads
    )
    use = None
    if isinstance(chat, ToolCallingChat) and tools is not None:
        use = ToolUse(chat, tools)
    elif tools is not None:
        raise ChatError(
            f"{chat.name} cannot use tools: name another model (--chat-model or --chat-url), or "
            "leave out --tools"
        )
    return Cascade(
        chat,
        (shared or Shared()).get(
            lambda: SynthesizerMaker(weights, voices, threads=threads, tuning=tuning)
        ),
        voice=voice,
        prompt=prompt,
        device=f"CPU, {threads} threads",
        clock=local_time,
        tools=use,
    )


def choose_chat(
    weights: WeightStore,
    model: str,
    url: str,
    persona: str | None,
    *,
    limits: ChatLimits | None = None,
    threads: int = 2,
) -> tuple[ChatModel, Prompt]:
    """Return the wanted chat model and its prompt (see :func:`build_cascade`).

    Raises: WeightsError, ChatError.
    """
    from model.endpoints.openai_chat import ENDPOINT_CONTEXT, ENDPOINT_MAX_TOKENS, OpenAIChat
    from model.lite import prompt
    from model.lite.chat import ChatSampling, LlamaChat, ToolCallingLlama
    from model.lite.gguf import check_gguf, own_cores
    from model.lite.llama import LlamaModel

    chosen = prompt.Prompt(persona or prompt.PERSONA)
    own = limits or ChatLimits()
    if url:
        chat = OpenAIChat(
            url,
            model,
            max_tokens=own.max_tokens or ENDPOINT_MAX_TOKENS,
            context=own.context or ENDPOINT_CONTEXT,
            timeout=own.timeout,
        )
        return chat, chosen
    if model:
        path = expanded(model)
        check_gguf(path)
        sampling = ChatSampling(max_tokens=own.max_tokens or ChatSampling().max_tokens)
        context = own.context or 4096
        file = LlamaModel(path, threads=own_cores())
        return ToolCallingLlama(file, sampling, context=context), chosen
    path = weights.path("smollm2-135m", CHAT_FILE)
    small = prompt.Prompt(
        persona or prompt.SMALL_PERSONA,
        prompt.SMALL_EXAMPLES,
        follows_time=False,
        recent=prompt.SMALL_RECENT,
        languages=("en",),
    )
    embedded = LlamaModel(path, threads=threads, pinned=True)
    return LlamaChat(embedded, prompt.SMALL_SAMPLING, context=1024), small


def check_speaks(voice: str, language: str) -> None:
    """Check that the extra package by which ``voice`` reads ``language`` is there, if it needs one.

    Raises: SynthesizerError with the remedy.
    """
    from model.lite.text.mandarin import check_pinyin
    from model.lite.text.spanish.phonemizer import check_spanish

    checks = {"es": check_spanish, "zh": check_pinyin}
    if check := checks.get(language.partition("-")[0]):
        check(voice)


class SynthesizerMaker:
    """Makes the synthesiser of a voice by its name, one for all who use it at a time.

    ``tuning`` changes every voice. All Kokoro voices share one network, all voices of a language or
    accent one phonemizer.
    """

    def __init__(
        self,
        weights: WeightStore,
        voices: Callable[[str], VoicePack],
        *,
        threads: int = 2,
        tuning: VoiceTuning | None = None,
    ) -> None:
        from model.lite.kokoro.network import KokoroModel
        from model.lite.text.mandarin import MandarinPhonemizer
        from model.lite.text.phonemes import Phonemizer
        from model.lite.text.spanish.phonemizer import SpanishPhonemizer

        self._weights = weights
        self._voices = voices
        self._tuning = tuning
        self._made: WeakValueDictionary[str, Synthesizer] = WeakValueDictionary()
        self._phonemizers = {
            "en": Phonemizer(),
            "en-GB": Phonemizer(british=True),
            "es": SpanishPhonemizer(),
            "zh": MandarinPhonemizer(),
        }
        self._kokoro = KokoroModel(
            lambda: weights.path("kokoro-82m", "kokoro-v1.0.int8.onnx"), threads=threads
        )

    def __call__(self, name: str) -> Synthesizer:
        """Return the synthesiser of the voice called ``name``, perhaps not loaded yet.

        Raises: VoiceError, WeightsError, SynthesizerError.
        """
        made = self._made.get(name)
        if made is not None:
            return made
        pack = self._voices(name)
        if pack.lite is None:
            raise SynthesizerError(f"the voice {name} has no part for the embedded engine")
        made = self._made[name] = self.of(name, pack.lite, pack.language)
        return made

    def of(self, name: str, voice: LiteVoice, language: str) -> Synthesizer:
        """Return the synthesiser of ``voice``, which is called ``name``, not loaded yet.

        Raises: WeightsError, SynthesizerError.
        """
        from model.lite.synthesizer import HibariSynthesizer, KokoroSynthesizer

        hibari = self._weights.whole("hibari")
        known = self._phonemizers
        general = language.partition("-")[0]
        phonemizer = known.get(language) or known.get(general) or known["en"]
        check_speaks(name, phonemizer.language)
        tuning = voice.tuning if self._tuning is None else voice.tuning.then(self._tuning)
        if voice.synthesizer == "hibari":
            model = hibari / "assets" / "hibari.onnx"
            return HibariSynthesizer(model, phonemizer, voice.level, tuning)
        if voice.data is None:
            raise SynthesizerError(f"the voice {name} has no style file")
        return KokoroSynthesizer(self._kokoro, voice.data, phonemizer, voice.level, tuning)
