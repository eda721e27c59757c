"""The language model of the end of turns, with its real weights."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from covo_cli.settings.settings import load_settings, models_dir
from model.errors import EndOfTurnError
from model.lite import CHAT_FILE
from model.lite.llama import LlamaModel
from model.lite.outlook import SmolOutlook
from model.weights.packages import WeightStore

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def reader() -> Iterator[SmolOutlook]:
    weights = WeightStore(models_dir(load_settings()))
    model = SmolOutlook(LlamaModel(weights.path("smollm2-135m", CHAT_FILE), pinned=True))
    model.load()
    yield model
    model.close()


@pytest.mark.parametrize(
    ("whole", "broken"),
    [
        ("Who did she go with?", "Who did she go to the"),
        ("I'd be happy to.", "I'd be happy to see"),
        ("Please switch it off.", "Please switch off the"),
        ("We moved here in spring.", "We moved here because"),
    ],
)
def test_a_whole_sentence_is_likelier_to_end(reader, whole, broken):
    assert reader.outlook(whole, "").ends > reader.outlook(broken, "").ends + 1


def test_the_mark_at_the_end_does_not_decide_whether_it_ends(reader):
    bare, marked = (reader.outlook(f"I was going to the{mark}", "") for mark in ("", "."))
    assert bare.ends == pytest.approx(marked.ends, abs=0.01)


def test_an_answer_is_likelier_to_end_after_its_question(reader):
    alone = reader.outlook("Two, a boy and a girl.", "")
    asked = reader.outlook("Two, a boy and a girl.", "How many children do you have?")
    assert asked.ends > alone.ends


def test_a_question_closes_a_message_rather_than_an_announcement(reader):
    announced = reader.outlook("Here is what happened next.", "")
    assert reader.outlook("What happened next?", "").closes > announced.closes + 0.5


def test_reading_ahead_writes_one_token_and_changes_no_outlook(reader, monkeypatch):
    words = "We were told to wait for the next train."
    alone = reader.outlook(words, "")
    chunks: list[dict] = []
    complete = reader._complete
    monkeypatch.setattr(reader, "_complete", lambda *asked: chunks.extend(complete(*asked)))
    reader.read_ahead("And what is that?", "")
    reader.read_ahead("We were told to", "")
    monkeypatch.undo()
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [1, 1]
    reader._last = None
    ahead = reader.outlook(words, "")
    assert ahead.ends == pytest.approx(alone.ends, abs=0.05)
    assert ahead.closes == pytest.approx(alone.closes, abs=0.05)


def test_words_that_were_weighed_are_not_read_again(reader, monkeypatch):
    first = reader.outlook("We were told to wait.", "")
    monkeypatch.setattr(reader, "_followers", lambda *_: pytest.fail("read again"))
    assert reader.outlook("We were told to wait.", "") == first


def test_only_the_end_of_a_long_message_is_read(reader):
    long = reader.outlook("and then we went on " * 400 + "to the", "word " * 2000)
    assert long.ends < -2


def test_calls_at_the_same_time_do_not_disturb_each_other(reader):
    texts = ["Where is it?", "I was going to the", "Stop it.", "Because of"] * 2
    alone = [reader.outlook(text, "") for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: reader.outlook(text, ""), texts))
    for one, other in zip(alone, together, strict=True):
        assert one.ends == pytest.approx(other.ends, abs=0.05)


def test_failures_are_told(tmp_path: Path):
    missing = SmolOutlook(LlamaModel(tmp_path / "missing.gguf"))
    with pytest.raises(EndOfTurnError, match="the language model failed"):
        missing.load()
    missing.close()
    with pytest.raises(EndOfTurnError, match="closed"):
        missing.outlook("Hello.", "")
