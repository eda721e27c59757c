"""What the tests of the full-duplex network share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="package")
def assistant():
    """The trained tones network, loaded once: its parts keep no state of a conversation."""
    from tests.model.duplex.duplex_talks import FOLDER, look_at

    return look_at(FOLDER).load(lambda stage: None)
