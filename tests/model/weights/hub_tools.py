"""What the tests of the hub store share: a tiny model's layout and its store."""

from __future__ import annotations

from pathlib import Path

from model.weights.hub.store import HubStore
from tests.fakes.hub import FakeHub, tiny_model

NAME = "covo-audio-chat"
SHARD = "model-00001-of-00001.safetensors"
CODEC = "token2wav/model.pt"
LAYOUT = {
    *("LICENSE", "config.json", "covo.json", SHARD, CODEC, "token2wav/config.json"),
    *("token2wav/global_mean_var.npy", "voices/default/prompt_token.npy"),
}


def store_of(root: Path, hub: FakeHub, *, accepted: bool = True) -> HubStore:
    store = HubStore(root, (tiny_model(),), hub.address, hub.address)
    if accepted:
        store.accept_licence(NAME, lambda model, text: True)
        hub.requests.clear()
    return store


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
