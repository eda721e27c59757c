"""The sections of the settings, each setting with its default and help.

Keys (``turns.silence``), environment variables (``COVO_TURNS_SILENCE``), command-line flags, types,
ranges and checks are all derived from these declarations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from covo_cli.settings.option import setting
from covo_cli.settings.text_form import (
    CHANNELS,
    CHAT_ADDRESS,
    DEVICE,
    GUIDANCE,
    LANGUAGE,
    SERVER_ADDRESS,
)
from voices.tuning import LOUDNESSES, PITCHES, SPEEDS

# Engines that support a setting. A section's ENGINES applies unless the setting names its own.
LITE = ("lite",)
TURN_TAKING = ("lite", "covo", "chat-audio")
PERSONA = (*TURN_TAKING, "realtime")
ENDPOINT = ("lite", "chat-audio")
REMOTE = ("chat-audio", "realtime")
NETWORK = ("covo", "covo-fd")

DUPLEX_PROMPT_SECONDS = 3.0
"""Voice prompt of the full-duplex engine unless set: its speech must keep pace with the user."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Which engine answers."""

    name: Literal["auto", "covo", "covo-fd", "lite", "chat-audio", "realtime"] = setting(
        "auto", "Engine that answers; auto: covo where it fits, else lite.", flag="--engine"
    )


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """The assistant's voice."""

    ENGINES: ClassVar[tuple[str, ...]] = LITE

    name: str = setting("heart", "The assistant's voice (`covo voices list`).", flag="--voice")
    speed: float = setting(1.0, "Factor of the voice's pace.", within=SPEEDS, flag="--speed")
    pitch: float = setting(
        0.0, "Semitones by which the voice is higher.", within=PITCHES, flag="--pitch"
    )
    loudness: float = setting(
        0.0,
        "Decibels by which the voice is louder, as far as peaks allow.",
        within=LOUDNESSES,
        flag="--loudness",
        engines=(*LITE, *NETWORK),
    )


@dataclass(frozen=True, slots=True)
class AudioSettings:
    """Devices and processing of the microphone's signal."""

    input: str = setting(
        "", "Microphone: id or part of its name; empty: system default.", flag="--input-device"
    )
    output: str = setting(
        "", "Speaker: id or part of its name; empty: system default.", flag="--output-device"
    )
    channels: str = setting(
        "",
        "Input channels to use, such as 3 or 1,2; empty: those that carry speech.",
        form=CHANNELS,
    )
    vad: Literal["silero", "webrtc"] = setting("silero", "Voice activity detector.")
    echo_cancellation: bool = setting(
        True,
        "Cancel the assistant's voice in the microphone signal; off for sound files.",
        flag="--echo-cancellation",
    )


@dataclass(frozen=True, slots=True)
class HearingSettings:
    """Recognition of the user's words."""

    language: str = setting(
        "auto",
        "Language you speak, such as en or zh; auto: as it is heard.",
        flag="--language",
        form=LANGUAGE,
    )
    model: str = setting(
        "",
        "Recogniser: one that was pulled, or a folder in CTranslate2's format; empty: built in.",
        flag="--recognizer",
    )


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """When a turn ends and what interrupts a reply. Times are in seconds.

    Unset values follow ``patience``; ``silence_finished`` follows ``silence`` if that is set.
    """

    ENGINES: ClassVar[tuple[str, ...]] = TURN_TAKING

    patience: Literal["eager", "normal", "patient"] = setting(
        "normal", "How long to wait at pauses; unset times below follow it.", flag="--patience"
    )
    silence: float = setting(
        0.7,
        "Seconds of silence that end a turn, unless it breaks off in mid-phrase.",
        within=(0.2, 5.0),
        flag="--silence",
    )
    silence_finished: float = setting(
        0.35, "Seconds of silence that end a turn that sounds finished.", within=(0.1, 5.0)
    )
    silence_unfinished: float = setting(
        2.8, "Seconds of silence that end a turn that breaks off in mid-phrase.", within=(0.2, 10.0)
    )
    silence_statement: float = setting(
        1.1, "Seconds of silence that end a turn that may go on.", within=(0.2, 10.0)
    )
    end_of_turn: Literal["models", "none"] = setting(
        "models",
        "Whether models weigh sound and words at the end of a turn; none: marks and fillers only.",
    )
    min_speech: float = setting(
        0.2, "Seconds of speech below which a sound is ignored.", within=(0.02, 2.0)
    )
    speculate_after: float = setting(
        0.08, "Seconds of silence after which a reply is begun in advance.", within=(0.02, 5.0)
    )
    barge_in: bool = setting(
        True,
        "Let speech interrupt the assistant; off: ignore the microphone while it speaks.",
        flag="--barge-in",
    )
    only_user: bool = setting(
        True,
        "Answer only the voice that speaks first, once it is known; the key n begins anew.",
        flag="--only-user",
    )
    backchannels: bool = setting(
        False,
        'Hum "mm-hmm" in a pause of a long story, once, without taking the turn.',
        flag="--backchannels",
    )
    barge_in_confirm: float = setting(
        0.25, "Seconds of speech over a reply that silence it.", within=(0.02, 2.0)
    )


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """The embedded engine's chat model and persona."""

    ENGINES: ClassVar[tuple[str, ...]] = LITE

    model: str = setting(
        "",
        "Chat model: one that was pulled, a GGUF file, or its name at chat.url; empty: built in.",
        flag="--chat-model",
    )
    url: str = setting(
        "",
        "OpenAI-compatible endpoint, such as http://localhost:11434/v1; auto (covo chat): offer "
        "those found on this machine.",
        flag="--chat-url",
        form=CHAT_ADDRESS,
    )
    max_tokens: int = setting(
        0,
        "Longest reply in tokens; 0: 400 at chat.url, the server's own at remote.url, else 250.",
        within=(0, 32_768),
        engines=ENDPOINT,
    )
    context: int = setting(
        0,
        "Longest prompt of chat.model in tokens; 0: learnt at an endpoint, else 4096.",
        within=(0, 1_000_000),
        engines=ENDPOINT,
    )
    timeout: float = setting(
        180.0,
        "Seconds to wait for the next words from an endpoint.",
        within=(1.0, 3600.0),
        engines=ENDPOINT,
    )
    persona: str = setting(
        "",
        "Text file that describes who the assistant is.",
        flag="--persona",
        engines=PERSONA,
        is_file=True,
    )


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """Tools that the chat model may use in `covo chat`."""

    ENGINES: ClassVar[tuple[str, ...]] = LITE

    enabled: bool = setting(
        False, "Let chat.model use tools: time, timers, notes, yours.", flag="--tools"
    )
    file: str = setting(
        "",
        "TOML file with your own tools; empty: tools.toml beside the settings file.",
        is_file=True,
    )


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """The server that answers, of the engines that are served elsewhere."""

    ENGINES: ClassVar[tuple[str, ...]] = REMOTE

    url: str = setting(
        "",
        "Address of the server: ws://HOST:8765, or http://HOST:8091/v1.",
        flag="--url",
        form=SERVER_ADDRESS,
    )
    model: str = setting("", "Name of the model at the server.", flag="--model")
    voice: str = setting("", "Voice at the server; empty: its own.", flag="--voice")
    token_file: str = setting(
        "", "File with the server's key; COVO_TOKEN comes first.", flag="--token-file", is_file=True
    )


@dataclass(frozen=True, slots=True)
class CovoSettings:
    """The Covo-Audio engines. Where the help says so, empty or 0 means the model's own value."""

    ENGINES: ClassVar[tuple[str, ...]] = NETWORK

    model: str = setting(
        "covo-audio-chat",
        "Covo-Audio model: a name from `covo models list`, or a folder.",
        flag="--model",
    )
    voice: str = setting(
        "", "Covo-Audio's voice: a voice pack; empty: the model's own.", flag="--voice"
    )
    text_only: bool = setting(
        False,
        "Reply in text only (Covo engine).",
        flag="--text-only",
        engines=("covo",),
        must_be_heeded=True,
    )
    device: str = setting(
        "auto", "Compute device: auto, cuda, cuda:1, mps or cpu.", flag="--device", form=DEVICE
    )
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8", "int4"] = setting(
        "auto", "Precision of the language model; auto: as stored.", flag="--precision"
    )
    token2wav_precision: Literal["auto", "fp32", "bf16", "fp16"] = setting(
        "auto",
        "Precision of token2wav; auto: bf16, its vocoder fp32; on the CPU fp32.",
    )
    context_minutes: float = setting(
        10.0, "Minutes of conversation kept as context.", within=(0.5, 100.0)
    )
    reply_tokens: int = setting(2048, "Longest reply in tokens, 33 per second.", within=(20, 8192))
    voice_prompt_seconds: float = setting(
        0.0,
        "Seconds of the voice prompt to use; fewer is faster; 0: all; unset, covo-fd uses 3.",
        within=(0, 60),
        flag="--voice-prompt-seconds",
    )
    flow_steps: int = setting(
        0, "Flow-matching steps; fewer is faster; 0: the model's own.", within=(0, 100)
    )
    guidance: str = setting(
        "",
        "Flow-matching guidance, 0 to 10; off: half the cost; empty: the model's own.",
        form=GUIDANCE,
    )
    temperature: float = setting(
        0.5, "Sampling temperature; 0: always the likeliest token.", within=(0.0, 2.0)
    )
    top_p: float = setting(0.9, "Probability mass to sample from.", within=(0.01, 1.0))
    top_k: int = setting(50, "Number of tokens to sample from; 0: all.", within=(0, 10_000))
    seed: int = setting(0, "Random seed.", within=(0, 2**31 - 1))
    transcript: bool = setting(True, "Transcribe your words for screen and recording.")
    cuda_graph: bool = setting(True, "Run decode steps as CUDA graphs.")


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Recording of conversations."""

    record: bool = setting(True, "Record the conversation to disk.", flag="--record")
    dir: str = setting("", "Folder of the recordings; empty: in the data folder.")


@dataclass(frozen=True, slots=True)
class ModelsSettings:
    """Location and origin of the weights."""

    dir: str = setting("", "Folder of the weights; empty: in the data folder.")
    hub: str = setting("", "Model hub or mirror; empty: HF_ENDPOINT, else the public hub.")
    code_host: str = setting("", "Host of code repositories' raw files; empty: GitHub.")
