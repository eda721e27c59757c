"""Getting a device back that went away, without holding up the conversation.

Both live endpoints use one :class:`Recovery` each. Opening a device can take a second, so attempts
run on a thread of their own; the endpoint asks now and then (:meth:`Recovery.poll`) for the result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from audio_io.errors import DeviceError
from audio_io.live.devices import Backend, Device, Kind, find_device
from audio_io.live.line import Line

PATIENCE = 3.0
"""Seconds that a missing device is waited for before the system's default takes its place."""

_FIRST_DELAY = 1.0
_LONGEST_DELAY = 30.0

Runner = Callable[[Callable[[], None]], None]
"""Runs a function, sooner or later, on whatever thread."""


def in_thread(work: Callable[[], None]) -> None:
    """The usual :data:`Runner`: a daemon thread."""
    threading.Thread(target=work, name="covo-audio", daemon=True).start()


@dataclass(frozen=True, slots=True)
class Found:
    """A device that was opened; ``replacement``: it is not the one that went away."""

    line: Line
    replacement: bool


class Recovery:
    """Tries to open ``device`` again, and the default when it stays away.

    Only the first attempt, at once, makes do with the list of devices as it was. Every later one
    looks for devices anew, which closes the other endpoint's stream for a moment: so these come 1,
    3, 7, 15 and 31 s after the loss and every 30 s from then on. A device that comes back is taken
    up no later than that.

    ``follow_default``: no device was asked for, so that whatever is the default now is right at
    once.
    """

    def __init__(
        self,
        backend: Backend,
        kind: Kind,
        device: Device,
        now: float,
        follow_default: bool,
        run: Runner = in_thread,
    ) -> None:
        self._backend = backend
        self._kind: Kind = kind
        self._device = device
        self._since = now
        self._patience = 0.0 if follow_default else PATIENCE
        self._run = run
        self._lock = threading.Lock()
        self._busy = False
        self._attempts = 0
        self._next = now
        self._found: Found | None = None
        self._cancelled = False

    def poll(self, now: float) -> Found | None:
        """The open device, once there is one; begins an attempt when one is due."""
        with self._lock:
            if self._found is not None:
                found, self._found = self._found, None
                return found
            if self._busy or now < self._next:
                return None
            self._busy = True
            attempt = self._attempts
            self._attempts += 1
            self._next = now + min(_FIRST_DELAY * 2**attempt, _LONGEST_DELAY)
            patient = now - self._since < self._patience
        self._run(lambda: self._attempt(rescan=attempt > 0, patient=patient))
        return None

    def cancel(self) -> None:
        """Want nothing any more; what is still being opened is closed again."""
        with self._lock:
            self._cancelled = True
            found, self._found = self._found, None
        if found is not None:
            found.line.close()

    def _attempt(self, *, rescan: bool, patient: bool) -> None:
        found: Found | None = None
        try:
            # The first attempt does without: a rescan interrupts the other endpoint as well.
            if rescan:
                self._backend.rescan()
            found = self._open_best(patient=patient)
        except DeviceError:
            pass  # the next attempt comes by itself
        finally:
            with self._lock:
                self._busy = False
                keep = not self._cancelled
                if keep:
                    self._found = found
        if found is not None and not keep:
            found.line.close()

    def _open_best(self, *, patient: bool) -> Found | None:
        devices = self._backend.devices()
        wanted = _identity(self._device)
        same = [d for d in devices if _identity(d) == wanted and d.channels(self._kind) > 0]
        if same:
            try:
                return Found(Line(self._backend, same[0], self._kind), replacement=False)
            except DeviceError:
                if patient:
                    raise
        if patient:
            return None
        default = find_device(devices, "", self._kind)
        line = Line(self._backend, default, self._kind)
        return Found(line, replacement=_identity(default) != wanted)


def _identity(device: Device) -> Device:
    """What stays the same of a device when it is unplugged and plugged in again."""
    return replace(device, id=0, default_input=False, default_output=False, rate=0)
