"""What NVIDIA cards of different ages can do. No torch here."""

from __future__ import annotations

Capability = tuple[int, int]
"""CUDA's compute capability, such as (7, 5)."""

MODERN: Capability = (8, 0)
"""From here on (Ampere, 2020) cards compute in bf16 and have FlashAttention and our own kernels."""


def is_modern(capability: Capability | None) -> bool:
    """Return whether the network runs at its best; an unknown card is taken for a modern one."""
    return capability is None or capability >= MODERN


def limits(capability: Capability | None) -> str:
    """Return what the user of an older card must know, else an empty string."""
    if capability is None or is_modern(capability):
        return ""
    version = ".".join(map(str, capability))
    return (
        f"compute capability {version}: no bf16, FlashAttention or kernels of our own, so replies "
        "are slower and need more memory"
    )
