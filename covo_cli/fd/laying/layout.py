"""Lay a conversation out in time: the user's sounds, what happens, and the replies.

Where BREAK falls in an interrupted reply depends only on the plan and on the reply's length, not on
what this round draws: the teacher remembers the reply as far as it was heard
(:func:`heard_chunks`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.random import Generator

from audio_io.clock import USER_RATE, samples
from audio_io.levels import at_level, from_db
from audio_io.signal import Audio
from covo_cli.evaluation.scenarios.vocal import cough, laughter
from covo_cli.fd.laying.channel import UserChannel, faded, quiet_place
from covo_cli.fd.recipe import TimingSection
from covo_cli.fd.records import (
    INTERRUPTED,
    NEEDS_NEXT,
    PhraseKind,
    SaidReply,
    SpokenConversation,
    SpokenTurn,
    TurnKind,
)
from model.duplex.protocol.profile import DuplexProfile
from model.duplex.training.hard_places import EventKind, UserEvent

SPEECH_DB = -20.0
"""Level at which everything is laid out; the place sets the final one."""

_TAIL_S = (1.0, 3.0)
_AFTER_STOP_S = (1.5, 6.0)
_LONGEST_BACKCHANNEL_S = 0.7
_CUE_GAP_S = 0.15
"""Between "sorry, I mean" and what is meant."""


@dataclass(frozen=True, slots=True)
class PlacedReply:
    """A reply with SHIFT in chunk ``shift``. ``stop``: BREAK's chunk if it is interrupted."""

    reply: SaidReply
    shift: int
    kind: TurnKind
    stop: int | None = None


@dataclass(slots=True)
class LaidDialogue:
    """A dialogue in time: ``length`` samples (16 kHz). ``left_out``: what had no room."""

    channel: UserChannel = field(default_factory=UserChannel)
    replies: list[PlacedReply] = field(default_factory=list)
    events: list[UserEvent] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    length: int = 0


def heard_chunks(
    turn: SpokenTurn, codes: int, timing: TimingSection, profile: DuplexProfile, *, last: bool
) -> tuple[int, int] | None:
    """Return the sample of the reply's sound at which it is interrupted, and how many chunks of it
    are spoken before BREAK; None if it is not interrupted, or over before.

    ``codes``: the reply's length; ``last``: no turn follows.
    """
    if turn.kind not in INTERRUPTED or (last and turn.kind in NEEDS_NEXT):
        return None
    lasts = codes / profile.code_rate
    latest = timing.onset_until * lasts
    if turn.early:
        latest = min(latest, timing.onset_early)
    if latest <= timing.onset:
        return None
    onset = samples(timing.onset + turn.onset * (latest - timing.onset))
    chunk = profile.chunk_samples
    first = onset // chunk
    stop = first + timing.break_chunk - 1
    if turn.kind is TurnKind.STOPPED:
        after_word = (onset + samples(turn.cue_s) - 1) // chunk + 1
        stop = max(stop, min(after_word, (onset + samples(timing.break_latest)) // chunk))
    return (onset, stop) if stop < ceil(codes / profile.codes_per_chunk) else None


class Layout:
    """Lays out one conversation. ``sound`` reads a file of a turn, ``phrase`` one of a list, at the
    speaker's speed; ``beside``: somebody else's speech."""

    def __init__(
        self,
        conversation: SpokenConversation,
        replies: Sequence[SaidReply],
        timing: TimingSection,
        profile: DuplexProfile,
        random: Generator,
        *,
        side_talk_db: tuple[float, float],
        sound: Callable[[str], Audio],
        phrase: Callable[[str | PhraseKind], Audio],
        beside: Callable[[], Audio],
    ) -> None:
        self._conversation = conversation
        self._replies = replies
        self._timing = timing
        self._profile = profile
        self._random = random
        self._side_talk_db = side_talk_db
        self._sound = sound
        self._phrase = phrase
        self._beside = beside
        self._chunk = profile.chunk_samples
        self._made = LaidDialogue()
        self._now = 0  # the first sample that is free for the next turn
        self._free = 0  # the first chunk after the last BREAK

    def lay(self) -> LaidDialogue:
        """Return the dialogue. Turns beyond the length that is drawn for it are left out."""
        timing, random, made = self._timing, self._random, self._made
        longest = timing.longer if random.random() < timing.longer_share else timing.longest
        self._now = samples(random.uniform(*timing.gap))
        interrupting = False
        turns = self._conversation.turns[: len(self._replies)]
        for index, (turn, reply) in enumerate(zip(turns, self._replies, strict=True)):
            last = index == len(turns) - 1
            lasts = turn.seconds + len(reply.codes) / self._profile.code_rate
            if made.replies and not interrupting and self._now / USER_RATE + lasts > longest:
                made.left_out["turns beyond the longest dialogue"] += len(turns) - index
                break
            begin = self._now if interrupting else self._before(turn)
            end = self._say(turn, begin)
            interrupting = self._answer(turn, reply, end, last=last)
        length = max(made.channel.length, self._free * self._chunk) + samples(
            random.uniform(*_TAIL_S)
        )
        chunks = -(-max(length, samples(timing.shortest)) // self._chunk)
        made.length = chunks * self._chunk
        made.events.sort(key=lambda event: (event.start, event.end, event.kind))
        return made

    def _before(self, turn: SpokenTurn) -> int:
        """Fill the silence before a turn; return the sample at which it begins."""
        random, begin = self._random, self._now
        if turn.kind is TurnKind.LONG_SILENCE:
            begin += samples(random.uniform(*self._timing.long_silence))
        elif turn.kind is TurnKind.NOISE_BEFORE:
            begin = self._disturb(begin) + samples(random.uniform(1.0, 2.0))
        return begin

    def _say(self, turn: SpokenTurn, begin: int) -> int:
        """Put a turn at sample ``begin``; return where it ends."""
        said = at_level(self._sound(turn.sound), SPEECH_DB)
        pieces: list[tuple[Audio, float]] = [(said, 0.0)]
        if turn.kind is TurnKind.PAUSED:
            pieces = self._paused(said)
        at = begin
        for sound, pause in pieces:
            self._made.channel.put(at, sound)
            at += len(sound)
            if pause:
                self._event(EventKind.PAUSE, at, at + samples(pause))
                at += samples(pause)
        self._event(EventKind.TURN, begin, at)
        return at

    def _paused(self, said: Audio) -> list[tuple[Audio, float]]:
        """Cut a turn, said as a whole, at one to three quiet places, with pauses behind."""
        random, timing = self._random, self._timing
        count = int(random.integers(1, 4))
        shares = sorted(random.uniform(0.2, 0.85, count))
        places = sorted({quiet_place(said, int(share * len(said))) for share in shares})
        pieces: list[tuple[Audio, float]] = []
        least = samples(0.15)
        before = 0
        for place in places:
            if place - before < least or len(said) - place < least:
                continue
            piece = faded(said[before:place], begin=before > 0, end=True)
            if random.random() < timing.filler:
                filler = at_level(self._phrase(PhraseKind.FILLERS), SPEECH_DB)
                piece = np.concatenate((piece, np.zeros(samples(0.06), np.float32), filler))
            pieces.append((piece, self._pause()))
            before = place
            if random.random() < timing.restart:  # the last words once more
                before = max(0, quiet_place(said, place - samples(random.uniform(0.3, 0.6))))
        if not pieces:
            self._made.left_out["pauses in a turn too short for them"] += 1
        return [*pieces, (faded(said[before:], begin=before > 0), 0.0)]

    def _pause(self) -> float:
        random, timing = self._random, self._timing
        which = int(random.choice(3, p=timing.pause_shares))
        if which:
            return float(random.uniform(*(timing.pause_longer, timing.pause_longest)[which - 1]))
        length = random.lognormal(np.log(timing.pause_median), timing.pause_sigma)
        return float(min(length, timing.pause_longest[1]))

    def _answer(self, turn: SpokenTurn, reply: SaidReply, end: int, *, last: bool) -> bool:
        """Place the reply to a turn that ends at sample ``end``, and what happens over it; return
        whether the next turn interrupts it."""
        random, timing, profile = self._random, self._timing, self._profile
        after = 1 + int(random.choice(len(timing.shift_chunks), p=timing.shift_chunks))
        shift = max((end - 1) // self._chunk + after, self._free)
        first = shift + profile.lead
        begin = first * self._chunk
        lasts = -(-len(reply.codes) // profile.codes_per_chunk)
        heard = heard_chunks(turn, len(reply.codes), timing, profile, last=last)
        stop = None if heard is None else first + heard[1]
        self._made.replies.append(PlacedReply(reply, shift, turn.kind, stop))
        if heard is None or stop is None:
            if turn.kind in INTERRUPTED:
                self._made.left_out["interruptions of a reply too short for them"] += 1
            texts = shift + len(reply.text) // profile.text_per_chunk
            self._free = 1 + max(first + lasts, texts + 1)
            self._over(turn, begin, begin + round(len(reply.codes) / profile.code_rate * USER_RATE))
            self._now = self._free * self._chunk + samples(self._gap())
            return False
        self._free = stop + 1
        onset = begin + heard[0]
        over = stop * self._chunk
        self._now = onset
        if turn.cue:
            cue = at_level(self._phrase(turn.cue), SPEECH_DB)
            self._made.channel.put(onset, cue)
            over = max(over, onset + len(cue))
            self._now = onset + len(cue) + samples(_CUE_GAP_S)
        self._event(EventKind.INTERRUPTION, onset, over)
        if turn.kind is TurnKind.STOPPED:
            self._now = max(over, self._free * self._chunk) + samples(
                random.uniform(*_AFTER_STOP_S)
            )
        return turn.kind in NEEDS_NEXT

    def _over(self, turn: SpokenTurn, begin: int, end: int) -> None:
        """Let the user be heard over a reply that sounds from ``begin`` to ``end``."""
        random, timing, made = self._random, self._timing, self._made
        first = begin + samples(timing.backchannel_first)
        if turn.kind is TurnKind.BACKCHANNELLED:
            wanted, at = int(random.integers(1, 4)), first + samples(random.uniform(0.0, 1.0))
            for _ in range(wanted):
                kind, sound = self._backchannel()
                if at + len(sound) >= end:
                    made.left_out["backchannels in a reply too short for them"] += 1
                    break
                made.channel.put(at, sound)
                self._event(kind, at, at + len(sound))
                at += len(sound) + samples(timing.backchannel_apart + random.exponential(1.0))
        elif turn.kind is TurnKind.FALSE_START:
            spoken = at_level(self._phrase(PhraseKind.CORRECTIONS), SPEECH_DB)
            sound = faded(spoken[: samples(random.uniform(*timing.false_start))], end=True)
            if first + len(sound) >= end:
                made.left_out["false starts in a reply too short for them"] += 1
                return
            at = int(random.integers(first, end - len(sound)))
            made.channel.put(at, sound)
            self._event(EventKind.FALSE_START, at, at + len(sound))
        elif turn.kind is TurnKind.NOISE_OVER:
            if first >= end:
                made.left_out["noise over a reply too short for it"] += 1
                return
            over = self._disturb(int(random.integers(first, end)))
            self._free = max(self._free, -(-over // self._chunk))  # the next turn comes later

    def _backchannel(self) -> tuple[EventKind, Audio]:
        random = self._random
        level = SPEECH_DB + random.uniform(*self._timing.backchannel_db)
        if random.random() < self._timing.vocal:
            make = cough if random.random() < 0.5 else laughter
            return EventKind.NOISE, at_level(make(int(random.integers(1 << 31))), level)
        sound = self._phrase(PhraseKind.BACKCHANNELS)[: samples(_LONGEST_BACKCHANNEL_S)]
        return EventKind.BACKCHANNEL, at_level(faded(sound, end=True), level)

    def _disturb(self, at: int) -> int:
        """Put side talk or a burst of noise at sample ``at``; return where it ends."""
        random = self._random
        if random.random() < 0.5:
            kind = EventKind.SIDE_TALK
            sound = at_level(self._beside(), SPEECH_DB - random.uniform(*self._side_talk_db))
        else:
            kind, length = EventKind.NOISE, samples(random.uniform(0.1, 0.8))
            burst = random.standard_normal(length) * np.exp(-np.linspace(0.0, 5.0, length))
            sound = (burst * from_db(SPEECH_DB)).astype(np.float32)
        self._made.channel.put(at, sound)
        self._event(kind, at, at + len(sound))
        return at + len(sound)

    def _gap(self) -> float:
        timing, random = self._timing, self._random
        longer = random.choice(2, p=timing.gap_shares)
        return float(random.uniform(*(timing.gap_longer if longer else timing.gap)))

    def _event(self, kind: EventKind, begin: int, end: int) -> None:
        self._made.events.append(
            UserEvent(kind, round(begin / USER_RATE, 4), round(end / USER_RATE, 4))
        )
