"""Dialogues as chunks and back, for any overlap and every profile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.duplex.protocol.grammar import Grammar, Place
from model.duplex.protocol.profile import TextTiming
from model.duplex.protocol.sequence import (
    SILENCE,
    ChunkedDialogue,
    TimedDialogue,
    TimedReply,
    TimedToken,
    encode,
    join_close,
)
from model.errors import DialogueError
from tests.model.duplex.duplex_decoding import decode
from tests.model.duplex.duplex_profiles import (
    BREAK,
    CODEBOOK,
    FIRST_CODE,
    PROFILES,
    SHIFT,
    SPEECH_FILLER,
    TEXT,
    TEXT_FILLER,
    THINK,
    grammar,
)


def chunked(dialogue: TimedDialogue, which: Grammar) -> list[list[int]]:
    """The ids of each chunk, beginning with the user's feature."""
    chunks: list[list[int]] = []
    for token in encode(dialogue, which).ids.tolist():
        if token == -1:
            chunks.append([])
        else:
            chunks[-1].append(token)
    return chunks


def test_a_turn_in_the_default_profile():
    user = np.zeros(2560 * 6, np.float32)
    reply = TimedReply(6, (7, 8, 9), (TimedToken(3, 6), TimedToken(4, 7)))
    assert chunked(TimedDialogue(user, (reply,)), grammar("default")) == [
        [THINK],
        [SHIFT, SPEECH_FILLER, SPEECH_FILLER, FIRST_CODE + 7, FIRST_CODE + 8],
        [3, FIRST_CODE + 9, *[SPEECH_FILLER] * 3],
        [4, *[SPEECH_FILLER] * 4],  # its text is longer than its speech
        [BREAK],
        [THINK],
    ]


def test_filled_and_aligned_and_led():
    user = np.zeros(2560 * 4, np.float32)
    reply = TimedReply(4, (1,) * 8, (TimedToken(3, 10),))
    filled = [SPEECH_FILLER] * 4
    assert chunked(TimedDialogue(user, (reply,)), grammar("filled")) == [
        [THINK, *filled],
        [SHIFT, *[FIRST_CODE + 1] * 4],
        [3, *[FIRST_CODE + 1] * 4],
        [BREAK, *filled],
    ]
    late = TimedReply(4, (1,) * 8, (TimedToken(3, 8),))
    assert chunked(TimedDialogue(user, (late,)), grammar("aligned, with a lead")) == [
        [SHIFT, *filled],
        [TEXT_FILLER, *[FIRST_CODE + 1] * 4],
        [3, *[FIRST_CODE + 1] * 4],
        [BREAK],
    ]


@st.composite
def dialogues(draw, which: Grammar) -> TimedDialogue:
    """Anything that two channels may hold: the user's audio knows nothing of the replies."""
    profile = which.profile
    per_chunk, lead = profile.codes_per_chunk, profile.lead
    code = st.integers(0, CODEBOOK - 2)
    replies = []
    free = 0
    for _ in range(draw(st.integers(0, 4))):
        first = draw(st.integers(free + lead, free + lead + 5))
        start = first * per_chunk + draw(st.integers(0, per_chunk - 1))
        inside = draw(st.lists(code | st.just(SILENCE), max_size=3 * per_chunk))
        ends = [draw(code)], [draw(code)] if draw(st.booleans()) else []
        codes = (*ends[0], *inside, *ends[1]) if ends[1] else tuple(ends[0])
        times = sorted(draw(st.lists(st.integers(0, len(codes)), max_size=12)))
        text = tuple(TimedToken(draw(st.integers(0, TEXT - 1)), start + at) for at in times)
        reply = TimedReply(start, codes, text)
        replies.append(reply)
        ids = encode(TimedDialogue(np.zeros(0, np.float32), tuple(replies)), which)
        free = len(ids.audio)
    samples = draw(st.integers(0, 20 * profile.chunk_samples))
    seed = draw(st.integers(0, 1000))
    user = np.random.default_rng(seed).uniform(-1, 1, samples).astype(np.float32)
    return TimedDialogue(user, tuple(replies))


@pytest.mark.parametrize("name", PROFILES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_is_encoded_is_decoded(name, data):
    which = grammar(name)
    dialogue = data.draw(dialogues(which))
    sequence = encode(dialogue, which)
    found = decode(sequence, which)
    assert np.array_equal(found.user[: len(dialogue.user)], dialogue.user)
    assert not found.user[len(dialogue.user) :].any()
    assert len(found.replies) == len(dialogue.replies)
    for mine, theirs in zip(found.replies, dialogue.replies, strict=True):
        assert (mine.start, mine.codes) == (theirs.start, theirs.codes)
        assert [t.id for t in mine.text] == [t.id for t in theirs.text]
    again = encode(found, which)
    assert again.ids.tolist() == sequence.ids.tolist()
    assert again.places.tolist() == sequence.places.tolist()
    # Every place holds what it may.
    features = int((sequence.places == Place.USER).sum())
    assert features == len(sequence.audio) * which.profile.features_per_chunk
    for place, token in zip(sequence.places.tolist(), sequence.ids.tolist(), strict=True):
        if place in which.vocabularies:
            vocabulary = which.vocabularies[Place(place)]
            assert list(vocabulary)[vocabulary.index(token)] == token


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_aligned_text_comes_when_it_is_said_or_later(data):
    which = grammar("aligned, with a lead")
    dialogue = data.draw(dialogues(which))
    for mine, theirs in zip(
        decode(encode(dialogue, which), which).replies, dialogue.replies, strict=True
    ):
        for found, said in zip(mine.text, theirs.text, strict=True):
            assert found.at >= said.at - which.profile.codes_per_chunk + 1


def test_the_user_s_audio_changes_no_token():
    which = grammar("default")
    replies = (TimedReply(9, (1, 2, 3)),)
    loud = np.ones(2560 * 8, np.float32)
    one, other = (encode(TimedDialogue(user, replies), which) for user in (loud, 0 * loud))
    assert one.ids.tolist() == other.ids.tolist()


def test_replies_without_room_for_a_break_are_joined():
    which = grammar("default")
    close = (
        TimedReply(4, (1, 2, 3)),
        TimedReply(9, (4, 5), (TimedToken(6, 9),)),
        TimedReply(40, (6,)),
    )
    with pytest.raises(DialogueError, match=r"reply at 0\.36 s begins too early"):
        encode(TimedDialogue(np.zeros(0, np.float32), close), which)
    joined = join_close(close, which)
    assert joined == (
        TimedReply(4, (1, 2, 3, SILENCE, SILENCE, 4, 5), (TimedToken(6, 9),)),
        TimedReply(40, (6,)),
    )
    encode(TimedDialogue(np.zeros(0, np.float32), joined), which)


@pytest.mark.parametrize("start", [6, 2])
def test_replies_that_overlap_are_refused(start):
    with pytest.raises(DialogueError, match=r"begins before the one at 0\.16 s has ended"):
        join_close((TimedReply(4, (1, 2, 3)), TimedReply(start, (4, 5))), grammar("default"))


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (TimedReply(4, ()), "begin and end with a speech code"),
        (TimedReply(4, (1, SILENCE)), "begin and end with a speech code"),
        (TimedReply(4, (CODEBOOK,)), "codebook ends at 31"),
        (TimedReply(4, (1,), (TimedToken(TEXT, 4),)), "not a text token"),
    ],
)
def test_what_is_no_reply_is_refused(reply, message):
    with pytest.raises(DialogueError, match=message):
        encode(TimedDialogue(np.zeros(0, np.float32), (reply,)), grammar("default"))


def test_a_reply_before_its_shift_is_refused():
    early = TimedDialogue(np.zeros(0, np.float32), (TimedReply(1, (1,)),))
    with pytest.raises(DialogueError, match="chunk -1"):
        encode(early, grammar("aligned, with a lead"))


def test_a_broken_sequence_is_refused():
    which = grammar("default")
    good = encode(TimedDialogue(np.zeros(2560 * 3, np.float32), (TimedReply(4, (1,)),)), which)
    cut = ChunkedDialogue(good.audio, good.ids[:-1], good.places[:-1])
    with pytest.raises(DialogueError, match="incomplete"):
        decode(cut, which)
    longer = ChunkedDialogue(good.audio[:-1], good.ids, good.places)
    with pytest.raises(DialogueError, match="2 tokens follow"):
        decode(longer, which)
    wrong = good.ids.copy()
    wrong[1] = TEXT_FILLER
    with pytest.raises(DialogueError, match="cannot stand in this slot"):
        decode(ChunkedDialogue(good.audio, wrong, good.places), which)
    wrong[1] = SHIFT
    with pytest.raises(DialogueError, match="where CODE belongs"):
        decode(ChunkedDialogue(good.audio, wrong, good.places), which)


def test_a_reply_that_is_not_over():
    which = grammar("default")
    whole = encode(TimedDialogue(np.zeros(0, np.float32), (TimedReply(0, (1,) * 8),)), which)
    cut = ChunkedDialogue(whole.audio[:-1], whole.ids[:-2], whole.places[:-2])
    assert decode(cut, which).replies == (TimedReply(0, (1,) * 8),)
    assert which.profile.text_timing is TextTiming.AHEAD
