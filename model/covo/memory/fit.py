"""Check whether a plan fits a device, and find the nearest setting that does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import SPEECH_BF16, Precision
from model.covo.config.token2wav_config import Token2WavConfig
from model.covo.memory.plan import MemoryPlan, MemorySetting, context_tokens, plan_memory
from model.errors import NetworkConfigError, NetworkMemoryError

LONGEST = 60.0
"""Upper limit in minutes of the search for the longest talk that fits."""

_COARSER = {
    Precision.FP32: (Precision.BF16, Precision.INT8, Precision.INT4),
    Precision.BF16: (Precision.INT8, Precision.INT4),
    Precision.FP16: (Precision.INT8, Precision.INT4),
    Precision.INT8: (Precision.INT4,),
    Precision.INT4: (),
}
_SHARES: tuple[float, ...] = (1.0, 0.5, 0.25)
"""Shares of the wanted minutes to try before a coarser precision."""


@dataclass(frozen=True, slots=True)
class MemoryFit:
    """Plans one network for devices of the type ``device`` (``cuda``, ``cpu``, ``mps``).
    ``modern``: see :func:`model.covo.config.gpu.is_modern`."""

    covo: CovoConfig
    token2wav: Token2WavConfig
    device: str = "cuda"
    voice_codes: int = 291
    modern: bool = True

    def plan(self, setting: MemorySetting) -> MemoryPlan:
        """Return the plan for ``setting``. Raises: NetworkConfigError."""
        return plan_memory(
            self.covo,
            self.token2wav,
            setting,
            device=self.device,
            voice_codes=self.voice_codes,
            modern=self.modern,
        )

    def require(self, setting: MemorySetting, free: int, where: str) -> MemoryPlan:
        """Return the plan for ``setting`` if it fits in ``free`` bytes. ``where``: the device's
        name for the user.

        Raises: NetworkMemoryError, which names the nearest setting that fits.
        """
        plan = self.plan(setting)
        if plan.total <= free:
            return plan
        wanting = f"{setting} needs {_gb(plan.total)} of memory, and {where} has {_gb(free)} free"
        nearest = self.nearest(setting, free)
        if nearest is not None:
            raise NetworkMemoryError(
                f"{wanting}; this fits: {nearest.setting} ({_gb(nearest.total)})"
            )
        smallest = self._smallest(setting)
        raise NetworkMemoryError(
            f"{wanting}; nothing fits: the smallest setting, {smallest.setting}, needs "
            f"{_gb(smallest.total)}"
        )

    def nearest(self, setting: MemorySetting, free: int) -> MemoryPlan | None:
        """Return the first plan that fits in ``free`` bytes: ``setting``, token2wav in bf16, then
        fewer minutes, then a coarser language model."""
        plans = (self.plan(candidate) for candidate in self._alternatives(setting))
        return next((plan for plan in plans if plan.total <= free), None)

    def longest(self, setting: MemorySetting, free: int) -> float:
        """Return the most whole minutes of talk for which ``setting`` fits in ``free`` bytes, up to
        :data:`LONGEST` and the network's own limit; 0 if not even one does."""
        low, high = 0, round(min(LONGEST, self._most_minutes()))
        while low < high:
            middle = (low + high + 1) // 2
            if self.plan(replace(setting, minutes=float(middle))).total <= free:
                low = middle
            else:
                high = middle - 1
        return float(low)

    def _alternatives(self, setting: MemorySetting) -> Iterator[MemorySetting]:
        coarser, shares = _COARSER[setting.precision], _SHARES
        if setting.duplex_tokens is not None:
            coarser, shares = tuple(p for p in coarser if not p.quantised), _SHARES[:1]
        speech = dict.fromkeys((setting.token2wav, SPEECH_BF16))
        for precision in (setting.precision, *coarser):
            for share in shares:
                for token2wav in speech:
                    minutes = setting.minutes * share
                    yield replace(
                        setting, precision=precision, token2wav=token2wav, minutes=minutes
                    )

    def _smallest(self, setting: MemorySetting) -> MemoryPlan:
        """Return the smallest plan that can speak if ``setting`` can: one minute, coarsest
        precision."""
        coarsest = Precision.INT4 if setting.duplex_tokens is None else Precision.BF16
        smallest = replace(setting, precision=coarsest, token2wav=SPEECH_BF16, minutes=1.0)
        return self.plan(smallest)

    def _most_minutes(self) -> float:
        per_minute = context_tokens(1.0) - context_tokens(0.0)
        return (self.covo.backbone.max_positions - context_tokens(0.0)) / per_minute


def free_memory(device: str) -> int:
    """Return the free bytes of ``device`` (``cuda``, ``cuda:1``, ``mps``, ``cpu``).

    Raises: NetworkConfigError when there is no such device.
    """
    kind = device.partition(":")[0]
    if kind == "cpu":
        import psutil

        available: int = psutil.virtual_memory().available
        return available
    import torch

    try:
        if kind == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            return int(free)
        if kind == "mps" and torch.backends.mps.is_available():
            most, used = torch.mps.recommended_max_memory(), torch.mps.driver_allocated_memory()
            return int(most - used)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise NetworkConfigError(f"cannot use the device {device}: {reason}") from error
    raise NetworkConfigError(f"no device {device!r} here; use cpu, cuda or mps")


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
