"""A conversation with the tiny golden network: what it remembers, and what its cache holds."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")

from model.covo.conversation.answer import Answer
from model.covo.conversation.chat_prompt import ChatPrompt, SystemPrompt
from model.covo.conversation.dialogue import Dialogue, DialogueSettings
from model.covo.conversation.dialogue_parts import (
    GROUP,
    ReplyEnd,
    SpeechCodes,
    StopReason,
    TextDelta,
    TurnsDropped,
)
from model.covo.conversation.history import Segment
from model.covo.language.decoder import Decoder
from model.covo.language.sampling import SamplingSettings
from model.covo.language.tokenizer import CovoTokenizer
from model.covo.speech.chunk_schedule import ChunkSchedule
from model.errors import NetworkInputError
from model.playback.spoken_text import SpokenText
from tests.model.covo.covo_model import tiny_tokenizer
from tests.model.covo.golden_covo import TOLERANCE, error

SPEECH = 540
"""The id of speech code 0."""
LIVELY = DialogueSettings(SamplingSettings(temperature=1.5), limit=60)
"""Random weights, chosen greedily, say one thing for ever."""


@pytest.fixture(scope="module")
def tokenizer(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    return CovoTokenizer.read(folder, network.config)


class Scripted:
    """A decoder that says ``script``, whatever the network would say; the cache is real."""

    def __init__(self, decoder, script):
        self.decoder, self.script, self.prompts = decoder, script, []

    def __getattr__(self, name):
        return getattr(self.decoder, name)

    def generate(self, prompt, *, stop, limit, allowed, **settings):
        self.prompts.append(prompt.tolist())
        self.allowed, self.stop = allowed, stop
        for token in self.script[:limit]:
            assert allowed[token]
            self.decoder.append(self.decoder.network.embed_token(torch.tensor([token])))
            yield token


@pytest.fixture
def talk(network, tokenizer):
    def make(script=None, capacity=1024, settings=LIVELY, speaker="anna"):
        decoder = Decoder(network, capacity)
        if script is not None:
            decoder = Scripted(decoder, script)
        system = SystemPrompt("Be kind.")
        return Dialogue(network, decoder, tokenizer, system, speaker, settings)

    return make


def spoken(seconds=0.4, seed=0):
    noise = np.random.default_rng(seed).normal(0, 0.1, round(16_000 * seconds))
    return noise.astype(np.float32)


def never():
    return False


def answer(dialogue, audio=None, cancelled=never, *, text=""):
    reply = dialogue.begin(audio, text)
    return reply, list(dialogue.stream(reply, cancelled))


def text_of(parts):
    return "".join(part.text for part in parts if isinstance(part, TextDelta))


def codes_of(parts):
    return [code for part in parts if isinstance(part, SpeechCodes) for code in part.codes]


def script(tokenizer, text, codes, *, end=True, pattern=(5, 15)):
    """``text`` and ``codes`` in alternation, then the end of the block."""
    texts, speech = list(tokenizer.encode(text)), [SPEECH + code for code in codes]
    tokens = []
    while texts or speech:
        tokens += texts[: pattern[0]] + speech[: pattern[1]]
        texts, speech = texts[pattern[0] :], speech[pattern[1] :]
    return [*tokens, 514] if end else tokens


SAID = "the weather in london is nice today"


def test_a_reply_is_text_and_groups_of_codes_in_their_order(talk, tokenizer):
    codes = [n % 128 for n in range(100)]
    dialogue = talk(script(tokenizer, SAID, codes), settings=DialogueSettings())
    _, parts = answer(dialogue, spoken())
    assert text_of(parts) == SAID
    assert codes_of(parts) == codes
    assert {len(p.codes) for p in parts if isinstance(p, SpeechCodes)} == {GROUP, 15 % GROUP}
    end = parts[-1]
    texts = len(tokenizer.encode(SAID))
    assert (end.reason, end.text, end.codes) == (StopReason.END, texts, 100)
    assert end.whole >= end.hearing + end.prefill + end.first > 0


def test_the_first_sound_waits_for_no_code_too_many(talk, tokenizer):
    schedule = ChunkSchedule()
    needed = schedule.sizes[0] + schedule.look_ahead
    dialogue = talk(script(tokenizer, SAID, range(15)), settings=DialogueSettings())
    _, parts = answer(dialogue, spoken())
    received = itertools.accumulate(len(p.codes) for p in parts if isinstance(p, SpeechCodes))
    assert needed in received


@pytest.mark.parametrize("pattern", [(1, 1), (3, 40), (99, 1), (1, 200)])
def test_other_alternations_are_taken_as_they_come(talk, tokenizer, pattern):
    codes = list(range(70))
    dialogue = talk(script(tokenizer, SAID, codes, pattern=pattern), settings=DialogueSettings())
    _, parts = answer(dialogue, spoken())
    assert text_of(parts) == SAID
    assert codes_of(parts) == codes


def test_the_penalties_count_this_turn_only(talk, tokenizer):
    dialogue = talk(script(tokenizer, "yes", [1]))
    reply, _ = answer(dialogue, text="one")
    dialogue.settle(1, reply)
    answer(dialogue, text="two")
    prompt = ChatPrompt(tokenizer)
    first, second = dialogue._decoder.prompts
    assert second == list(prompt.turn(text="two"))
    assert first[-len(prompt.turn(text="one")) :] == list(prompt.turn(text="one"))
    assert len(first) > len(prompt.turn(text="one"))  # behind the system prompt


def test_no_control_token_may_come_out_but_the_end(talk, tokenizer):
    dialogue = talk(script(tokenizer, "x", []))
    answer(dialogue, spoken())
    allowed = dialogue._decoder.allowed.nonzero().flatten().tolist()
    assert allowed == [*range(512), 514, *range(540, 668)]


def test_text_only(talk, tokenizer):
    settings = replace(LIVELY, text_only=True)
    dialogue = talk([*tokenizer.encode("a dog"), 512], settings=settings, speaker=None)
    _, parts = answer(dialogue, spoken(), text="what is it?")
    assert (text_of(parts), codes_of(parts)) == ("a dog", [])
    assert parts[-1].reason is StopReason.END
    allowed = dialogue._decoder.allowed.nonzero().flatten().tolist()
    assert allowed == [*range(513), 514]
    assert "anna" not in tokenizer.decode(dialogue._decoder.prompts[0])


def test_a_limit_and_a_cancel(talk):
    _, parts = answer(talk(), spoken())
    assert parts[-1].reason in {StopReason.LIMIT, StopReason.END}
    assert parts[-1].text + parts[-1].codes <= 60

    dialogue = talk([SPEECH + 1] * 200, settings=DialogueSettings())
    asked = itertools.count()
    _, parts = answer(dialogue, spoken(), lambda: next(asked) == 21)
    assert parts[-1].reason is StopReason.CANCELLED
    assert parts[-1].codes == 20  # within one step

    reply, parts = answer(dialogue, spoken(), lambda: True)
    assert parts == [replace(parts[0], reason=StopReason.CANCELLED, computed=0, text=0, codes=0)]
    dialogue.settle(1, reply)
    assert dialogue.exchanges[-1].reply == (514,)


def continued(dialogue):
    """The logits behind the conversation and one more turn, as the dialogue computes them, and how
    many positions it had to compute for that."""
    turn = dialogue._hear(dialogue.begin(spoken(seed=9)))
    computed = dialogue._cache.follow([*dialogue._segments(dialogue.exchanges), turn])
    return turn, dialogue._decoder.logits.clone(), computed


def afresh(network, segments):
    """The same from nothing."""
    decoder = Decoder(network, 2048)
    embedded = [network.embed(torch.tensor(s.ids), s.heard) for s in segments]
    decoder.append(torch.cat(embedded))
    return decoder.logits


@pytest.mark.parametrize("heard", [0, 1, 17, 45, 59, None])
def test_a_cut_reply_leaves_the_cache_of_a_fresh_conversation(network, talk, tokenizer, heard):
    dialogue = talk(script(tokenizer, SAID, range(60)), settings=DialogueSettings())
    reply, _ = answer(dialogue, spoken())
    before = dialogue._cache.length
    said = None if heard is None else reply.answer.said_by(heard)
    dialogue.settle(1, reply, heard, said)
    (exchange,) = dialogue.exchanges
    assert len([t for t in exchange.reply if t >= SPEECH]) == (60 if heard is None else heard)
    assert tokenizer.decode(exchange.reply) == (SAID if said is None else said)
    assert SAID.startswith(said or "")

    turn, ours, computed = continued(dialogue)
    system = dialogue._segments(())[0]
    theirs = afresh(network, [system, exchange.turn, Segment(exchange.reply), turn])
    assert error(ours, theirs) < TOLERANCE
    # Only from the first removed token on.
    whole = [*script(tokenizer, SAID, range(60))]
    kept = next(
        (n for n, (a, b) in enumerate(zip(exchange.reply, whole, strict=False)) if a != b),
        len(exchange.reply),
    )
    assert computed == len(exchange.reply) + len(turn.ids) - kept
    assert dialogue._cache.length == before - len(whole) + len(exchange.reply) + len(turn.ids)


def test_a_thrown_away_speculation_leaves_no_trace(network, talk):
    dialogue, untouched = talk(), talk()
    reply, _ = answer(dialogue, spoken(seed=1))
    dialogue.settle(1, reply)
    untouched._exchanges = dialogue.exchanges
    answer(dialogue, spoken(seed=2))  # never remembered
    _, ours, computed = continued(dialogue)
    _, theirs, from_nothing = continued(untouched)
    assert error(ours, theirs) < TOLERANCE
    assert computed < from_nothing


def test_the_same_seed_says_the_same_and_the_next_reply_something_else(talk):
    first, second = (answer(talk(), spoken())[1] for _ in range(2))
    assert codes_of(first) == codes_of(second)
    assert text_of(first) == text_of(second)
    dialogue = talk()
    third, fourth = (answer(dialogue, spoken())[1] for _ in range(2))
    assert codes_of(third) == codes_of(first) != codes_of(fourth)


def test_a_consumer_that_stops_pulling_blocks_nobody(network, talk):
    dialogue = talk([SPEECH + 1] * 200, settings=DialogueSettings())
    stalled = dialogue.stream(dialogue.begin(spoken()), never)
    next(stalled)
    parts = []

    def go_on():
        dialogue.prepare()  # leaves the reply alone
        reply, made = answer(dialogue, spoken(seed=1))
        parts.extend(made)
        dialogue.settle(1, reply)
        dialogue.prepare()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert codes_of(parts) == [1] * 200
    assert list(stalled)[-1].reason is StopReason.CANCELLED
    turn, ours, computed = continued(dialogue)
    assert computed == len(turn.ids)
    theirs = afresh(network, [*dialogue._segments(dialogue.exchanges), turn])
    assert error(ours, theirs) < TOLERANCE


def test_preparing_ends_the_stream_of_a_reply_that_was_settled(talk):
    dialogue = talk([SPEECH + 1] * 200, settings=DialogueSettings())
    reply = dialogue.begin(spoken())
    stream = dialogue.stream(reply, never)
    next(stream)
    dialogue.settle(1, reply, 1, "")
    dialogue.prepare()
    assert list(stream)[-1].reason is StopReason.CANCELLED
    turn, _, computed = continued(dialogue)
    assert computed == len(turn.ids)


def test_prepare_leaves_only_the_turn_to_compute(talk):
    dialogue = talk()
    reply, _ = answer(dialogue, spoken())
    dialogue.settle(1, reply, 5, "")
    dialogue.prepare()
    turn, _, computed = continued(dialogue)
    assert computed == len(turn.ids)


def test_a_conversation_that_does_not_fit_any_more_is_not_prepared(talk):
    dialogue = talk([SPEECH] * 500, capacity=256, settings=DialogueSettings())
    reply, _ = answer(dialogue, spoken(2.0))
    dialogue.settle(1, reply)
    held = dialogue._cache.length
    dialogue.prepare()
    assert dialogue._cache.length == held == 256
    _, parts = answer(dialogue, spoken())
    assert parts[0] == TurnsDropped(1)


def test_another_speaker_is_another_system_prompt(talk, tokenizer):
    dialogue = talk(script(tokenizer, "x", []))
    reply, _ = answer(dialogue, spoken())
    dialogue.settle(1, reply)
    dialogue.set_speaker("berta")
    _, parts = answer(dialogue, text="hello")
    assert "berta" in tokenizer.decode(dialogue._segments(())[0].ids)
    computed = parts[-1].computed
    assert computed > len(dialogue.exchanges[0].turn.ids) + len(dialogue.exchanges[0].reply)


def test_old_turns_are_dropped_before_the_room_is_used_up(talk, tokenizer):
    dialogue = talk(script(tokenizer, SAID, range(40)), capacity=500, settings=DialogueSettings())
    drops = []
    for n in range(12):
        reply, parts = answer(dialogue, spoken(seed=n))
        assert parts[-1].reason is StopReason.END
        assert dialogue._cache.length <= 500
        dialogue.settle(1, reply)
        drops.append(sum(part.turns for part in parts if isinstance(part, TurnsDropped)))
    assert sum(drops) + len(dialogue.exchanges) == 12
    assert sum(map(bool, drops)) <= 4  # several at once, so that it is rare
    system = dialogue._segments(())[0]
    assert dialogue._cache._cached[: len(system.ids)] == list(system.ids)


def test_dropped_turns_leave_the_cache_of_what_stays(network, talk, tokenizer):
    dialogue = talk(script(tokenizer, SAID, range(40)), capacity=500, settings=DialogueSettings())
    for n in range(8):
        dialogue.settle(1, answer(dialogue, spoken(seed=n))[0], 20, SAID[:11])
    turn, ours, _ = continued(dialogue)
    theirs = afresh(network, [*dialogue._segments(dialogue.exchanges), turn])
    assert error(ours, theirs) < TOLERANCE


def test_a_reply_that_fills_the_room_ends_without_an_error(talk, tokenizer):
    dialogue = talk([SPEECH] * 500, capacity=256, settings=DialogueSettings())
    reply, parts = answer(dialogue, spoken(2.0))
    assert parts[-1].reason is StopReason.CONTEXT
    assert dialogue._cache.length == 256
    dialogue.settle(1, reply)
    for _ in range(2):  # the first one is thrown away, so the second must say it again
        reply, parts = answer(dialogue, spoken(seed=1))
        assert parts[0] == TurnsDropped(1)
    dialogue.settle(1, reply, 0, "")
    _, parts = answer(dialogue, spoken(seed=2))
    assert not isinstance(parts[0], TurnsDropped)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, np.float32), "too short"),
        (np.zeros(16_000, np.float32), "every sample of it is 0"),
        (np.full(16_000, np.nan, np.float32), "not numbers"),
        (
            np.full(600 * 16_000, 0.1, np.float32),
            "too long: 600 s, and the network has room for 1",
        ),
    ],
)
def test_turns_that_cannot_be_heard(talk, audio, message):
    dialogue = talk()
    reply = dialogue.begin(audio)
    with pytest.raises(NetworkInputError, match=message):
        list(dialogue.stream(reply, never))
    dialogue.settle(1, reply)
    reply = dialogue.begin(text="word " * 2000)
    with pytest.raises(NetworkInputError, match="there is room for"):
        list(dialogue.stream(reply, never))
    assert dialogue.exchanges == ()
    reply, parts = answer(dialogue, spoken())  # the conversation goes on
    assert isinstance(parts[-1], ReplyEnd)


def test_warming_up_leaves_an_empty_conversation(talk):
    dialogue = talk()
    dialogue.warm_up()
    assert dialogue.exchanges == ()
    system = dialogue._segments(())[0]
    assert dialogue._cache.length == len(system.ids)


# What counts as heard


@pytest.fixture
def written(tokenizer):
    def make(text, codes, *, complete=True, pace=8.0):
        made = Answer(tokenizer, pace)
        for token in script(tokenizer, text, [1] * codes, end=False):
            made.add(token)
        made.complete = complete
        return made

    return make


def test_of_a_complete_reply_text_is_said_by_share(written):
    text = "one two three four five six seven eight"
    assert written(text, 160).said_by(160) == text
    half = written(text, 160).said_by(80)
    assert 0.3 * len(text) < len(half) <= 0.5 * len(text)
    assert text.startswith(half)
    assert written(text, 160).said_by(0) == ""


def test_of_an_unfinished_reply_text_is_heard_at_the_pace_so_far(written, tokenizer):
    text = "one two three four five six seven eight"
    texts = len(tokenizer.encode(text))
    unfinished = written(text, 30, complete=False, pace=5.0)
    assert unfinished.texts_said_by(30) == 6 < texts  # by share it would be all
    assert unfinished.pace == 5.0
    assert written(text, 160).pace == 160 / texts


def test_a_cut_reply_has_the_heard_codes_and_no_text_beyond_what_was_heard(written, tokenizer):
    for text in ("yesterday naïve don't stop", "今天天气很好🎉我们去公园走走吧。", "ok 今天 fine"):
        for heard in range(len(text) + 1):
            tokens = written(text, 100).cut(3 * heard, text[:heard])
            assert sum(token >= SPEECH for token in tokens) == min(100, 3 * heard)
            kept = tokenizer.decode(tokens)
            assert text[:heard].startswith(kept)
            assert "\ufffd" not in kept
        assert tokenizer.decode(written(text, 100).cut(100, text)) == text
        for codes in range(100):
            said = written(text, 100).said_by(codes)
            assert text.startswith(said)
            kept = tokenizer.decode(written(text, 100).cut(codes, said))
            assert said.startswith(kept)


def test_what_the_history_keeps_ends_with_the_last_word_heard(written, tokenizer):
    for text, within in (
        ("yesterday naïve don't stop", 0),
        ("今天天气很好🎉我们去公园走走吧。", len("我们去公")),
        ("ok 今天 fine", len("今")),
    ):
        spoken = SpokenText()
        spoken.write(text)
        spoken.say(100, text)
        for codes in range(101):
            heard = spoken.split(codes)
            kept = tokenizer.decode(written(text, 100).cut(codes, heard.text))
            assert heard.text.startswith(kept)
            # In scripts without spaces a token may hold several words, and is kept as a whole.
            assert len(heard.text[len(kept) :].strip()) <= within, (kept, heard)
