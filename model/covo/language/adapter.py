"""The adapter: three halvings in time from the encoder's 50 Hz to the LLM's 6.25 Hz."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from model.covo.config.config import CovoConfig


class DownsampleLayer(nn.Module):
    """A strided convolution, then two linear layers; each of the first two is followed by ReLU."""

    def __init__(self, width: int, inner: int, out: int) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1)
        self.linear1 = nn.Linear(width, inner)
        self.linear2 = nn.Linear(inner, out)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, width) to (batch, ceil(time / 2), out)."""
        halved = functional.relu(self.conv1d(x.transpose(1, 2))).transpose(1, 2)
        out: Tensor = self.linear2(functional.relu(self.linear1(halved)))
        return out


class AudioAdapter(nn.Module):
    """``config.adapter_stages`` layers; the last one gives the LLM's width."""

    def __init__(self, config: CovoConfig) -> None:
        super().__init__()
        width, last = config.encoder.hidden, config.adapter_stages - 1
        self.downsample_layers = nn.ModuleList(
            DownsampleLayer(
                width, config.adapter_inner, config.backbone.hidden if stage == last else width
            )
            for stage in range(config.adapter_stages)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1500, encoder width) to (batch, 188, LLM width)."""
        for layer in self.downsample_layers:
            x = layer(x)
        return x
