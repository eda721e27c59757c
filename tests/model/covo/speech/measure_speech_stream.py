"""How far streamed speech is from one shot, and how its joins compare with the rest.

``python -m tests.model.covo.speech.measure_speech_stream`` prints the figures of docs/streaming.md:
120 random codes, two seeds, on the tiny random network of the tests. It takes some minutes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor

from model.covo.loading.checkpoint import load_token2wav
from model.covo.speech.bigvgan import EXACT_LOOK_AHEAD
from model.covo.speech.chunk_schedule import ChunkSchedule
from model.covo.speech.speech_stream import SpeechSettings, SpeechStreamer
from model.covo.speech.token2wav import Token2Wav, VoicePrompt
from tests.model.covo.golden_covo import token2wav_folder, voice_prompt

CODES, SEEDS, HOP = 120, (0, 1), 240
SCHEDULES = (
    *(ChunkSchedule((5,), look_ahead) for look_ahead in (0, 1, 2, 4)),
    *(ChunkSchedule((5,), window=window) for window in (5, 25, 75, CODES)),
    *(ChunkSchedule((size,)) for size in (15, 25)),
    ChunkSchedule(),
)


def log_spectrum(wave: Tensor) -> Tensor:
    """In dB, (513, frames), with a floor of -80."""
    window = torch.hann_window(1024)
    spectrum = torch.stft(wave, 1024, 256, window=window, return_complex=True)
    return 20 * spectrum.abs().clamp_min(1e-4).log10()


def spectral_distance(one: Tensor, other: Tensor) -> float:
    """Log-spectral distance in dB."""
    return float((log_spectrum(one) - log_spectrum(other)).square().mean(0).sqrt().mean())


def streamed(token2wav: Token2Wav, voice: VoicePrompt, codes, schedule, seed: int):
    """The wave, and the latents (time, latent) of which it was made."""
    streamer = SpeechStreamer(token2wav)
    stream = streamer.start(
        voice, SpeechSettings(schedule, vocoder_look_ahead=EXACT_LOOK_AHEAD), seed=seed
    )
    waves, latents = [], []
    for index, code in enumerate(codes):
        spoken = stream.spoken
        wave, stream = streamer.step(stream, [code], last=index == len(codes) - 1)
        waves.append(wave)
        # One chunk at most for one code, but two at the end; the window holds both of them.
        if new := min(stream.spoken - spoken, len(stream.codes)):
            latents.append(stream.history[-4 * new :])
    return torch.cat(waves), torch.cat(latents)[3:]


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = token2wav_folder(Path(scratch) / "token2wav")
        token2wav = load_token2wav(folder)
        voice = voice_prompt(folder, token2wav.config.flow)
    drawn = {seed: torch.Generator().manual_seed(100 + seed) for seed in SEEDS}
    replies = {seed: torch.randint(128, (CODES,), generator=drawn[seed]) for seed in SEEDS}
    whole = {
        seed: (
            token2wav.synthesize(codes, voice, seed=seed),
            token2wav.latents(codes, voice, seed=seed)[0, len(voice.latents) :],
        )
        for seed, codes in replies.items()
    }
    apart = [
        spectral_distance(token2wav.synthesize(codes, voice, seed=50 + seed), whole[seed][0])
        for seed, codes in replies.items()
    ]
    sys.stdout.write(f"another seed: {mean(apart):.2f} dB\n")
    for schedule in SCHEDULES:
        found = []
        for seed, codes in replies.items():
            wave, latents = streamed(token2wav, voice, codes.tolist(), schedule, seed)
            one_shot, reference = whole[seed]
            joins = torch.tensor([4 * chunk.end - 3 for chunk in schedule.chunks(CODES)][:-1])
            steps = latents.diff(dim=0).norm(dim=1)
            bends = wave.diff(n=2).abs()
            at = joins - 1
            # Half the window of 5 ms that is searched for the sharpest bend, on either side.
            near = bends.unfold(0, 120, 1).amax(-1)
            found.append(
                (
                    float((latents - reference).square().mean().sqrt() / reference.std()),
                    spectral_distance(wave, one_shot),
                    float(steps[at].mean() / steps.mean()),
                    float(near[joins * HOP - 60].mean() / near.mean()),
                )
            )
        difference, distance, step, bend = (mean(values) for values in zip(*found, strict=True))
        sys.stdout.write(
            f"{schedule}: latents {difference:.3f}, spectrum {distance:.2f} dB; joins: step "
            f"{step:.2f}, bend {bend:.2f} times the usual\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
