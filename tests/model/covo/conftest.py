"""The tiny golden networks, loaded once for all tests. Tests leave them as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from model.covo.language.network import CovoNetwork
    from model.covo.speech.speech_stream import SpeechStreamer
    from model.covo.speech.token2wav import Token2Wav, VoicePrompt


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> CovoNetwork:
    """The language-model side."""
    from model.covo.loading.checkpoint import load_network
    from tests.model.covo.golden_covo import network_folder

    return load_network(network_folder(tmp_path_factory.mktemp("network")))


@pytest.fixture(scope="session")
def speech_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """token2wav and a voice on disk."""
    from tests.model.covo.golden_covo import token2wav_folder

    return token2wav_folder(tmp_path_factory.mktemp("speech") / "token2wav")


@pytest.fixture(scope="session")
def token2wav(speech_folder: Path) -> Token2Wav:
    """The speech side."""
    from model.covo.loading.checkpoint import load_token2wav

    return load_token2wav(speech_folder)


@pytest.fixture(scope="session")
def streamer(token2wav: Token2Wav) -> SpeechStreamer:
    """A streamer of the speech side."""
    from model.covo.speech.speech_stream import SpeechStreamer

    return SpeechStreamer(token2wav)


@pytest.fixture(scope="session")
def voice(speech_folder: Path, token2wav: Token2Wav) -> VoicePrompt:
    """The golden voice."""
    from tests.model.covo.golden_covo import voice_prompt

    return voice_prompt(speech_folder, token2wav.config.flow)
