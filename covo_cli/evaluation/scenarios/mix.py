"""What a set of ``covo eval build`` consists of: how many scenarios of each kind, whose voices.

The three sets have the same kinds in the same proportions, but share no text, user's voice or
noise, so that tuning on one can be judged on another. The assistant's voice is heart.
"""

from __future__ import annotations

from dataclasses import dataclass

from covo_cli.bench.speech import PERSON_DB
from covo_cli.evaluation import SetName
from covo_cli.evaluation.scenarios.scenario import NoiseKind

LOUD_DB, NORMAL_DB, SOFT_DB = -20.0, PERSON_DB, -34.0
"""Levels of a person at the microphone, in dBFS."""

BYSTANDER_DB = SOFT_DB - 4

GOAL_SNR_DB = 10.0
"""Signal-to-noise ratio of the goal for false barge-ins."""

OPENING_S = 0.6
"""Silence before the first line."""


@dataclass(frozen=True, slots=True)
class Mix:
    """The scenarios per kind in a set, its voices, and its first noise seed.

    ``echo_turns``, ``noise_turns``: requests per conversation in echo or noise (GOAL_SNR_DB), where
    rare false alarms need long exposure. ``exposure``: seconds heard of each such reply.
    ``pauses``, ``corrections``, ``story_pauses``, ``spelling_pauses``: lengths of the pauses in
    seconds. ``pairs``: users and the bystander as loud as they are. ``bystanders``, ``commands``:
    conversations beside which the other person talks, or says a short command.
    ``bystander_rounds``: turns per such conversation, each with a line before it and one over its
    answer.
    """

    about: str
    voices: tuple[str, ...]
    side_talkers: tuple[str, ...]
    seeds: int
    turns: int
    pauses: tuple[float, ...]
    pauses_each: int
    backchannels: int
    interruptions: int
    noises: tuple[tuple[NoiseKind, float], ...]
    side_talk: int
    echoes: int
    corrections: tuple[float, ...]
    silences: int
    exposure: float
    story_pauses: tuple[float, ...]
    spelling_pauses: tuple[float, ...]
    pairs: tuple[tuple[str, str], ...]
    bystanders: int
    commands: int
    bystander_rounds: int = 2
    noise_turns: int = 1
    echo_turns: int = 1


_NOISES = tuple(
    (kind, snr)
    for snr in (20.0, 10.0, 5.0)
    for kind in (NoiseKind.PINK, NoiseKind.BABBLE, NoiseKind.WHITE, NoiseKind.CLICKS, NoiseKind.HUM)
)

MIXES = {
    SetName.STANDARD: Mix(
        "held out from tuning: users george and bella",
        voices=("george", "bella"),
        side_talkers=("heart",),
        seeds=5000,
        turns=30,
        pauses=(0.3, 0.5, 0.8, 1.2, 1.6, 2.0, 2.5),
        pauses_each=3,
        backchannels=36,
        interruptions=36,
        noises=(
            *_NOISES,
            (NoiseKind.PINK, 10.0),
            (NoiseKind.BABBLE, 10.0),
            (NoiseKind.WHITE, 10.0),
        ),
        side_talk=12,
        echoes=12,
        corrections=(0.5, 0.9, 1.4),
        silences=4,
        exposure=14.0,
        story_pauses=(0.4, 0.7, 1.0, 0.55, 0.85, 1.2, 1.1),
        spelling_pauses=(0.95, 0.5, 1.2, 0.8, 0.65),
        pairs=(
            ("george", "michael"),
            ("bella", "heart"),
            ("george", "emma"),
            ("bella", "michael"),
            ("george", "heart"),
            ("bella", "emma"),
        ),
        bystanders=22,
        commands=6,
        noise_turns=12,
        echo_turns=4,
    ),
    SetName.TUNING: Mix(
        "for tuning: users michael and emma",
        voices=("michael", "emma"),
        side_talkers=("emma", "michael"),
        seeds=100,
        turns=16,
        pauses=(0.4, 0.6, 0.9, 1.3, 1.7, 2.1, 2.4),
        pauses_each=2,
        backchannels=20,
        interruptions=20,
        noises=_NOISES[:12],
        side_talk=6,
        echoes=6,
        corrections=(0.6, 1.0),
        silences=2,
        exposure=24.0,
        story_pauses=(0.45, 0.75, 1.15, 0.6, 0.9),
        spelling_pauses=(1.0, 0.55, 1.15, 0.75, 0.9),
        pairs=(("michael", "emma"), ("emma", "heart"), ("michael", "heart"), ("emma", "michael")),
        bystanders=12,
        commands=3,
    ),
    SetName.SMALL: Mix(
        "for the tests: every voice is heart, which renders in seconds",
        voices=("heart",),
        side_talkers=("heart",),
        seeds=900,
        turns=5,
        pauses=(0.4, 0.9, 1.8),
        pauses_each=2,
        backchannels=6,
        interruptions=6,
        noises=((NoiseKind.PINK, 10.0), (NoiseKind.BABBLE, 10.0)),
        side_talk=2,
        echoes=2,
        corrections=(0.6,),
        silences=1,
        exposure=10.0,
        story_pauses=(0.5,),
        spelling_pauses=(0.6,),
        pairs=(("heart", "heart"),),
        bystanders=1,
        commands=0,
        bystander_rounds=1,
    ),
}

JUDGED = frozenset(
    voice
    for name in (SetName.STANDARD, SetName.TUNING)
    for voices in (MIXES[name].voices, MIXES[name].side_talkers, *MIXES[name].pairs)
    for voice in voices
)
"""The voices of the sets, which must be unknown to what is measured with them."""
