"""One llama.cpp server for several users, and tools for GGUF files whose template knows them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from covo_cli.engines.engines import outlook_model
from covo_cli.settings.settings import load_settings, models_dir
from model.errors import ChatError, EndOfTurnError
from model.lite import CHAT_FILE, choose_chat, llama
from model.lite.chat import ChatSampling, LlamaChat, Message, ToolCallingChat, ToolCallingLlama
from model.lite.llama import LlamaModel
from model.lite.outlook import SmolOutlook
from model.reply import ReplyNotice, ReplyPart
from model.weights.packages import WeightStore
from tests.model.lite.fake_llama import KNOWS_TOOLS, FakeLlama, served
from tests.model.lite.tiny_gguf import PLAIN_TEMPLATE, TOOL_TEMPLATE, write_tiny
from tests.model.tools.tool_talks import ToolTalk, calling, results, saying, tool, words

HELLO = [Message("user", "Hello.")]
ON = {"state": "on"}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLlama]:
    with served(FakeLlama(), monkeypatch) as server:
        yield server


def both(path: Path = Path("tiny.gguf")) -> tuple[LlamaChat, SmolOutlook]:
    model = LlamaModel(path, pinned=True)
    sampling = ChatSampling(temperature=0.0, max_tokens=40)
    return LlamaChat(model, sampling, context=1000), SmolOutlook(model)


def test_a_file_is_loaded_once_for_writing_and_weighing(fake: FakeLlama) -> None:
    chat, outlook = both()
    outlook.load()
    chat.prepare(HELLO)
    assert (fake.started["slots"], fake.started["context"]) == (2, 1000)
    # The weighing comes first in a batch: it does not wait for all of a long prompt.
    assert [request["id_slot"] for request in fake.weighed] == [0]
    assert [request["id_slot"] for request in fake.asked] == [1]
    assert all(request["cache_prompt"] for request in (*fake.asked, *fake.weighed))


def test_words_are_weighed_while_a_reply_is_written(fake: FakeLlama) -> None:
    chat, outlook = both()
    outlook.load()
    fake.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(list, chat.stream(HELLO, lambda: False))
        assert fake.began.wait(5)
        assert outlook.outlook("Where is it?", "").ends < 0
        assert not reply.done()
        fake.gate.set()
        assert reply.result() == ["Hello."]


def test_the_last_user_frees_the_file(fake: FakeLlama) -> None:
    chat, outlook = both()
    outlook.load()
    outlook.close()
    outlook.close()
    with pytest.raises(EndOfTurnError, match="closed"):
        outlook.outlook("And then", "")
    assert list(chat.stream(HELLO, lambda: False)) == ["Hello."]
    assert fake.loaded() is not None
    chat.close()
    assert fake.loaded() is None
    with pytest.raises(ChatError, match="closed"):
        chat.load()


def test_a_file_that_is_busy_at_closing_is_freed_after_that(
    fake: FakeLlama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama, "_CLOSE_S", 0.01)
    chat, outlook = both()
    outlook.load()
    fake.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(list, chat.stream(HELLO, lambda: False))
        assert fake.began.wait(5)
        outlook.close()
        chat.close()
        assert fake.loaded() is not None
        fake.gate.set()
        assert isinstance(reply.exception(5), ChatError)  # nothing was written
    assert fake.loaded() is None


def test_users_leave_while_another_loads_and_the_last_one_frees_the_file(
    fake: FakeLlama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama, "_CLOSE_S", 0.01)
    start, began, gate = llama.start_server, threading.Event(), threading.Event()

    def slowly(path: Path, **about: Any) -> object:
        began.set()
        assert gate.wait(10)
        return start(path, **about)

    monkeypatch.setattr(llama, "start_server", slowly)
    chat, outlook = both()
    with ThreadPoolExecutor(2) as pool:
        loading = pool.submit(outlook.load)
        assert began.wait(5)
        try:
            for user in (chat, outlook):
                pool.submit(user.close).result(2)
        finally:
            gate.set()
        assert isinstance(loading.exception(5), EndOfTurnError)
    assert fake.started
    assert fake.loaded() is None


def test_nobody_joins_a_file_that_is_loaded(fake: FakeLlama) -> None:
    chat, _ = both()
    chat.load()
    with pytest.raises(ChatError, match="tiny is loaded already"):
        SmolOutlook(chat.model)


def test_only_the_embedded_chat_model_is_shared(tmp_path, monkeypatch) -> None:
    embedded, own = tmp_path / CHAT_FILE, tmp_path / "own.gguf"
    own.write_bytes(b"GGUF")
    monkeypatch.setattr(WeightStore, "path", lambda *about: embedded)
    settings = load_settings()
    table = (
        # chat model, endpoint, slots of the file that weighs
        ("", "", 2),
        (str(own), "", 1),
        ("tiny", "http://localhost:1", 1),
    )
    for model, url, slots in table:
        with served(FakeLlama(), monkeypatch) as fake:
            chat, _ = choose_chat(WeightStore(tmp_path), model, url, None)
            outlook = outlook_model(settings, chat)
            assert outlook is not None
            outlook.load()
            assert (fake.started["path"], fake.started["slots"]) == (embedded, slots)


@pytest.fixture(scope="module")
def smol() -> Iterator[tuple[LlamaChat, SmolOutlook]]:
    weights = WeightStore(models_dir(load_settings()))
    chat, outlook = both(weights.path("smollm2-135m", CHAT_FILE))
    yield chat, outlook
    chat.close()
    outlook.close()


@pytest.mark.weights
def test_writing_beside_it_does_not_change_what_is_weighed(smol) -> None:
    chat, outlook = smol
    texts = ("Where is it?", "I was going to the", "Please stop it.")
    alone = [outlook.outlook(text, "") for text in texts]
    story = [Message("user", "Tell me a story about the sea.")]
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(list, chat.stream(story, lambda: False))
        beside = [outlook.outlook(text, "") for text in texts]
        assert len(reply.result()) > 10
    for one, other in zip(alone, beside, strict=True):
        assert one == other


def tool_chat(path: str = "tiny.gguf") -> ToolCallingLlama:
    return ToolCallingLlama(LlamaModel(Path(path)), ChatSampling(), context=4096)


def test_a_gguf_file_whose_template_knows_tools_uses_them(monkeypatch) -> None:
    seen: list[object] = []
    lamp = tool(run=lambda arguments: seen.append(arguments) or "it is on")
    answers = ([*saying("Let me see."), *calling("lamp", ON)], saying("It is on."), saying("Yes."))
    with served(FakeLlama(answers, {"chat_template_caps": KNOWS_TOOLS}), monkeypatch) as fake:
        talk = ToolTalk(tool_chat(), [lamp])
        talk.cascade.warm_up(lambda stage: None)
        parts = talk.say("Switch the lamp on.")
        assert (seen, results(parts)) == ([ON], [("done", "it is on")])
        assert words(parts) == "Let me see. It is on."
        talk.say("Is it?")
        talk.cascade.close()
    # What is read ahead begins as the reply does: with the tools.
    assert {tuple(names) for names in fake.offered} == {("lamp",)}
    replies = [request for request in fake.asked if request["max_tokens"] > 1]
    assert [m["role"] for m in replies[1]["messages"]] == ["user", "assistant", "tool"]
    [call] = replies[1]["messages"][1]["tool_calls"]
    assert call["function"] == {"name": "lamp", "arguments": '{"state": "on"}'}
    assert replies[1]["messages"][2]["tool_call_id"] == call["id"]
    assert len(replies) == 3


@pytest.mark.parametrize(
    "properties",
    [
        {"chat_template_caps": {**KNOWS_TOOLS, "supports_tools": False}},
        {"chat_template_caps": {"supports_tools": True}},
        {"chat_template_caps": 5},
        {},
        [],
    ],
)
def test_a_template_without_tools_is_told_once_and_answers(monkeypatch, properties) -> None:
    with served(FakeLlama([saying("Sure.")], properties), monkeypatch) as fake:
        talk = ToolTalk(tool_chat(), [tool()])
        told = []
        for _ in range(2):
            parts = talk.say("Switch the lamp on.")
            assert words(parts) == "Sure."
            told += [part for part in parts if isinstance(part, ReplyNotice)]
        talk.cascade.close()
    assert told == [ReplyNotice("warning", "tiny cannot call tools: it answers without")]
    assert not any(fake.offered)


def test_a_template_that_could_not_be_asked_about_is_asked_about_again(monkeypatch) -> None:
    answers = [saying("Sure."), saying("Sure.")]
    with served(FakeLlama(answers, properties=None), monkeypatch) as fake:
        talk = ToolTalk(tool_chat(), [tool()])
        [told] = [part for part in talk.say("Hello.") if isinstance(part, ReplyNotice)]
        assert told.text.startswith("tiny answers without tools")
        assert not any(fake.offered)
        fake.properties = {"chat_template_caps": KNOWS_TOOLS}
        parts = talk.say("Switch the lamp on.")
        talk.cascade.close()
    assert not [part for part in parts if isinstance(part, ReplyNotice)]
    [_, last] = [request for request in fake.asked if request["max_tokens"] > 1]
    assert [offered["function"]["name"] for offered in last["tools"]] == ["lamp"]


def test_llama_cpp_itself_reads_the_template_and_the_call(tmp_path) -> None:
    switched: list[object] = []
    lamp = tool(run=lambda arguments: switched.append(arguments) or "it is on")

    def said(template: str) -> list[ReplyPart]:
        file = write_tiny(tmp_path / "tiny.gguf", template)
        model = LlamaModel(file, threads=1, pinned=True)
        talk = ToolTalk(ToolCallingLlama(model, ChatSampling(), context=512), [lamp])
        try:
            return talk.say("Switch the lamp on.")
        finally:
            talk.cascade.close()

    parts = said(TOOL_TEMPLATE)
    assert (switched, results(parts)) == ([ON], [("done", "it is on")])
    assert words(parts) == "It is on."
    parts = said(PLAIN_TEMPLATE)
    assert words(parts) == "It is on."
    assert [part.text for part in parts if isinstance(part, ReplyNotice)] == [
        "tiny cannot call tools: it answers without"
    ]
    assert switched == [ON]


def test_the_embedded_model_is_given_no_tools(tmp_path, monkeypatch) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF")
    monkeypatch.setattr(WeightStore, "path", lambda *about: tmp_path / CHAT_FILE)
    weights = WeightStore(tmp_path)
    assert not isinstance(choose_chat(weights, "", "", None)[0], ToolCallingChat)
    assert isinstance(choose_chat(weights, str(own), "", None)[0], ToolCallingChat)
