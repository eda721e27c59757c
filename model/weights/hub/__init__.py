"""Models from the hub: which there are, and the store that they are pulled into."""

from __future__ import annotations

from model.weights.hub.store import HubStore, ModelState, ModelStatus, find_model

__all__ = ["HubStore", "ModelState", "ModelStatus", "find_model"]
