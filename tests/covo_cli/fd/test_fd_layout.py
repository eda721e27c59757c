"""Dialogues laid out in time: every reaction comes when the recipe says."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch (the covo extra)")

from audio_io.clock import USER_RATE
from covo_cli.fd.laying.channel import faded, in_a_place, quiet_place
from covo_cli.fd.laying.layout import LaidDialogue, Layout, heard_chunks
from covo_cli.fd.laying.maker import described
from covo_cli.fd.recipe import FdRecipe, Size, written_recipe
from covo_cli.fd.records import SaidReply, SpokenConversation, SpokenTurn, TurnKind
from model.covo.config.network_config import CovoConfig
from model.duplex.protocol.profile import DuplexProfile, default_profile
from model.duplex.training.hard_places import EventKind
from tests import ROOT

RECIPE = FdRecipe.read(Path("work"), written_recipe(Size.M, "model", "somebody"))
TIMING = RECIPE.timing
CHUNK = 2560
CUE_S = 0.5


@pytest.fixture(scope="module")
def profile() -> DuplexProfile:
    return default_profile(CovoConfig.read(ROOT / "tests/golden/covo/config.json"))


def speech(seconds: float) -> np.ndarray:
    """Syllables of 0.2 s with gaps of 0.05 s."""
    time = np.arange(round(seconds * USER_RATE)) / USER_RATE
    return (0.1 * np.sin(2 * np.pi * 200 * time) * (time % 0.25 < 0.2)).astype(np.float32)


def turn(kind: TurnKind, onset: float = 0.5, *, early: bool = False) -> SpokenTurn:
    cue = "cue" if kind in (TurnKind.STOPPED, TurnKind.CORRECTED) else ""
    return SpokenTurn("words", "2.0", 2.0, kind, onset, early, cue, CUE_S if cue else 0.0)


def reply(seconds: float) -> SaidReply:
    codes = round(seconds * 25)
    return SaidReply(tuple(range(codes // 8)), tuple(range(codes)))


def lay(profile: DuplexProfile, turns, replies, seed: int, timing=TIMING) -> LaidDialogue:
    return Layout(
        SpokenConversation("voice", "en", 1.0, False, tuple(turns)),
        replies,
        timing,
        profile,
        np.random.default_rng(seed),
        side_talk_db=(6.0, 15.0),
        sound=lambda name: speech(float(name)),
        phrase=lambda which: speech(CUE_S),
        beside=lambda: speech(1.0),
    ).lay()


def of_kind(laid: LaidDialogue, kind: EventKind):
    return [event for event in laid.events if event.kind is kind]


def test_a_turn_is_answered_one_or_two_chunks_after_its_end(profile):
    after = []
    for seed in range(60):
        laid = lay(profile, [turn(TurnKind.PLAIN)] * 3, [reply(4)] * 3, seed)
        for event, placed in zip(of_kind(laid, EventKind.TURN), laid.replies, strict=True):
            end = round(event.end * USER_RATE)
            after.append(placed.shift - (end - 1) // CHUNK)
            assert placed.stop is None
    assert set(after) == {1, 2}
    assert after.count(1) / len(after) == pytest.approx(0.7, abs=0.1)


def test_pauses_are_silent_and_within_the_turn(profile):
    lengths = []
    for seed in range(60):
        laid = lay(profile, [turn(TurnKind.PAUSED)], [reply(3)], seed)
        mixed = laid.channel.mixed(laid.length)
        [whole] = of_kind(laid, EventKind.TURN)
        pauses = of_kind(laid, EventKind.PAUSE)
        assert 1 <= len(pauses) <= 3
        for pause in pauses:
            assert whole.start < pause.start < pause.end < whole.end
            begin, end = (round(t * USER_RATE) for t in (pause.start, pause.end))
            assert not mixed[begin + 2 : end - 2].any()
            lengths.append(pause.end - pause.start)
        assert laid.replies[0].shift * CHUNK >= whole.end * USER_RATE
    assert np.median(lengths) == pytest.approx(0.65, abs=0.15)
    assert max(lengths) <= 6.0


@pytest.mark.parametrize("onset", [0.0, 0.37, 1.0])
def test_an_interruption_stops_the_reply_in_its_third_chunk(profile, onset):
    for seed in range(8):
        turns = [turn(TurnKind.NEW_QUESTION, onset), turn(TurnKind.PLAIN)]
        laid = lay(profile, turns, [reply(6), reply(2)], seed)
        first, second = laid.replies
        [event] = of_kind(laid, EventKind.INTERRUPTION)
        _, question = of_kind(laid, EventKind.TURN)
        assert event.start == question.start
        assert first.stop == int(event.start * USER_RATE + 0.5) // CHUNK + 2
        begin = (first.shift + 1) * CHUNK / USER_RATE
        assert event.start - begin == pytest.approx(0.4 + onset * (0.8 * 6 - 0.4), abs=0.001)
        assert second.shift > first.stop
        heard = heard_chunks(turns[0], 150, TIMING, profile, last=False)
        assert heard is not None
        assert first.stop == first.shift + 1 + heard[1]


def test_who_interrupts_in_a_word_is_answered_behind_break(profile):
    """In BREAK's chunk there is no room for SHIFT."""
    word = replace(turn(TurnKind.PLAIN), sound="0.2", seconds=0.2)
    for seed in range(8):
        laid = lay(profile, [turn(TurnKind.NEW_QUESTION), word], [reply(6), reply(2)], seed)
        first, second = laid.replies
        assert first.stop is not None
        assert second.shift == first.stop + 1


def test_an_early_one_comes_within_the_first_second(profile):
    for onset in (0.0, 1.0):
        heard = heard_chunks(
            turn(TurnKind.NEW_QUESTION, onset, early=True), 500, TIMING, profile, last=False
        )
        assert heard is not None
        assert 0.4 <= heard[0] / USER_RATE <= 1.0


def test_after_stop_there_is_silence(profile):
    laid = lay(profile, [turn(TurnKind.STOPPED), turn(TurnKind.PLAIN)], [reply(8), reply(2)], 3)
    first, second = laid.replies
    [event] = of_kind(laid, EventKind.INTERRUPTION)
    onset = round(event.start * USER_RATE)
    last = onset + round(CUE_S * USER_RATE) - 1
    assert first.stop == last // CHUNK + 1
    assert (first.stop * CHUNK - onset) / USER_RATE <= TIMING.break_latest
    long = heard_chunks(replace(turn(TurnKind.STOPPED), cue_s=1.2), 200, TIMING, profile, last=True)
    assert long is not None
    assert 0.6 < long[1] * CHUNK / USER_RATE - long[0] / USER_RATE <= TIMING.break_latest
    _, later = of_kind(laid, EventKind.TURN)
    assert later.start >= event.end + 1.5
    assert second.shift * CHUNK > later.end * USER_RATE - CHUNK


def test_a_reply_is_not_interrupted_where_it_is_over(profile):
    asked = turn(TurnKind.NEW_QUESTION, 1.0)
    assert heard_chunks(asked, 10, TIMING, profile, last=False) is None
    assert heard_chunks(asked, 500, TIMING, profile, last=True) is None
    assert heard_chunks(turn(TurnKind.PAUSED), 500, TIMING, profile, last=False) is None
    laid = lay(profile, [asked, turn(TurnKind.PLAIN)], [reply(0.3), reply(2)], 1)
    assert [placed.stop for placed in laid.replies] == [None, None]
    assert laid.left_out == {"interruptions of a reply too short for them": 1}


OVER = {
    TurnKind.BACKCHANNELLED: {EventKind.BACKCHANNEL, EventKind.NOISE},
    TurnKind.FALSE_START: {EventKind.FALSE_START},
    TurnKind.NOISE_OVER: {EventKind.NOISE, EventKind.SIDE_TALK},
}


@pytest.mark.parametrize("kind", OVER)
def test_what_is_harmless_comes_over_a_reply_that_goes_on(profile, kind):
    seen = set()
    for seed in range(30):
        laid = lay(profile, [turn(kind), turn(TurnKind.PLAIN)], [reply(9), reply(2)], seed)
        first, second = laid.replies
        assert first.stop is None
        events = [event for event in laid.events if event.kind in OVER[kind]]
        assert 1 <= len(events) <= 3
        begin = (first.shift + 1) * CHUNK / USER_RATE
        for event in events:
            seen.add(event.kind)
            assert begin + 1.2 <= event.start < begin + 9
        for one, other in pairwise(events):
            assert other.start - one.end >= 2.5
        _, later = of_kind(laid, EventKind.TURN)
        assert later.start >= max(begin + 9, *(event.end for event in events))
        assert second.shift > first.shift
    assert seen == OVER[kind]


def test_noise_and_long_silences_come_before_a_turn(profile):
    laid = lay(profile, [turn(TurnKind.NOISE_BEFORE)], [reply(2)], 2)
    noise, asked = laid.events
    assert noise.end < asked.start
    assert laid.replies[0].shift * CHUNK >= asked.end * USER_RATE
    laid = lay(profile, [turn(TurnKind.LONG_SILENCE)], [reply(2)], 2)
    assert laid.events[0].start >= 5.0


def test_dialogues_keep_to_their_lengths(profile):
    laid = lay(profile, [turn(TurnKind.PLAIN)], [reply(1)], 0)
    assert laid.length / USER_RATE == pytest.approx(20.0, abs=0.16)
    assert laid.length % CHUNK == 0
    short = replace(TIMING, longest=25.0, longer=25.0)
    laid = lay(profile, [turn(TurnKind.PLAIN)] * 8, [reply(8)] * 8, 0, short)
    assert len(laid.replies) + laid.left_out["turns beyond the longest dialogue"] == 8
    assert laid.length / USER_RATE < 30
    assert len(laid.replies) > 1


def test_a_place_sounds_like_the_recipe():
    said = np.concatenate((speech(2.0), np.zeros(USER_RATE, np.float32), speech(2.0)))
    quiet = replace(RECIPE.sound, noise=0.0, room=0.0, telephone=0.0, drift_db=0.0)
    loud = replace(quiet, level=(-20.0, -20.0))
    heard = in_a_place(said, loud, (), (), np.random.default_rng(1))
    power = np.sqrt(np.mean(heard[:3200] ** 2))
    assert 20 * np.log10(power) == pytest.approx(-20.0, abs=1.0)
    floor = heard[33_000:47_000]
    assert 20 * np.log10(np.sqrt(np.mean(floor**2))) == pytest.approx(-62.0, abs=0.5)
    noisy = replace(loud, noise=1.0, snr=(10.0, 10.0, 10.0))
    heard = in_a_place(said, noisy, (), (), np.random.default_rng(1))
    whole = heard - in_a_place(said, loud, (), (), np.random.default_rng(1))
    assert 20 * np.log10(np.sqrt(np.mean(whole**2))) == pytest.approx(-30.0, abs=1.5)
    narrow = replace(loud, telephone=1.0)
    hiss = np.random.default_rng(0).normal(0, 0.1, USER_RATE).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(in_a_place(hiss, narrow, (), (), np.random.default_rng(1)))) ** 2
    assert spectrum[4_500:].sum() < 0.01 * spectrum[:4_000].sum()


def test_speech_is_cut_where_it_is_quiet():
    said = speech(2.0)
    for at in (0.5, 0.83, 1.4):
        place = quiet_place(said, round(at * USER_RATE))
        assert not said[place - 160 : place + 160].any()
        assert abs(place / USER_RATE - at) < 0.14
    tone = np.ones(1_000, np.float32)
    assert faded(tone, end=True)[-1] == 0.0
    assert faded(tone, begin=True)[[0, -1]].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("kind", [TurnKind.PLAIN, TurnKind.NEW_QUESTION])
def test_a_reply_that_breaks_off_is_described_with_its_cut(profile, kind):
    laid = lay(profile, [turn(kind), turn(TurnKind.PLAIN)], [reply(10), reply(4)], 0)
    first, last = described(laid, profile)["replies"]
    stop = laid.replies[0].stop
    assert (stop is None) == (kind is TurnKind.PLAIN)
    assert first.get("cut") == (None if stop is None else pytest.approx(stop * 0.16))
    assert "cut" not in last
