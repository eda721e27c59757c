"""Reading one token from the device while the device goes on with something else."""

from __future__ import annotations

import torch
from torch import Tensor


class TokenRead:
    """:meth:`start` a read on the current stream of ``device``, queue more work, then
    :meth:`finish` it, which waits for what was queued before the start, and for nothing after it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._event = torch.cuda.Event() if device.type == "cuda" else None
        self._token = torch.zeros(1, dtype=torch.long, pin_memory=self._event is not None)

    def start(self, token: Tensor) -> None:
        """Begin to read ``token``, int64, shape (1,)."""
        # Elsewhere than on CUDA nothing would say when such a copy is complete.
        self._token.copy_(token, non_blocking=self._event is not None)
        if self._event is not None:
            # Without a stream it would be recorded on the first GPU's, and wait for nothing.
            self._event.record(torch.cuda.current_stream(self._device))

    def finish(self) -> int:
        """The token that was last started on."""
        if self._event is not None:
            self._event.synchronize()
        return int(self._token)
