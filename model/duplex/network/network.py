"""The full-duplex network and its tokenizer, loaded from one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from model.covo.config.precision import Precision
from model.covo.language.network import CovoNetwork
from model.covo.loading.checkpoint import load_network
from model.duplex.network.encoder import StreamingEncoder
from model.duplex.protocol.grammar import CHOSEN, Grammar, Place
from model.duplex.protocol.profile import DuplexProfile, read_profile
from model.errors import NetworkConfigError

TOKENIZER = "tokenizer.json"


class DuplexNetwork(nn.Module):
    """Covo-Audio's network, listening and speaking by ``profile``.

    Raises: NetworkConfigError if ``profile`` does not
    fit the network.
    """

    tokens: Tensor

    def __init__(self, covo: CovoNetwork, profile: DuplexProfile) -> None:
        super().__init__()
        self.grammar = Grammar(profile, covo.config)
        self.profile = profile
        self.covo = covo
        self.rows: StateRows | None = None
        """Rows of embedding and head that are trained apart from the rest, None but in training."""
        self.encoder = StreamingEncoder(covo.encoder, covo.audio_adapter, profile)
        # Put the ids on the device now: sending one later would block the host.
        for place in CHOSEN:
            entries = torch.tensor(self.grammar.vocabularies[place], device=self.device)
            self.register_buffer(f"ids_{place.name}", entries, persistent=False)
        tokens = torch.tensor([token.id for token in profile.tokens.all], device=self.device)
        self.register_buffer("tokens", tokens, persistent=False)

    @property
    def device(self) -> torch.device:
        """The device that holds the network."""
        return self.covo.device

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the embeddings (n, hidden) of ids (n,)."""
        embedded: Tensor = self.covo.llm.model.embed_tokens(tokens)
        return embedded if self.rows is None else self.rows.embed(tokens, embedded)

    def ids(self, place: Place) -> Tensor:
        """Return the ids (n,) that ``place`` may hold, in the order of its vocabulary."""
        return self.get_buffer(f"ids_{place.name}")

    def token(self, id: int) -> Tensor:
        """Return the id of one of the profile's tokens as a tensor (1,) on the device."""
        index = [token.id for token in self.profile.tokens.all].index(id)
        return self.tokens[index : index + 1]

    def head(self, place: Place) -> tuple[Tensor, Tensor]:
        """Return the head's rows (n, width) of the place's span, which are not copied, and of its
        marks (:class:`~model.duplex.protocol.grammar.Grammar`)."""
        weight: Tensor = self.covo.llm.lm_head.weight
        span, marks = self.grammar.spans[place], self.grammar.marks[place]
        ids = self.ids(place)[len(span) :]
        rows = weight[ids] if self.rows is None else self.rows.head_rows(marks).to(weight)
        return weight[span.start : span.stop], rows

    def logits(self, hidden: Tensor, place: Place) -> Tensor:
        """Return a logit for each entry of the place's vocabulary: (n, entries), float32.

        ``hidden`` is (n, width), after the final norm.
        """
        return head_logits(hidden, *self.head(place))


class StateRows(nn.Module):
    """The rows of ``tokens`` in embedding and head, float32, to train them where the rest of both
    matrices is frozen. They begin as what the network has there."""

    ids: Tensor

    def __init__(self, covo: CovoNetwork, tokens: Sequence[int]) -> None:
        super().__init__()
        self.tokens = tuple(tokens)
        ids = torch.tensor(self.tokens, device=covo.device)
        self.register_buffer("ids", ids, persistent=False)
        embedding, head = covo.llm.model.embed_tokens.weight, covo.llm.lm_head.weight
        self.embedding = nn.Parameter(embedding.detach()[ids].float())
        self.head = nn.Parameter(head.detach()[ids].float())

    def embed(self, tokens: Tensor, embedded: Tensor) -> Tensor:
        """Return ``embedded`` (n, hidden), the embeddings of ``tokens`` (n,), with these rows in
        their places."""
        here = tokens[:, None] == self.ids
        own = here.to(self.embedding) @ self.embedding
        return torch.where(here.any(dim=1)[:, None], own.to(embedded), embedded)

    def head_rows(self, tokens: Sequence[int]) -> Tensor:
        """Return the head's rows (n, width) of ``tokens``."""
        return self.head[[self.tokens.index(token) for token in tokens]]


def head_logits(hidden: Tensor, span: Tensor, marks: Tensor) -> Tensor:
    """Return the logits (n, entries), float32, over both parts of :meth:`DuplexNetwork.head`."""
    parts = [functional.linear(hidden, rows) for rows in (span, marks) if len(rows)]
    return torch.cat(parts, dim=-1).float()


def load_duplex(
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    precision: Precision | None = None,
    merge: bool = True,
) -> DuplexNetwork:
    """Load the network in ``folder``, a Covo-Audio checkpoint with a ``duplex.json``.

    ``precision``: the config's own unless given. ``merge``: for decoding, not for training; see
    :func:`load_network`. Raises: NetworkConfigError (also for a half-duplex checkpoint),
    WeightsError.
    """
    profile = read_profile(folder)
    covo = load_network(folder, device=device, precision=precision, merge=merge)
    return DuplexNetwork(covo, profile).eval()


def load_tokenizer(folder: Path, profile: DuplexProfile) -> Tokenizer:
    """Load the tokenizer in ``folder``.

    Raises: NetworkConfigError if it is missing, unreadable, or spells a token of ``profile``
    otherwise.
    """
    path = folder / TOKENIZER
    if not path.is_file():
        raise NetworkConfigError(f"{folder} has no {TOKENIZER}; copy it from the source checkpoint")
    try:
        tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exceptions
        raise NetworkConfigError(f"cannot read {path}: {error}") from error
    for token in profile.tokens.all:
        spelled = tokenizer.id_to_token(token.id)
        if spelled not in (None, token.text):
            raise NetworkConfigError(
                f"{path} spells token {token.id} as {spelled!r}, the duplex profile as "
                f"{token.text!r}; take both files from the same checkpoint"
            )
    return tokenizer
