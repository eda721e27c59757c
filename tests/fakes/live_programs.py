"""What the tests of the live path run on the virtual card, each as a program of its own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from audio_io.echo import EchoCanceller
from audio_io.files import read_audio
from audio_io.live.devices import PortAudio
from audio_io.live.microphone import LiveMicrophone
from audio_io.live.speaker import LiveSpeaker
from audio_io.resample import FrameResampler


def capture(seconds: str, out: str) -> None:
    """Record the microphone; say on stdout when it listens, and its status at the end."""
    microphone = LiveMicrophone()
    microphone.start()
    microphone.read(5.0)
    Path(out).with_suffix(".ready").touch()
    frames = []
    for _ in range(int(float(seconds) * 50)):
        frame = microphone.read(5.0)
        if frame is None:
            break
        frames.append(frame)
    np.save(out, np.concatenate(frames))
    status = microphone.status
    microphone.close()
    print(json.dumps({"dropped": status.dropped, "message": status.message}))  # noqa: T201


def play(wav: str, seconds: str, stop_after: str, out: str) -> None:
    """Play a file through the speaker while the microphone ticks it; stop it after a while."""
    backend = PortAudio()
    microphone, speaker = LiveMicrophone("", backend), LiveSpeaker("", backend)
    speaker.start()
    microphone.start()
    sound = read_audio(Path(wav), 24_000)
    ticks: list[np.ndarray] = []
    track: list[tuple[float, int]] = []
    stopped = 0.0
    for frame in range(int(float(seconds) * 50)):
        if frame == 25:
            speaker.play(5, sound)
        if frame == 25 + int(float(stop_after) * 50):
            stopped = time.monotonic()
            speaker.stop()
        microphone.read(5.0)
        ticks.append(speaker.tick())
        track.append((time.monotonic(), speaker.played.samples))
    played = speaker.played
    report = {
        "stopped": stopped,
        "reply": played.reply_id,
        "samples": played.samples,
        "track": track,
        "starved": speaker.status.starved,
        "corrections": speaker.corrections,
        "message": speaker.status.message,
    }
    np.save(out, np.concatenate(ticks))
    speaker.close()
    microphone.close()
    print(json.dumps(report))  # noqa: T201


def echo(wav: str, seconds: str, out: str) -> None:
    """Play a file, cancel what of it comes back to the microphone; save both sides of that."""
    backend = PortAudio()
    microphone, speaker = LiveMicrophone("", backend), LiveSpeaker("", backend)
    speaker.start()
    microphone.start()
    canceller, resampler = EchoCanceller(), FrameResampler(24_000, 16_000, 320)
    sides: list[np.ndarray] = []
    speaker.play(0, read_audio(Path(wav), 24_000))
    for _ in range(int(float(seconds) * 50)):
        near = microphone.read(5.0)
        if near is None:
            break
        far = resampler.process(speaker.tick())
        sides.append(np.stack([near, canceller.process(near, far)]))
    np.save(out, np.concatenate(sides, axis=1))
    speaker.close()
    microphone.close()
    print(json.dumps({"delay_ms": canceller.delay_ms, "added_delay_ms": canceller.added_delay_ms}))  # noqa: T201


if __name__ == "__main__":
    {"capture": capture, "play": play, "echo": echo}[sys.argv[1]](*sys.argv[2:])
