"""The cascade with made-up parts: order, history, interruption, errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from model.errors import ChatError, SynthesizerError
from model.lite.cascade import Cascade
from model.lite.chat import Message
from model.lite.kokoro.head_start import HeadStart
from model.lite.prompt import ChatExchange, Prompt, build_messages
from model.lite.reply_reader import ChatPart, ThoughtAloud
from model.lite.synthesizer import SpokenPiece
from model.playback.spoken_text import SpokenText
from model.reply import Heard, ReplyAudio, ReplyNotice, ReplyPart, ReplyText, UserTurn
from tests.fakes.lite import PER_LETTER, FakeChat, FakeSynthesizer

CLAUSE_ONE = "The first clause is here, "
CLAUSE_TWO = "and the second one is a bit longer than it. "
CLAUSE_THREE = "A third sentence ends the whole of it."
WRITTEN = CLAUSE_ONE + CLAUSE_TWO + CLAUSE_THREE


def never() -> bool:
    return False


class Parts:
    """A cascade and the parts that it was made of."""

    def __init__(self, text: str = WRITTEN) -> None:
        self.chat = FakeChat(text)
        self.voices = {"one": FakeSynthesizer(0.5), "two": FakeSynthesizer(0.25)}
        self.prompt = Prompt("Be kind.")
        self.cascade = Cascade(self.chat, self.voices.__getitem__, voice="one", prompt=self.prompt)

    def reply(self, number: int = 0, text: str = "Hello?") -> list[ReplyPart]:
        return list(self.cascade.reply(number, turn(text), never))

    def settle(
        self, number: int, samples: int, made: list[ReplyPart], *, complete: bool = True
    ) -> Heard:
        """Settle as the playback of the parts ``made`` would."""
        spoken = SpokenText()
        for part in made:
            if isinstance(part, ReplyText):
                spoken.write(part.delta)
            elif isinstance(part, ReplyAudio):
                spoken.say(len(part.samples), part.text)
        spoken.complete = complete
        heard = spoken.split(samples)
        self.cascade.settle(number, heard)
        return heard


def turn(text: str = "Hello?") -> UserTurn:
    return UserTurn(np.zeros(1600, np.float32), text)


def test_text_and_sound_of_a_reply() -> None:
    parts = Parts()
    made = parts.reply()
    assert "".join(p.delta for p in made if isinstance(p, ReplyText)) == WRITTEN
    sounds = [p for p in made if isinstance(p, ReplyAudio)]
    assert [p.text for p in sounds] == [CLAUSE_ONE, CLAUSE_TWO, CLAUSE_THREE]
    assert [len(p.samples) for p in sounds] == [len(p.text) * PER_LETTER for p in sounds]
    assert parts.chat.asked[0] == build_messages(parts.prompt, (), "Hello?")


def test_a_clause_comes_in_pieces_each_with_its_words() -> None:
    parts = Parts()
    parts.voices["one"].in_pieces = 3
    made = parts.reply()
    sounds = [p for p in made if isinstance(p, ReplyAudio)]
    assert [p.text for p in sounds[:3]] == ["The first ", "clause ", "is here, "]
    assert "".join(p.text for p in sounds) == WRITTEN
    # Interrupted in mid-clause, after the second piece.
    heard = parts.settle(0, len(sounds[0].samples) + len(sounds[1].samples), made)
    assert heard.text == "The first clause "


class HeldVoice(FakeSynthesizer):
    """Waits for ``go`` before its second piece; counts those that it makes."""

    def __init__(self) -> None:
        super().__init__()
        self.in_pieces = 50
        self.go = threading.Event()
        self.made = 0

    def pieces(self, clause: str, start: HeadStart[Any]) -> Iterator[SpokenPiece]:
        for piece in super().pieces(clause, start):
            assert self.made == 0 or self.go.wait(5)
            self.made += 1
            yield piece


def test_a_reply_stopped_in_mid_clause_is_made_no_further() -> None:
    voice, stop = HeldVoice(), threading.Event()
    cascade = Cascade(FakeChat(WRITTEN), {"one": voice}.__getitem__, voice="one", prompt=Prompt(""))
    for part in cascade.reply(0, turn(), stop.is_set):
        if isinstance(part, ReplyAudio):
            stop.set()
            voice.go.set()
    for thread in cascade._working:
        thread.join(5)
    assert voice.made == 2


def test_the_first_clause_is_heard_while_the_rest_is_not_written_yet() -> None:
    parts = Parts()
    parts.chat.gate_before = 8
    stream = parts.cascade.reply(0, turn(), never)
    sound = next(p for p in stream if isinstance(p, ReplyAudio))
    assert sound.text == CLAUSE_ONE
    assert not parts.chat.stopped.is_set()
    parts.chat.gate.set()
    assert [p.text for p in stream if isinstance(p, ReplyAudio)] == [CLAUSE_TWO, CLAUSE_THREE]


SECOND = len(CLAUSE_ONE) * PER_LETTER
"""Where the second clause begins."""


@pytest.mark.parametrize(
    ("samples", "heard"),
    [
        (0, ""),
        (1, ""),
        (4 * PER_LETTER, "The "),
        (PER_LETTER * 12, "The first "),
        (SECOND - 1, "The first clause is "),
        (SECOND, CLAUSE_ONE),
        (SECOND + 8 * PER_LETTER, CLAUSE_ONE + "and the "),
        (
            len(WRITTEN) * PER_LETTER - 1,
            CLAUSE_ONE + CLAUSE_TWO + "A third sentence ends the whole of ",
        ),
        (len(WRITTEN) * PER_LETTER, WRITTEN),
        (10**9, WRITTEN),
    ],
)
def test_only_what_was_heard_is_remembered(samples: int, heard: str) -> None:
    parts = Parts()
    made = parts.reply()
    result = parts.settle(0, samples, made)
    assert result.text == heard
    assert result.text + result.unheard == WRITTEN
    assert parts.cascade.history == (ChatExchange("Hello?", heard, interrupted=heard != WRITTEN),)


def test_the_next_turn_is_asked_with_what_was_heard() -> None:
    parts = Parts()
    parts.settle(0, SECOND, parts.reply())
    parts.reply(1, "And then?")
    assert [m.content for m in parts.chat.asked[1]] == [
        "Be kind.",
        "Hello?",
        CLAUSE_ONE.strip() + " …",
        "And then?",
    ]


def test_the_chat_model_knows_the_time_and_what_it_was_told_stays() -> None:
    parts = Parts()
    now = datetime(2026, 11, 27, 16, 50)
    cascade = Cascade(
        parts.chat, parts.voices.__getitem__, voice="one", prompt=parts.prompt, clock=lambda: now
    )
    parts.cascade = cascade
    parts.settle(0, SECOND, parts.reply())
    now = datetime(2026, 11, 27, 17, 3)
    cascade.read_ahead("And")
    assert parts.chat.prepared[-1][-1].content == "(It is now 5:03 PM.) And"
    parts.settle(1, SECOND, parts.reply(1, "And then?"))
    cascade.close()  # waits for what is read ahead
    first, second = parts.chat.asked
    assert first[0].content == "Be kind. It is Friday, 27 November 2026, 4:50 PM."
    assert second[-1].content == "(It is now 5:03 PM.) And then?"
    assert parts.chat.prepared[-1][: len(second)] == second
    cascade.set_persona("Be rude.")
    assert cascade.prompt.system == "Be rude. It is Friday, 27 November 2026, 4:50 PM."
    cascade.start_over()
    assert "5:03 PM" in cascade.prompt.system


def test_a_discarded_reply_never_happened() -> None:
    parts = Parts()
    made = parts.reply()
    parts.cascade.settle(0, None)
    assert parts.cascade.history == ()
    parts.settle(0, 500, made)
    parts.cascade.settle(77, None)
    assert parts.cascade.history == ()


def test_settling_while_the_reply_is_being_made() -> None:
    parts = Parts()
    parts.chat.gate_before = 8
    stream = parts.cascade.reply(0, turn(), never)
    next(p for p in stream if isinstance(p, ReplyAudio))
    parts.cascade.settle(0, Heard(SECOND, CLAUSE_ONE, CLAUSE_TWO))
    before = parts.cascade.history
    parts.chat.gate.set()
    list(stream)
    assert (
        parts.cascade.history == before == (ChatExchange("Hello?", CLAUSE_ONE, interrupted=True),)
    )


def test_cancelling_stops_the_writing_soon() -> None:
    parts = Parts()
    parts.chat.gate_before = 8  # and never opened
    cancelled = threading.Event()
    stream = parts.cascade.reply(0, turn(), cancelled.is_set)
    next(p for p in stream if isinstance(p, ReplyAudio))
    cancelled.set()
    list(stream)
    assert parts.chat.stopped.wait(5)
    assert parts.voices["one"].said == [CLAUSE_ONE]


def test_closing_the_stream_stops_the_writing_too() -> None:
    parts = Parts()
    parts.chat.gate_before = 8
    stream = parts.cascade.reply(0, turn(), never)
    next(p for p in stream if isinstance(p, ReplyAudio))
    stream.close()  # type: ignore[attr-defined]
    assert parts.chat.stopped.wait(5)


def test_cancelled_before_anything_was_written() -> None:
    parts = Parts()
    assert list(parts.cascade.reply(0, turn(), lambda: True)) == []
    assert parts.chat.asked == []


def test_an_error_in_mid_reply_comes_after_what_was_made_and_is_survived() -> None:
    parts = Parts()
    parts.chat.error, parts.chat.error_after = ChatError("the endpoint hung up"), 9
    came: list[ReplyPart] = []

    def listen() -> None:
        for part in parts.cascade.reply(0, turn(), never):
            came.append(part)

    with pytest.raises(ChatError, match="hung up"):
        listen()
    assert [p.text for p in came if isinstance(p, ReplyAudio)] == [CLAUSE_ONE]
    parts.settle(0, SECOND, came, complete=False)
    parts.chat.error = None
    assert "".join(p.delta for p in parts.reply(1) if isinstance(p, ReplyText)) == WRITTEN
    assert parts.chat.asked[1][-2].content == CLAUSE_ONE.strip() + " …"


def test_errors_of_the_other_parts_come_through() -> None:
    parts = Parts()
    parts.voices["one"].error = SynthesizerError("hoarse")
    with pytest.raises(SynthesizerError, match="hoarse"):
        parts.reply()
    assert parts.chat.stopped.wait(5)


def test_a_clause_without_sound_is_counted_with_what_was_heard() -> None:
    parts = Parts("All is well here today. 😀")
    sound = SpokenPiece(np.zeros(2400, np.float32))
    parts.voices["one"].pieces = lambda clause, start: iter(  # type: ignore[method-assign]
        [sound] if "All" in clause else []
    )
    made = parts.reply()
    assert len([p for p in made if isinstance(p, ReplyAudio)]) == 1
    assert parts.settle(0, 2400, made).text == "All is well here today. 😀"


CODE = "```\nprint(1)\nprint(2)\n```"


def test_a_block_of_code_is_said_once_and_shown_whole() -> None:
    text = f"Look at this piece of code:\n{CODE}\nAnd then at this other one:\n{CODE}\nThat is all."
    parts = Parts(text)
    made = parts.reply()
    assert "".join(p.delta for p in made if isinstance(p, ReplyText)) == text
    assert [said for said in parts.voices["one"].said if "print" in said] == [CODE]
    assert parts.settle(0, 10**9, made).text == text


def test_words_without_sounds_are_told_once_and_shown() -> None:
    parts = Parts("It is called 巴黎 in Chinese. It is also called Москва, but not there. 好的。")
    made = parts.reply()
    (notice,) = [p for p in made if isinstance(p, ReplyNotice)]
    assert "“巴黎”" in notice.text
    assert "Москва" in "".join(p.delta for p in made if isinstance(p, ReplyText))


def test_thinking_aloud_is_not_remembered_nor_said_on() -> None:
    parts = Parts()

    def stream(messages: Sequence[Message], cancelled: object) -> Iterator[ChatPart]:
        yield "The user asks for something, which I must think about."
        yield ThoughtAloud()
        yield "It is Paris."

    parts.chat.stream = stream  # type: ignore[method-assign]
    made = parts.reply()
    assert parts.voices["one"].said[-1] == "It is Paris."
    assert [p.level for p in made if isinstance(p, ReplyNotice)] == ["warning"]
    parts.settle(0, 10**9, made)
    assert parts.cascade.history[0].assistant == "It is Paris."


def test_changing_the_voice_counts_from_the_next_reply() -> None:
    parts = Parts()
    parts.chat.gate_before = 8
    stream = parts.cascade.reply(0, turn(), never)
    first = next(p for p in stream if isinstance(p, ReplyAudio))
    parts.cascade.set_voice("two")
    assert parts.cascade.info.voice == "two"
    parts.chat.gate.set()
    assert {float(p.samples[0]) for p in [first, *stream] if isinstance(p, ReplyAudio)} == {0.5}
    assert {float(p.samples[0]) for p in parts.reply(1) if isinstance(p, ReplyAudio)} == {0.25}


def test_a_voice_that_does_not_load_changes_nothing() -> None:
    parts = Parts()
    parts.voices["two"].error = SynthesizerError("hoarse")
    with pytest.raises(SynthesizerError):
        parts.cascade.set_voice("two")
    assert parts.cascade.info.voice == "one"


def test_only_the_voices_used_last_stay_loaded() -> None:
    made: list[str] = []

    def voices(name: str) -> FakeSynthesizer:
        made.append(name)
        return FakeSynthesizer(0.5)

    cascade = Cascade(FakeChat(WRITTEN), voices, voice="1", prompt=Prompt("Be kind."))
    for name in ("2", "3", "1", "4", "5", "1", "2"):
        cascade.set_voice(name)
    assert made == ["1", "2", "3", "4", "5", "2"], "2 was dropped for 5, 1 was used since"


def test_the_history_is_read_ahead_of_the_next_turn() -> None:
    parts = Parts()
    parts.settle(0, 10**9, parts.reply())
    parts.cascade.close()  # waits for the reading
    assert parts.chat.prepared == [build_messages(parts.prompt, parts.cascade.history)]


def test_the_first_words_of_a_turn_are_read_with_the_history() -> None:
    parts = Parts()
    parts.cascade.read_ahead("Who is")
    assert parts.chat.prepared == [build_messages(parts.prompt, (), "Who is")]


def test_what_joins_the_history_while_it_is_read_is_read_too() -> None:
    parts, begun, release = Parts(), threading.Event(), threading.Event()
    prepare = parts.chat.prepare

    def slow(messages: Sequence[Message]) -> None:
        begun.set()
        assert release.wait(60)
        prepare(messages)

    parts.chat.prepare = slow  # type: ignore[method-assign]
    parts.cascade.remember(-1, "One?", "One.")
    assert begun.wait(60)
    for number in (-2, -3):
        parts.cascade.remember(number, "More?", "More.")
    release.set()
    end = time.monotonic() + 60
    while len(parts.chat.prepared) < 2 and time.monotonic() < end:
        time.sleep(0.001)
    assert parts.chat.prepared[-1] == build_messages(parts.prompt, parts.cascade.history)
    assert len(parts.cascade.history) == 3


def test_closing_does_not_wait_for_a_prompt_that_is_never_read() -> None:
    parts, release = Parts(), threading.Event()
    parts.chat.prepare = lambda messages: release.wait(60)  # type: ignore[method-assign]
    parts.settle(0, 10**9, parts.reply())
    closing = threading.Thread(target=parts.cascade.close)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    assert parts.chat.closed == 0  # it is in use
    release.set()


def test_a_long_conversation_stays_within_the_context() -> None:
    parts = Parts()
    for i in range(40):
        parts.settle(i, 10**9, parts.reply(i, f"Question number {i}?"))
    sizes = [sum(len(m.content) // 3 + 8 for m in asked) for asked in parts.chat.asked]
    assert max(sizes) <= parts.chat.context
    assert parts.chat.asked[-1][-1].content == "Question number 39?"
    assert parts.chat.asked[-1][-3].content == "Question number 38?"


def test_it_says_what_it_is_and_closes_twice() -> None:
    parts = Parts()
    stages: list[str] = []
    parts.cascade.warm_up(stages.append)
    assert len(stages) >= 2
    info = parts.cascade.info
    assert info.name == "lite"
    assert "fake chat" in info.description
    assert "stand-in for Covo-Audio" in info.description
    assert info.parts["synthesiser"] == "fake voice"
    parts.cascade.close()
    parts.cascade.close()
    assert parts.voices["one"].said[-1] == "(closed)"


def test_a_chat_model_that_never_returns_is_left_alone_on_closing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("model.lite.cascade.CLOSE_S", 0.05)
    parts, forever = Parts(), threading.Event()
    reading = threading.Event()

    def read(messages: Sequence[Message]) -> None:
        reading.set()
        forever.wait()

    monkeypatch.setattr(parts.chat, "prepare", read)
    made = parts.reply()
    parts.settle(0, 10**9, made)
    assert reading.wait(10)
    parts.cascade.close()
    assert parts.chat.closed == 0  # it may be inside of the library
    forever.set()


def test_the_last_reply_is_cut_again_and_no_earlier_one() -> None:
    parts = Parts()
    parts.settle(1, 10**9, parts.reply(1))
    parts.settle(2, 10**9, parts.reply(2))
    before = parts.cascade.history
    parts.cascade.settle(1, Heard(0, "", "all of it"))
    assert parts.cascade.history == before
    parts.cascade.settle(2, Heard(0, "One", " and the rest"))
    assert parts.cascade.history[0] == before[0]
    assert parts.cascade.history[1] == ChatExchange(before[1].user, "One", interrupted=True)


def test_text_joins_the_history_and_a_new_conversation_has_none() -> None:
    parts = Parts()
    parts.cascade.remember(-1, "Who are you?", "Nobody.")
    parts.cascade.set_persona("You are a pirate.")
    parts.cascade.set_voice("two")
    parts.settle(1, 10**9, parts.reply(1))
    said = [m.content for m in parts.chat.asked[-1]]
    assert said[0] == "You are a pirate."
    assert "Who are you?" in said
    assert "Nobody." in said
    parts.cascade.forget(-1)
    assert [old.number for old in parts.cascade.history] == [1]
    parts.cascade.start_over()
    assert parts.cascade.history == ()
    assert parts.cascade.info.voice == "one"
    parts.reply(2)
    assert parts.chat.asked[-1] == build_messages(parts.prompt, (), turn().text)


@pytest.mark.parametrize("spoken", [("en",), ("zh", "en"), ("es",)])
def test_what_the_voice_speaks_and_the_model_writes_is_told(spoken: tuple[str, ...]) -> None:
    voice = FakeSynthesizer()
    voice.languages = spoken
    prompt = Prompt("", languages=("en",))
    cascade = Cascade(FakeChat("Hi."), {"one": voice}.__getitem__, voice="one", prompt=prompt)
    assert (cascade.info.languages, cascade.info.writes) == (spoken, ("en",))
