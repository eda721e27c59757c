"""The voices that the network can speak with: the model folder's own, and voice packs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model.covo.config.token2wav_config import FlowConfig
from model.covo.speech.token2wav import VoicePrompt
from model.errors import NetworkInputError
from voices.covo_prompt import read_prompt
from voices.errors import VoiceError
from voices.pack import VoicePack

VOICES = "voices"
"""Subfolder of a model folder with one folder of three arrays per speaker, named after it."""


@dataclass(frozen=True, slots=True)
class NetworkVoice:
    """A voice ready for use. ``speaker``: its name in the system prompt."""

    name: str
    speaker: str
    prompt: VoicePrompt = field(repr=False)


class VoiceCatalogue:
    """The voices of the model in ``folder``, and those of ``packs``, which ``pack`` gives by name.

    A voice of the model takes precedence over a pack of the same name.
    """

    def __init__(
        self, folder: Path, packs: Sequence[str], pack: Callable[[str], VoicePack]
    ) -> None:
        self._folder = folder / VOICES
        self._packs = packs
        self._pack = pack

    @property
    def own(self) -> tuple[str, ...]:
        """Return the names of the model's own voices."""
        if not self._folder.is_dir():
            return ()
        return tuple(sorted(path.name for path in self._folder.iterdir() if path.is_dir()))

    def names(self) -> tuple[str, ...]:
        """Return the names of all voices that the network can use, the model's own first."""
        packs = [name for name in self._packs if name not in self.own and self._serves(name)]
        return (*self.own, *packs)

    def load(self, name: str, config: FlowConfig) -> NetworkVoice:
        """Load the voice called ``name``, or the model's first one if it is empty.

        Raises: VoiceError when it is missing, or for another engine or size of network.
        """
        own = self.own
        if not name and not own:
            raise VoiceError(
                f"{self._folder} has no voice: pull the model again, or name a voice pack with "
                "--voice"
            )
        name = name or own[0]
        try:
            if name in own:
                prompt = VoicePrompt.of(read_prompt(self._folder / name), config)
                return NetworkVoice(name, name, prompt)
            return self._from_pack(name, config)
        except NetworkInputError as error:
            raise VoiceError(f"the voice {name}: {error}") from error

    def _from_pack(self, name: str, config: FlowConfig) -> NetworkVoice:
        pack = self._pack(name) if name in self._packs else None
        if pack is not None and pack.covo is not None:
            prompt = VoicePrompt.of(pack.covo.prompt(), config)
            return NetworkVoice(name, pack.covo.speaker, prompt)
        known = ", ".join(self.names()) or "none"
        if pack is None:
            raise VoiceError(f"Covo-Audio has no voice called {name!r}; it has: {known}")
        raise VoiceError(
            f"the voice {name} is for {', '.join(pack.engines)}, not for Covo-Audio, which has: "
            f"{known}"
        )

    def _serves(self, name: str) -> bool:
        try:
            return self._pack(name).covo is not None
        except VoiceError:
            return False  # `covo voices list` reports what is broken
