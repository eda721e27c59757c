"""The voices that the network can speak with: the model folder's own, and voice packs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from model.covo.config.config import FlowConfig
from model.covo.loading.loading import load_voice_prompt
from model.covo.speech.token2wav import VoicePrompt
from model.errors import NetworkInputError
from voices.errors import VoiceError
from voices.pack import VoicePack

VOICES = "voices"
"""Subfolder of a model folder: a folder of three arrays for each speaker, named after it."""


@dataclass(frozen=True, slots=True)
class NetworkVoice:
    """A voice ready to be used. ``speaker``: what the system prompt calls it."""

    name: str
    speaker: str
    prompt: VoicePrompt = field(repr=False)


class VoiceCatalogue:
    """The voices of the model in ``folder``, and ``packs`` (their names; the pack of a name).

    A pack never stands in for a voice of the model that has the same name.
    """

    def __init__(
        self, folder: Path, packs: Sequence[str], pack: Callable[[str], VoicePack]
    ) -> None:
        self._folder = folder / VOICES
        self._packs = packs
        self._pack = pack

    @property
    def own(self) -> tuple[str, ...]:
        """The names of the model's own voices."""
        if not self._folder.is_dir():
            return ()
        return tuple(sorted(path.name for path in self._folder.iterdir() if path.is_dir()))

    def names(self) -> tuple[str, ...]:
        """The names of all voices that the network can speak with, the model's own first."""
        packs = [name for name in self._packs if name not in self.own and self._serves(name)]
        return (*self.own, *packs)

    def load(self, name: str, config: FlowConfig) -> NetworkVoice:
        """The voice called ``name``; without a name, the model's own (the first of them).

        Raises: VoiceError when there is none of that name, or it is one for another engine or for
        a network of another size.
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
                prompt = load_voice_prompt(self._folder / name, config)
                return NetworkVoice(name, name, prompt)
            return self._from_pack(name, config)
        except NetworkInputError as error:
            raise VoiceError(f"the voice {name}: {error}") from error

    def _from_pack(self, name: str, config: FlowConfig) -> NetworkVoice:
        if name not in self._packs:
            known = ", ".join(self.names()) or "none"
            raise VoiceError(f"Covo-Audio has no voice called {name!r}; it has: {known}")
        pack = self._pack(name)
        if pack.covo is None:
            known = ", ".join(self.names()) or "none"
            raise VoiceError(
                f"the voice {name} is for {', '.join(pack.engines)}, not for Covo-Audio, which "
                f"has: {known}"
            )
        arrays = pack.covo.prompt()
        prompt = VoicePrompt(
            torch.from_numpy(arrays.token[0]),
            torch.from_numpy(arrays.latent[0]),
            torch.from_numpy(arrays.embedding[0]),
        )
        prompt.check(config)
        return NetworkVoice(name, pack.covo.speaker, prompt)

    def _serves(self, name: str) -> bool:
        try:
            return self._pack(name).covo is not None
        except VoiceError:
            return False  # `covo voices list` says what is broken
