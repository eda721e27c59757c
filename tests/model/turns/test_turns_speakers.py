"""Whose voice it is: the user is whoever spoke first, and others are not answered."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import ASSISTANT_RATE, FRAME, USER_RATE, samples
from audio_io.resample import resample
from audio_io.signal import Audio
from covo_cli.settings.settings import load_settings, models_dir
from model.engine import NewSpeaker, PushToTalk, SayText
from model.errors import WeightsError
from model.events import Interrupted, Notice, PlaybackAction, PlaybackControl, TurnDiscarded
from model.hearing.identity.profile import (
    LONG_ENOUGH_S,
    QUIET_DB,
    SHORTEST_S,
    CamPlusPlusEmbedder,
    Embedding,
    SpeakerEmbedder,
    threshold,
)
from model.hearing.identity.speaker_check import SOMEBODY_ELSE
from model.turns.barge_in import Act, OverlapEvidence, judge
from model.turns.phrases import OverlapKind, OverlapWords
from model.turns.turn_settings import TurnSettings
from model.weights.packages import WeightStore
from tests.fakes.engine import silence
from tests.fakes.talks import Script, converse
from tests.voices.said import EVERY_VOICE_SAYS, Said

USER, OTHER = 0.1, 0.08
"""Levels that stand for voices: 2 dB apart, so that the level tells nothing."""

LONG = [f"w{n}" for n in range(10)]
"""A reply of 5 s."""


class LevelEmbedder:
    """Tells voices by their level."""

    name = "a fake"
    middle = np.zeros(2, np.float32)

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.lengths: list[int] = []

    def load(self) -> None:
        pass

    def embed(self, speech: Audio) -> Embedding:
        if self.fails:
            raise WeightsError("the weights are damaged")
        assert len(speech) >= samples(SHORTEST_S)
        assert np.all(speech != 0)  # no pauses
        self.lengths.append(len(speech))
        user = float(np.mean(speech)) > (USER + OTHER) / 2
        return np.array([user, not user], np.float32)


@pytest.fixture
def script() -> Script:
    return Script()


def known(script: Script) -> list[Audio]:
    """The user says enough to be known, and is answered."""
    said = script.say("could you tell me a story?", 3.6, USER)
    return [said, silence(4)]


@pytest.mark.parametrize("recognize_cost", [0.3, 2.5])  # of a turn that ends before its words come
def test_another_voice_in_silence_is_not_answered(script: Script, recognize_cost: float) -> None:
    log, fake = converse(
        *known(script),
        *(script.say("where are the keys?", 2.0, OTHER), silence(7)),
        *(script.say("what time is it?", 1.5, USER), silence(7)),
        script=script,
        recognize_cost=recognize_cost,
        speaker_embedder=LevelEmbedder(),
    )
    assert [question for question, _ in fake.history] == [
        "could you tell me a story?",
        "what time is it?",
    ]
    (dropped,) = log.of(TurnDiscarded)
    assert dropped.reason == SOMEBODY_ELSE
    assert [n.text for n in log.of(Notice)] == ["your voice is known: others are not answered"]


def test_a_turn_that_somebody_else_goes_on_is_still_the_users(script: Script) -> None:
    log, fake = converse(
        *known(script),
        *(script.say("i wonder what", 1.2, USER), silence(0.5)),
        *(script.say("we have for dinner tonight", 4.0, OTHER), silence(4)),
        script=script,
        speaker_embedder=LevelEmbedder(),
    )
    assert fake.history[-1][0] == "i wonder what we have for dinner tonight"
    assert not log.of(TurnDiscarded)


@pytest.mark.parametrize(("pause", "asked_about"), [(0.3, 2.2), (0.5, 1.2)])
def test_a_short_pause_is_left_to_the_words(
    script: Script, pause: float, asked_about: float
) -> None:
    """The speaker network asks for a core that the words and the reply's beginning want."""
    embedder = LevelEmbedder()
    converse(
        *known(script),
        *(script.say("i wonder what", 1.2, USER), silence(pause)),
        *(script.say("we have for dinner tonight", 1.0, USER), silence(4)),
        script=script,
        recognize_cost=0.05,
        speaker_embedder=embedder,
    )
    learnt, asked, *_ = embedder.lengths
    assert learnt > samples(3.0)
    assert asked == pytest.approx(samples(asked_about), abs=samples(0.1))


def test_the_user_who_speaks_up_in_somebody_elses_turn_is_answered(script: Script) -> None:
    _, fake = converse(
        *known(script),
        *(script.say("the news today is that", 3.0, OTHER), silence(0.5)),
        *(script.say("what time is it?", 1.2, USER), silence(4)),
        script=script,
        speaker_embedder=LevelEmbedder(),
    )
    assert len(fake.history) == 2


def test_everybody_is_answered_while_the_user_is_unknown(script: Script) -> None:
    _, fake = converse(
        *(script.say("what day is it?", 1.5, USER), silence(4)),
        *(script.say("where are the keys?", 1.5, OTHER), silence(4)),
        script=script,
        speaker_embedder=LevelEmbedder(),
    )
    assert len(fake.history) == 2


def test_speech_too_short_to_tell_is_answered(script: Script) -> None:
    log, fake = converse(
        *known(script),
        *(script.say("what is that?", 0.7, OTHER), silence(4)),
        script=script,
        speaker_embedder=LevelEmbedder(),
    )
    assert len(fake.history) == 2
    assert not log.of(TurnDiscarded)


def over_a_reply(
    script: Script,
    text: str,
    seconds: float,
    level: float,
    embedder: SpeakerEmbedder | None = None,
) -> tuple:
    return converse(
        *(script.say("could you tell me a story?", 3.6, USER), silence(2.5)),
        *(script.say(text, seconds, level), silence(9)),
        script=script,
        words=LONG,
        recognize_cost=0.1,
        speaker_embedder=embedder or LevelEmbedder(),
    )


def test_another_voice_over_a_reply_does_not_stop_it(script: Script) -> None:
    log, fake = over_a_reply(script, "dinner is ready in the kitchen now", 2.0, OTHER)
    assert not log.of(Interrupted)
    assert len(fake.history) == 1
    assert fake.history[0][1].split() == LONG
    last = log.of(PlaybackControl)[-1]
    assert (last.action, last.reason) == (PlaybackAction.RESUME, SOMEBODY_ELSE)


def test_the_users_own_words_over_a_reply_stop_it(script: Script) -> None:
    log, fake = over_a_reply(script, "dinner is ready in the kitchen now", 2.0, USER)
    assert len(log.of(Interrupted)) == 1
    assert len(fake.history) == 2


def test_anybodys_short_command_stops_a_reply(script: Script) -> None:
    log, _ = over_a_reply(script, "stop", 0.9, OTHER)
    (stopped,) = log.of(Interrupted)
    assert stopped.reason == "you said “stop”"


def test_a_second_person_takes_over(script: Script) -> None:
    log, fake = converse(
        *known(script),
        *(script.say("could you tell me about the sea instead?", 3.6, OTHER), silence(4)),
        *(script.say("and what about the rain?", 2.0, USER), silence(4)),
        commands={7.0: NewSpeaker()},
        script=script,
        speaker_embedder=LevelEmbedder(),
    )
    assert [question for question, _ in fake.history] == [
        "could you tell me a story?",
        "could you tell me about the sea instead?",
    ]
    assert [dropped.reason for dropped in log.of(TurnDiscarded)] == [SOMEBODY_ELSE]


def test_the_key_says_that_voices_are_not_told_apart(script: Script) -> None:
    log, _ = converse(silence(1), commands={0.5: NewSpeaker()}, script=script)
    (notice,) = log.of(Notice)
    assert "turns.only_user is off" in notice.text


def test_a_failure_is_reported_once_and_everybody_is_answered(script: Script) -> None:
    embedder = LevelEmbedder(fails=True)
    log, fake = converse(
        *known(script),
        *(script.say("where are the keys?", 2.0, OTHER), silence(4)),
        script=script,
        speaker_embedder=embedder,
    )
    assert len(fake.history) == 2
    (notice,) = log.of(Notice)
    assert notice.text == "everybody is taken for you: the weights are damaged"


def test_no_more_is_compared_than_a_profile_is_made_of(script: Script) -> None:
    embedder = LevelEmbedder()
    converse(
        *known(script),
        *(script.say("where are all of the many keys?", 9.0, USER), silence(4)),
        script=script,
        speaker_embedder=embedder,
    )
    assert max(embedder.lengths) == samples(4.0)


class LateEmbedder(LevelEmbedder):
    """Tells voices by their level, but not in less than 2 s of speech."""

    def embed(self, speech: Audio) -> Embedding:
        told = super().embed(speech)
        likeness = (threshold(2.0, QUIET_DB) + threshold(LONG_ENOUGH_S, QUIET_DB)) / 2
        unclear = np.array([likeness, np.sqrt(1 - likeness**2)], np.float32)
        return unclear if len(speech) < samples(2.0) else told


@pytest.mark.parametrize(("level", "stops"), [(USER, True), (OTHER, False)])
def test_a_voice_that_is_hard_to_tell_is_asked_about_again(
    script: Script, level: float, stops: bool
) -> None:
    embedder = LateEmbedder()
    log, _ = over_a_reply(script, "dinner is ready in the kitchen now", 3.0, level, embedder)
    assert bool(log.of(Interrupted)) is stops
    assert [round(length / USER_RATE, 1) for length in embedder.lengths[1:3]] == [1.2, 2.4]
    assert log.of(PlaybackControl)[1].action is PlaybackAction.HOLD


def test_speech_that_ends_while_it_is_hard_to_tell_is_the_users(script: Script) -> None:
    words = "dinner is ready in the kitchen now"
    log, fake = over_a_reply(script, words, 1.5, OTHER, LateEmbedder())
    assert len(log.of(Interrupted)) == 1
    assert len(fake.history) == 2


def test_a_turn_that_is_hard_to_tell_is_told_when_it_goes_on(script: Script) -> None:
    log, fake = converse(
        *known(script),
        *(script.say("the news today", 1.2, OTHER), silence(0.3)),
        *(script.say("is that it rains", 1.5, OTHER), silence(4)),
        script=script,
        speaker_embedder=LateEmbedder(),
    )
    assert len(fake.history) == 1
    assert [dropped.reason for dropped in log.of(TurnDiscarded)] == [SOMEBODY_ELSE]


def test_what_was_typed_tells_nothing_of_the_users_voice(script: Script) -> None:
    class LikeEmbedder(LevelEmbedder):
        """Finds the other voice nearly as like as the user's must be in a quiet room."""

        def embed(self, speech: Audio) -> Embedding:
            likeness = 0.9 * threshold(2.0, QUIET_DB)
            other = np.array([likeness, np.sqrt(1 - likeness**2)], np.float32)
            return np.array([1, 0], np.float32) if super().embed(speech)[0] else other

    log, _ = converse(
        *(silence(5), *known(script)),
        *(script.say("where are the keys?", 2.0, OTHER), silence(4)),
        commands={0.5: SayText("hello")},
        script=script,
        speaker_embedder=LikeEmbedder(),
    )
    assert [dropped.reason for dropped in log.of(TurnDiscarded)] == [SOMEBODY_ELSE]


def test_a_turn_too_long_to_go_on_is_not_judged_by_the_voice_of_an_earlier_one(
    script: Script,
) -> None:
    words = "there is so much to say"
    log, fake = converse(
        *known(script),
        *(script.say("where are the keys?", 2.0, OTHER), silence(3)),
        *(script.say(words, 4.0, USER), silence(6)),
        commands={12.5: PushToTalk(True)},
        settings=TurnSettings(max_turn=3.8),
        script=script,
        speaker_embedder=LevelEmbedder(),
    )
    assert [dropped.reason for dropped in log.of(TurnDiscarded)] == [SOMEBODY_ELSE]
    assert fake.history[-1][0] == words


@pytest.mark.weights
def test_real_voices_are_told_apart_in_a_conversation(
    script: Script, built_in_voice_said: Said
) -> None:
    """heart is the user and michael is not; the words are made up, the voices are real."""
    store = WeightStore(models_dir(load_settings()))
    try:
        embedder = CamPlusPlusEmbedder(store.path("campplus", "campplus_cn_en_common.pt"))
    except WeightsError as error:
        pytest.skip(str(error))

    def says(name: str) -> Audio:
        said = [built_in_voice_said(name, text) for text in EVERY_VOICE_SAYS]
        sound = resample(np.concatenate(said), ASSISTANT_RATE, USER_RATE)
        return sound[: len(sound) // FRAME * FRAME]

    log, fake = converse(
        *(says("heart"), silence(5), says("michael"), silence(5), says("heart"), silence(5)),
        recognized=lambda audio: "what is it?",
        speaker_embedder=embedder,
    )
    assert len(fake.history) == 2
    assert [dropped.reason for dropped in log.of(TurnDiscarded)] == [SOMEBODY_ELSE]


WORDS = OverlapWords(OverlapKind.WORDS, "the kitchen is on fire", 4)


@pytest.mark.parametrize(
    ("other", "coming", "act"),
    [(False, False, Act.STOP), (False, True, Act.HOLD), (True, False, Act.WAIT)],
)
def test_the_reply_stands_still_until_the_voice_is_told(
    other: bool, coming: bool, act: Act
) -> None:
    speech = OverlapEvidence(
        voiced=0.7,
        silence=0.0,
        recognized=True,
        words=WORDS,
        words_until=0.6,
        other=other,
        voice_coming=coming,
    )
    assert judge(speech, TurnSettings()).act is act
