"""The assistant's own "mm-hmm" in a long story."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as runs
from hypothesis import strategies as st

from audio_io.clock import FRAME, USER_RATE, samples, seconds
from audio_io.levels import from_db
from audio_io.signal import Audio
from covo_cli.sessions.transcript import Who, transcript
from model.engine import EngineInfo, SetMuted, SetVoice
from model.errors import SynthesizerError
from model.events import (
    Backchannel,
    Notice,
    PlaybackControl,
    ReplyStarted,
    StateChanged,
    UserTranscript,
    VoiceChanged,
)
from model.playback.backchannels import SOFTER_DB
from model.turns.turn_settings import HumSettings, TurnSettings
from tests.fakes.engine import FakeGenerator, silence
from tests.fakes.talks import THINKING, Log, Script, converse

HUMMING = TurnSettings(humming=HumSettings())
SOFT = 0.8 * from_db(SOFTER_DB)
HUM_S = 0.4
ABOUT = {"abs": FRAME / USER_RATE}


class HummingGenerator(FakeGenerator):
    """Says any text as 0.4 s of sound between silences, at another level in each voice."""

    def say(self, text: str) -> Audio:
        self.clock.pass_time(0.2)
        if self.voice == "hoarse":
            raise SynthesizerError("cannot hum")
        level = {"first": 0.8, "second": 0.4, "silent": 0.0}[self.voice]
        hum = np.full(round(HUM_S * 24_000), level, np.float32)
        return np.concatenate([np.zeros(700, np.float32), hum, np.zeros(4_800, np.float32)])


def tell(
    *parts: float | str | Audio,
    settings: TurnSettings = HUMMING,
    generator: type[FakeGenerator] = HummingGenerator,
    **more: object,
) -> tuple[Log, FakeGenerator]:
    """Tell a story: seconds of speech and of silence in turn. The words break off at every pause,
    except for a text, which is said in a second; a sound is itself."""
    script = Script()
    audio = [
        part
        if isinstance(part, np.ndarray)
        else script.say(part, 1)
        if isinstance(part, str)
        else silence(part)
        if n % 2
        else script.say("and we went to the", part)
        for n, part in enumerate(parts)
    ]
    return converse(*audio, settings=settings, script=script, generator=generator, **more)


def hums(log: Log) -> list[float]:
    return [seconds(event.at) for event in log.of(Backchannel)]


def over(log: Log) -> float:
    return next(seconds(e.at) for e in log.of(StateChanged) if e.state is THINKING)


def test_it_hums_in_a_pause_of_a_long_story_and_takes_no_turn():
    log, fake = tell(4, 0.5, 3, 1.5, 1, 8)
    assert hums(log) == pytest.approx([7.5 + 0.7], **ABOUT)
    assert log.level(8.2, 8.2 + HUM_S) == pytest.approx(SOFT)
    assert log.level(8.2 + HUM_S + 0.02, 10) == 0.0
    # The user's turn is one, and so are the reply and the history.
    assert len(log.of(ReplyStarted)) == 1
    (said,) = [event for event in log.of(UserTranscript) if event.final]
    assert said.text == "and we went to the and we went to the and we went to the"
    assert fake.history == [(said.text, "one two three four")]
    assert log.of(PlaybackControl) == []
    without, _ = tell(4, 0.5, 3, 1.5, 1, 8, settings=TurnSettings())
    assert log.states == without.states
    assert over(log) == over(without)


def test_it_does_not_hum_as_the_user_goes_on():
    log, _ = tell(4, 0.5, 3, 0.68, 2, 8)
    assert hums(log) == pytest.approx([10.18 + 0.7], **ABOUT)


def test_the_transcript_shows_it_as_a_backchannel():
    log, _ = tell(4, 0.5, 3, 1.5, 1, 8)
    user, hum, reply = transcript(log.events)
    assert (user.who, hum.who, reply.who) == (Who.USER, Who.ASSISTANT, Who.ASSISTANT)
    assert (hum.backchannel, reply.backchannel) == (True, False)
    assert hum.shown == "(Mm-hmm.)"
    assert hum.end_s - hum.start_s == pytest.approx(HUM_S, abs=0.001)
    assert hum.turn == user.turn
    assert hum.number < -1  # no reply's


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((7.5, 1.2), id="no earlier pause"),
        pytest.param((3, 0.5, 2.5, 1.2), id="too short for a story"),
        pytest.param((4, 0.5, 3, 0.6), id="a short pause"),
        pytest.param((4, 0.5, 3, 0.3, "What time is it?", 6), id="the turn is over"),
    ],
)
def test_there_are_pauses_without_a_hum(parts):
    log, _ = tell(*parts)
    assert hums(log) == []


def test_a_turn_that_will_soon_be_over_gets_no_hum():
    soon = replace(HUMMING, silence_unfinished=1.6)
    assert hums(tell(4, 0.5, 3, 6, settings=soon)[0]) == []
    later = replace(HUMMING, silence_unfinished=1.8)
    assert len(hums(tell(4, 0.5, 3, 6, settings=later)[0])) == 1


def test_it_never_hums_twice_running():
    log, _ = tell(4, 0.5, 3, 1.5, 3, 1.5, 1.5, 1.5)
    assert hums(log) == pytest.approx([8.2, 15.0 + 0.7], **ABOUT)
    assert len({event.number for event in log.of(Backchannel)}) == 2


def test_after_a_hum_the_next_pause_is_left_alone_however_much_was_said():
    log, _ = tell(4, 0.5, 3, 1.5, 5, 1.5, 1, 1.5)
    assert hums(log) == pytest.approx([8.2, 16.5 + 0.7], **ABOUT)


def due(parts: list[tuple[float, float]]) -> list[float]:
    """When a hum comes by the rules, of parts that break off before their pauses."""
    humming = HumSettings()
    times, at, said, pauses, enough = [], 0.0, 0, 0, humming.story
    for spoken, pause in parts:
        at, said = at + spoken, said + round(spoken * USER_RATE)
        pauses += pause >= humming.pause
        if pause > humming.after and pauses > 1 and said >= samples(enough):
            times.append(at + humming.after)
            pauses, enough = 0, seconds(said) + humming.again
        at += pause
    return times


def test_in_any_order_of_speech_and_pauses_it_keeps_its_rules_and_changes_nothing_else():
    hummed = 0

    @runs(max_examples=8, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from((0.6, 1.6, 3.2, 5.0)), st.sampled_from((0.2, 0.4, 0.9, 1.6))),
            min_size=3,
            max_size=5,
        )
    )
    def check(parts: list[tuple[float, float]]) -> None:
        nonlocal hummed
        story = [*parts, (0.6, 8)]
        log, fake = tell(*(length for part in story for length in part))
        assert hums(log) == pytest.approx(due(story), **ABOUT)
        others = [event for event in log.events if not isinstance(event, Backchannel)]
        without, same = tell(
            *(length for part in story for length in part), settings=TurnSettings()
        )
        assert [(type(event), event.at) for event in others] == [
            (type(event), event.at) for event in without.events
        ]
        assert fake.history == same.history
        hummed += len(hums(log))

    check()
    assert hummed > 0


def test_it_does_not_hum_while_the_microphone_is_muted():
    muted, _ = tell(4, 0.5, 3, 1.5, 2, 2, commands={7.0: SetMuted(True), 8.5: SetMuted(False)})
    assert hums(muted) == pytest.approx([11.0 + 0.7], **ABOUT)


def test_after_a_change_of_the_voice_the_hum_is_of_the_new_voice():
    log, _ = tell(4, 0.5, 3, 1.5, 1, 8, commands={5.0: SetVoice("second")})
    assert [event.voice for event in log.of(VoiceChanged)] == ["second"]
    assert log.level(8.2, 8.6) == pytest.approx(SOFT / 2)


def test_the_echo_of_a_hum_is_not_the_user():
    """What comes back softer than the user's voice changes nothing; the user's voice does."""
    quiet, answered = tell(4, 0.5, 3, 6.8)
    echo = np.full(samples(HUM_S), 0.02, np.float32)
    echoed, same = tell(4, 0.5, 3, 0.8, echo, 6 - HUM_S)
    assert hums(echoed) == hums(quiet) == pytest.approx([8.2], **ABOUT)
    assert over(echoed) == over(quiet)
    assert same.history == answered.history
    spoken, once = tell(4, 0.5, 3, 0.8, HUM_S, 6)
    assert over(spoken) == pytest.approx(over(quiet) + 0.8 + HUM_S, abs=0.05)
    assert len(once.history) == 1


def test_without_barge_in_whatever_comes_back_is_an_echo():
    deaf = replace(HUMMING, barge_in=False)
    log, fake = tell(4, 0.5, 3, 0.8, HUM_S, 6, settings=deaf)
    assert hums(log) == pytest.approx([8.2], **ABOUT)
    assert over(log) == pytest.approx(7.5 + 2.8, abs=0.05)
    assert len(fake.history) == 1


def test_an_engine_that_cannot_hum_says_so_at_the_start():
    log, _ = tell(4, 0.5, 3, 1.5, 1, 8, generator=FakeGenerator)
    (notice,) = log.of(Notice)
    assert notice.at <= FRAME
    assert "no backchannels" in notice.text
    assert hums(log) == []


@pytest.mark.parametrize(("voice", "told"), [("hoarse", 1), ("silent", 0)])
def test_a_voice_that_fails_to_hum_does_not_disturb_the_conversation(voice, told):
    log, fake = tell(4, 0.5, 3, 1.5, 1, 8, voice=voice)
    assert [notice.text for notice in log.of(Notice)] == ["no backchannels: cannot hum"] * told
    assert hums(log) == []
    assert len(fake.history) == 1


@pytest.mark.parametrize(
    ("heard", "spoken", "hum"),
    [
        ("zh", (), "嗯。"),
        ("zh", ("en",), "Mm-hmm."),
        ("en", ("zh",), "嗯。"),
        ("de", (), "Mm-hmm."),
    ],
)
def test_it_hums_in_the_users_language_if_the_voice_speaks_it(heard, spoken, hum):
    said = []

    class Polyglot(HummingGenerator):
        @property
        def info(self) -> EngineInfo:
            return replace(super().info, languages=spoken)

        def say(self, text: str) -> Audio:
            said.append(text)
            return super().say(text)

    tell(4, 0.5, 3, 1.5, 1, 8, generator=Polyglot, language=heard)
    assert said[-1] == hum
