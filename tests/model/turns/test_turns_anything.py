"""Turn taking, whatever happens: any audio, any commands."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from model.engine import Interrupt, PushToTalk, SayText, SetMuted, SetVoice
from model.events import Interrupted, ReplyFinished, ReplyStarted
from model.reply import Heard
from model.turns.turn_settings import TurnSettings
from tests.fakes.engine import FakeGenerator, silence, speech
from tests.fakes.talks import LISTENING, MUTED, converse

piece = st.one_of(
    st.floats(0.1, 2.5).map(speech),
    st.floats(0.1, 2.5).map(silence),
)
command = st.sampled_from(
    [
        *(Interrupt(), SayText("typed"), SetMuted(True), SetMuted(False)),
        *(PushToTalk(True), PushToTalk(False), SetVoice("second")),
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    audio=st.lists(piece, min_size=1, max_size=8),
    commands=st.dictionaries(st.floats(0, 10), command, max_size=4),
    words=st.lists(st.sampled_from(["a", "b", "c"]), max_size=6),
    barge_in=st.booleans(),
    think=st.sampled_from([0.0, 0.3, 1.5]),
)
def test_whatever_happens_every_reply_is_settled_and_it_ends_listening(
    audio, commands, words, barge_in, think
):
    settled: list[int] = []

    class Counting(FakeGenerator):
        def settle(self, reply_id: int, heard: Heard | None) -> None:
            settled.append(reply_id)
            super().settle(reply_id, heard)

    log, _ = converse(
        *audio,
        silence(25),
        commands={**commands, 21.0: PushToTalk(False)},
        settings=TurnSettings(barge_in=barge_in),
        generator=Counting,
        words=words,
        think_cost=think,
    )
    assert sorted(settled) == list(range(1, len(settled) + 1))
    assert not log.states or log.states[-1] in (LISTENING, MUTED)
    started = [(e.at, e.reply) for e in log.of(ReplyStarted)]
    over = {e.reply: e.at for e in [*log.of(ReplyFinished), *log.of(Interrupted)]}
    for (_, before), (at, _) in pairwise(started):
        assert over[before] <= at  # never two replies at once
    answered = [e.turn for e in log.of(ReplyStarted)]
    heard_out = [
        e.turn for e in log.of(ReplyStarted) if e.reply in {f.reply for f in log.of(ReplyFinished)}
    ]
    assert len(set(heard_out)) == len(heard_out) <= len(answered)  # no turn is answered twice
