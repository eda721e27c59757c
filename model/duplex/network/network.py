"""The full-duplex network: Covo-Audio's parts, run by a duplex profile, from one folder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.covo.config.precision import Precision
from model.covo.language.network import CovoNetwork
from model.covo.loading.loading import Progress, load_network
from model.duplex.network.encoder import StreamingEncoder
from model.duplex.protocol.grammar import CHOSEN, Grammar, Place
from model.duplex.protocol.profile import DuplexProfile
from model.duplex.protocol.profile_file import FILE, read_profile, require_duplex


class DuplexNetwork(nn.Module):
    """``covo``'s parameters under their published names, heard and spoken through ``profile``.

    Raises: NetworkConfigError when the profile does not fit the network.
    """

    tokens: Tensor

    def __init__(self, covo: CovoNetwork, profile: DuplexProfile) -> None:
        super().__init__()
        self.grammar = Grammar(profile, covo.config)
        self.profile = profile
        self.covo = covo
        self.encoder = StreamingEncoder(covo.encoder, covo.audio_adapter, profile)
        # On the device from the beginning: to send an id there later would mean to wait for it.
        for place in CHOSEN:
            entries = torch.tensor(tuple(self.grammar.vocabularies[place]), device=self.device)
            self.register_buffer(f"ids_{place.name}", entries, persistent=False)
        tokens = torch.tensor([token.id for token in profile.tokens.all], device=self.device)
        self.register_buffer("tokens", tokens, persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.covo.device

    def embed(self, tokens: Tensor) -> Tensor:
        """Ids (n,) to their embeddings (n, hidden)."""
        embedded: Tensor = self.covo.llm.model.embed_tokens(tokens)
        return embedded

    def ids(self, place: Place) -> Tensor:
        """The ids (n,) that may stand at ``place``, in the order of its vocabulary."""
        return self.get_buffer(f"ids_{place.name}")

    def token(self, id: int) -> Tensor:
        """The id of one of the profile's tokens as a tensor (1,) on the device."""
        index = [token.id for token in self.profile.tokens.all].index(id)
        return self.tokens[index : index + 1]

    def logits(self, hidden: Tensor, place: Place) -> Tensor:
        """``hidden`` (n, width), after the final norm, to a logit for each entry of the place's
        vocabulary: (n, entries), float32. Only the head's rows that may be chosen are read."""
        return functional.linear(hidden, self.covo.llm.lm_head.weight[self.ids(place)]).float()


def load_duplex(
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    precision: Precision | None = None,
    progress: Progress = lambda done, total: None,
) -> DuplexNetwork:
    """The network in ``folder``: a Covo-Audio checkpoint with a duplex.json beside it.
    ``precision``: the config's own unless given.

    Raises: NetworkConfigError (also for a half-duplex checkpoint), WeightsError.
    """
    require_duplex(folder)
    profile = read_profile(folder / FILE)
    covo = load_network(folder, device=device, precision=precision, progress=progress)
    network = DuplexNetwork(covo, profile)
    network.eval()
    return network
