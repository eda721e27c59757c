"""Make synthetic two-channel dialogues in which the sound alone tells whose turn it is.

The user speaks in syllables: harmonic tones. The last syllable before a pause is level, the last
one of a turn falls, and nothing else tells them apart. A backchannel is one pure tone, a hum. The
assistant answers a chunk after the turn's end, goes on through a hum, and stops when syllables
begin over it. It names the user's pitch ("low" or "high") and counts; each word has its own tones
(:mod:`model.duplex.network.tone_codec`).

It is not a language, but a network learns it in minutes, and each decision (take the turn, keep
still, go on, stop) is either right or wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from audio_io.clock import USER_RATE
from audio_io.signal import Audio
from model.duplex.protocol.grammar import Grammar
from model.duplex.protocol.profile import DuplexProfile
from model.duplex.protocol.sequence import TimedDialogue, TimedReply, TimedToken, cut_in_slots

COUNT = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen"),
)
PITCHES = ("low", "high")
WORDS = (*PITCHES, *COUNT)
"""The assistant's whole vocabulary."""

ANSWER_AFTER = 1
"""Chunks from the end of a turn to SHIFT."""
STOP_AFTER = 2
"""Chunks from the start of an interruption to BREAK."""

ROOM = (-60.0, -46.0)
"""Lowest and highest level of the room's white noise, in dBFS."""

_RANGES = ((105.0, 140.0), (190.0, 250.0))
_RAMP_S = 0.015
_HARMONICS = (1.0, 0.6, 0.4, 0.3)


@dataclass(frozen=True, slots=True)
class ToneSpeaker:
    """A user: ``pitch`` in Hz, ``tempo`` (1: normal), ``level`` (amplitude of the fundamental)."""

    pitch: float
    tempo: float
    level: float

    @property
    def named(self) -> str:
        """The assistant's word for the pitch."""
        return PITCHES[int(self.pitch > _RANGES[0][1])]


def speaker(random: Generator) -> ToneSpeaker:
    """Draw a user."""
    low, high = _RANGES[int(random.integers(len(_RANGES)))]
    level = 0.1 * 10 ** (random.uniform(-6, 6) / 20)
    return ToneSpeaker(random.uniform(low, high), random.uniform(0.85, 1.2), level)


def phrase(who: ToneSpeaker, random: Generator, syllables: int, *, final: bool) -> Audio:
    """Return speech of ``syllables``. The last one falls in the ``final`` phrase of a turn and is
    level before a pause."""
    parts = []
    for n in range(syllables):
        last = n == syllables - 1
        seconds = random.uniform(0.22, 0.3) if last else random.uniform(0.1, 0.18)
        begin = who.pitch * random.uniform(0.93, 1.07)
        end = begin * (random.uniform(0.5, 0.62) if last and final else random.uniform(0.97, 1.03))
        parts.append(_tone(begin, end, seconds / who.tempo, who.level, _HARMONICS))
        if not last:
            parts.append(silence(random.uniform(0.02, 0.05) / who.tempo))
    return np.concatenate(parts)


def hum(who: ToneSpeaker, random: Generator) -> Audio:
    """Return a backchannel."""
    pitch = who.pitch * random.uniform(0.9, 1.1)
    return _tone(pitch, pitch, random.uniform(0.16, 0.3), who.level, (1.0,))


def silence(seconds: float) -> Audio:
    """Return silence at 16 kHz."""
    return np.zeros(round(seconds * USER_RATE), np.float32)


def dialogue(
    grammar: Grammar, ids: Mapping[str, int], random: Generator, seconds: float
) -> TimedDialogue:
    """Return about ``seconds`` of turns with pauses, backchannels and interruptions.

    ``ids``: the token of each word.
    """
    track = Track(grammar.profile)
    replies: list[TimedReply] = []
    over = 0
    who = speaker(random)
    track.wait(random.uniform(0.1, 1.2))
    while track.length < seconds * USER_RATE:
        _speak_turn(track, who, random)
        shift = track.chunk + ANSWER_AFTER
        reply = answer(who.named, shift, grammar.profile, ids)
        over = -(-reply.end // grammar.profile.codes_per_chunk)  # BREAK's chunk
        track.wait_for(shift)
        event = random.choice(("none", "hum", "interruption", "hum and interruption"))
        if "hum" in event:
            track.wait(random.uniform(0.1, 0.6))
            track.say(hum(who, random))
        if "interruption" in event:
            track.wait(random.uniform(0.3, 1.0))
            over = track.next_chunk + STOP_AFTER
            reply = cut_in_slots(reply, over, grammar)
            # The next turn of this while loop is the interruption.
        else:
            track.wait_for(over + 1)
            track.wait(random.uniform(0.1, 1.5))
        replies.append(reply)
    if over > track.next_chunk:
        _speak_turn(track, who, random)
    track.wait_for(track.chunk + 1)
    user = np.concatenate(track.parts)
    room = random.normal(0, 10 ** (random.uniform(*ROOM) / 20), len(user)).astype(np.float32)
    return TimedDialogue(user + room, tuple(replies))


def answer(pitch: str, shift: int, profile: DuplexProfile, ids: Mapping[str, int]) -> TimedReply:
    """Return the whole reply to a user of ``pitch``, a word per chunk, SHIFT in ``shift``."""
    per_chunk, words = profile.codes_per_chunk, (pitch, *COUNT)
    start = (shift + profile.lead) * per_chunk
    tones = [2 * WORDS.index(word) + n % 2 for word in words for n in range(per_chunk)]
    text = tuple(TimedToken(ids[word], start + n * per_chunk) for n, word in enumerate(words))
    return TimedReply(start, tuple(tones), text)


def _speak_turn(track: Track, who: ToneSpeaker, random: Generator) -> None:
    for _ in range(int(random.choice((0, 0, 1, 1, 2)))):
        track.say(phrase(who, random, int(random.integers(2, 6)), final=False))
        track.wait(random.uniform(0.35, 1.6))
    track.say(phrase(who, random, int(random.integers(3, 8)), final=True))


class Track:
    """The user's channel, filled from left to right. ``length``: samples so far."""

    def __init__(self, profile: DuplexProfile) -> None:
        self._chunk = profile.chunk_samples
        self.parts: list[Audio] = []
        self.length = 0

    @property
    def chunk(self) -> int:
        """The chunk that holds the last sample so far."""
        return max(0, self.length - 1) // self._chunk

    @property
    def next_chunk(self) -> int:
        """The chunk that will hold the next sample."""
        return self.length // self._chunk

    def say(self, audio: Audio) -> None:
        """Append ``audio``."""
        self.parts.append(audio)
        self.length += len(audio)

    def wait(self, seconds: float) -> None:
        """Append silence."""
        self.say(silence(seconds))

    def wait_for(self, chunk: int) -> None:
        """Append silence until ``chunk`` begins."""
        self.say(np.zeros(max(0, chunk * self._chunk - self.length), np.float32))


def _tone(
    begin: float, end: float, seconds: float, level: float, harmonics: tuple[float, ...]
) -> Audio:
    count = round(seconds * USER_RATE)
    pitch = np.linspace(begin, end, count)
    phase = 2 * np.pi * np.cumsum(pitch) / USER_RATE
    wave = sum(part * np.sin((n + 1) * phase) for n, part in enumerate(harmonics))
    time = np.arange(count) / USER_RATE
    ramp = np.minimum(1.0, np.minimum(time, time[::-1]) / _RAMP_S)
    shaped: Audio = (level * ramp * wave).astype(np.float32)
    return shaped
