"""The Covo-Audio engine on the tiny golden network: it speaks noise, but all of it is real."""

from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")

from audio_io.signal import Position
from model.covo.conversation.dialogue import Dialogue, DialogueSettings
from model.covo.conversation.dialogue_parts import ReplyEnd
from model.covo.conversation.generator import LoadedNetwork
from model.covo.language.sampling import SamplingSettings
from model.covo.loading.assemble import CovoModel, NetworkSettings, build_generator
from model.covo.speech.token2wav import Token2Wav
from model.covo.speech.voice_catalogue import VoiceCatalogue
from model.engine import Frame, SayText
from model.errors import ModelError, NetworkConfigError, NetworkMemoryError
from model.events import (
    AssistantAudio,
    AssistantText,
    Notice,
    ReplyFinished,
    StateChanged,
    UserTranscript,
)
from model.jobs.virtual_executor import VirtualExecutor
from model.playback.spoken_text import SpokenText
from model.reply import Heard, ReplyAudio, ReplyNotice, ReplyText, UserTurn
from model.turns.controller import TurnTakingEngine
from model.turns.turn_settings import HumSettings, TurnSettings
from tests.fakes.engine import FakeClock, FakeRecognizer, LevelDetector, silence, speech
from tests.fakes.voices import COVO, make_pack, save_prompt
from tests.model.covo.covo_model import VOICE, covo_folder
from voices.errors import VoiceError
from voices.store import VoiceStore

TOKENS = 60
AT_LIMIT = f"the reply was cut at its limit of {TOKENS} tokens; raise covo.reply_tokens"
SETTINGS = NetworkSettings(
    device="cpu",
    reply_tokens=TOKENS,
    sampling=SamplingSettings(temperature=1.5),
    context_minutes=1.0,
    flow_steps=1,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return covo_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(folder):
    return CovoModel(folder, SETTINGS)


@pytest.fixture(scope="module")
def loaded(model):
    """What is loaded once for all tests: decoder and token2wav."""
    dialogue = model.load_dialogue(VOICE, lambda stage: None)
    return dialogue, model.load_speech(lambda stage: None)


@pytest.fixture
def store(tmp_path):
    return VoiceStore(tmp_path / "voices")


@pytest.fixture
def make(model, loaded, store):
    made = []

    def make(*, text_only=False, tokens=TOKENS, loudness=0.0):
        warm, speaking = loaded
        catalogue = VoiceCatalogue(model.folder, store.names(), store.get)
        settings = replace(SETTINGS, text_only=text_only, loudness=loudness)
        chosen = CovoModel(model.folder, settings)
        generator = build_generator(chosen, catalogue)
        warm._decoder.rewind(0)
        dialogue = Dialogue(
            warm._network,
            warm._decoder,
            model.tokenizer,
            model.system,
            None if text_only else VOICE,
            DialogueSettings(SETTINGS.sampling, limit=tokens, text_only=text_only),
        )
        # As after warm_up(), without loading anything twice.
        generator._loaded = LoadedNetwork(dialogue, None if text_only else speaking)
        made.append(generator)
        return generator

    yield make
    for generator in made:
        generator.close()


def spoken(seed=0, seconds=0.5):
    noise = np.random.default_rng(seed).normal(0, 0.1, round(16_000 * seconds))
    return UserTurn(noise.astype(np.float32))


def never():
    return False


def sound(parts):
    return sum(len(part.samples) for part in parts if isinstance(part, ReplyAudio))


def text(parts):
    return "".join(part.delta for part in parts if isinstance(part, ReplyText))


def whole(parts):
    """All of it was heard."""
    return Heard(sound(parts), text(parts), "")


def dialogue_of(generator):
    return generator._loaded.dialogue


def codes_in(exchange):
    return sum(token >= 540 for token in exchange.reply)


def test_a_turn_is_answered_in_text_and_sound(make, model, loaded):
    generator = make()
    parts = list(generator.reply(1, spoken(), never))
    generator.settle(1, whole(parts))
    (exchange,) = dialogue_of(generator).exchanges
    token2wav: Token2Wav = loaded[1].token2wav
    prompt = generator._voice.prompt
    assert sound(parts) == token2wav.samples(codes_in(exchange), prompt) > 0
    assert len(exchange.reply) == TOKENS + 1
    assert max(float(np.abs(p.samples).max()) for p in parts if isinstance(p, ReplyAudio)) <= 1


def test_a_reply_is_softer_by_the_wanted_decibels(make):
    waves = []
    for loudness in (0.0, -6.0):
        generator = make(loudness=loudness)
        parts = list(generator.reply(1, spoken(), never))
        generator.settle(1, whole(parts))
        waves.append(np.concatenate([p.samples for p in parts if isinstance(p, ReplyAudio)]))
    np.testing.assert_allclose(waves[1], 0.50119 * waves[0], rtol=1e-4, atol=1e-7)


def test_what_was_heard_is_what_stays(make, loaded):
    generator, token2wav = make(), loaded[1].token2wav
    prompt = generator._voice.prompt
    for codes in (1, 2, 7, 50):
        samples = token2wav.samples(codes, prompt)
        assert token2wav.codes(samples, prompt) == codes
        assert token2wav.codes(samples - 1, prompt) == codes - 1
    assert token2wav.codes(0, prompt) == 0

    parts = list(generator.reply(1, spoken(), never))
    written = SpokenText()
    written.write(text(parts))
    for part in parts:
        if isinstance(part, ReplyAudio):
            written.say(len(part.samples), part.text)
    heard = written.split(token2wav.samples(9, prompt))
    generator.settle(1, heard)
    (exchange,) = dialogue_of(generator).exchanges
    assert codes_in(exchange) == 9
    assert heard.text + heard.unheard == text(parts)
    assert heard.unheard
    assert heard.text.startswith(dialogue_of(generator)._tokenizer.decode(exchange.reply))


def test_a_speculation_that_is_thrown_away_never_happened(make):
    generator = make()
    parts = list(generator.reply(1, spoken(), never))
    generator.settle(1, None)
    generator.settle(1, whole(parts))  # once is enough
    assert dialogue_of(generator).exchanges == ()


def test_a_cancelled_reply_is_settled_and_followed_by_another(make):
    generator = make(tokens=2000)
    stop = threading.Event()
    parts = []
    for part in generator.reply(1, spoken(), stop.is_set):
        parts.append(part)
        if isinstance(part, ReplyAudio):
            stop.set()
    generator.settle(1, whole(parts))
    (exchange,) = dialogue_of(generator).exchanges
    assert 0 < codes_in(exchange) < 1000
    stop.clear()
    again = generator.reply(2, spoken(1), stop.is_set)
    assert isinstance(next(again), ReplyText | ReplyAudio)
    again.close()


def test_everything_is_decoded_on_one_thread(make, model, loaded, monkeypatch):
    """Where the libraries keep their handles and plans: from the warm-up on, reply after reply."""
    threads = []

    def spied(name):
        usual = getattr(Dialogue, name)

        def spy(*given):
            threads.append((name, threading.current_thread().name, threading.get_ident()))
            return usual(*given)

        monkeypatch.setattr(Dialogue, name, spy)

    for name in ("warm_up", "_stream", "prepare"):
        spied(name)
    generator = make()
    dialogue, generator._loaded = dialogue_of(generator), None
    generator._load = lambda voice, progress: LoadedNetwork(dialogue, None)
    generator.warm_up(lambda stage: None)
    for number in (1, 2):
        parts = list(generator.reply(number, spoken(number), never))
        generator.settle(number, whole(parts))
    generator._decoding.run(lambda: None)  # the last preparation is done
    answered = ["_stream", "prepare"]
    assert [name for name, *_ in threads] == ["warm_up", *answered, *answered, *answered]
    assert {thread for _, thread, _ in threads} == {"covo-decode"}
    assert len({ident for *_, ident in threads}) == 1


def test_a_reply_that_nobody_reads_gives_way_to_the_next(make, monkeypatch):
    monkeypatch.setattr("model.covo.conversation.generator._GROUPS_AHEAD", 1)
    generator = make(tokens=2000)
    unread = generator.reply(1, spoken(), never)
    next(unread)
    parts = []
    reading = threading.Thread(
        target=lambda: parts.append(next(generator.reply(2, spoken(1), never))), daemon=True
    )
    reading.start()
    reading.join(60)
    assert len(parts) == 1
    unread.close()


def test_closing_does_not_wait_for_a_network_that_never_returns(make, monkeypatch):
    generator, stuck, go_on = make(), threading.Event(), threading.Event()
    monkeypatch.setattr("model.covo.conversation.generator.CLOSE_S", 0.1)

    def never_returns(reply, cancelled):
        stuck.set()
        go_on.wait()
        yield from ()

    monkeypatch.setattr(dialogue_of(generator), "stream", never_returns)
    replying = threading.Thread(
        target=lambda: list(generator.reply(1, spoken(), never)), daemon=True
    )
    replying.start()
    assert stuck.wait(60)
    closing = threading.Thread(target=generator.close, daemon=True)
    closing.start()
    closing.join(60)
    try:
        assert not closing.is_alive()
    finally:
        go_on.set()


def test_a_typed_turn(make):
    parts = list(make().reply(1, UserTurn(np.zeros(0, np.float32), "Hello."), never))
    assert sound(parts) > 0


def test_a_reply_says_that_it_was_cut_at_its_limit(make):
    parts = list(make().reply(1, spoken(), never))
    assert ReplyNotice("warning", AT_LIMIT) in parts


def test_what_went_wrong_while_preparing_is_said_with_the_next_reply(make, monkeypatch):
    generator = make()
    parts = list(generator.reply(1, spoken(), never))

    def fail():
        raise RuntimeError("out of memory")

    monkeypatch.setattr(dialogue_of(generator), "prepare", fail)
    generator.settle(1, whole(parts))
    generator._decoding.run(lambda: None)  # it is done
    told = ReplyNotice("warning", "preparing the next reply failed: RuntimeError: out of memory")
    assert [next(generator.reply(n, spoken(n), never)) == told for n in (2, 3)] == [True, False]


def test_it_can_only_write(make):
    generator = make(text_only=True)
    assert not generator.info.speaks
    parts = list(generator.reply(1, spoken(), never))
    assert (sound(parts), bool(text(parts))) == (0, True)
    generator.settle(1, whole(parts))
    (exchange,) = dialogue_of(generator).exchanges
    assert len(exchange.reply) > 1  # what is written is read
    with pytest.raises(ModelError, match="only writes"):
        generator.set_voice(VOICE)


def test_the_last_reply_is_cut_again(make):
    generator = make()
    for number in (1, 2):
        parts = list(generator.reply(number, spoken(), never))
        generator.settle(number, whole(parts))
    first, second = dialogue_of(generator).exchanges
    generator.settle(1, Heard(0, "", text(parts)))
    generator.settle(2, Heard(0, "", text(parts)))
    cut = dialogue_of(generator).exchanges
    assert cut[0] is first
    assert cut[1].turn is second.turn
    assert len(cut[1].reply) == 1  # its end


def test_history_and_persona_of_a_conversation_end_with_it(make):
    generator = make()
    before = list(generator.reply(1, spoken(), never))
    generator.settle(1, whole(before))
    generator.set_persona("You are a pirate.")
    generator.remember(-1, "hello", "hi there")
    dialogue = dialogue_of(generator)
    assert "pirate" in dialogue._tokenizer.decode(dialogue._segments(())[0].ids)
    assert [old.number for old in dialogue.exchanges] == [1, -1]
    assert "hi there" in dialogue._tokenizer.decode(dialogue.exchanges[1].reply)
    generator.forget(1)
    assert [old.number for old in dialogue.exchanges] == [-1]
    generator.start_over()
    assert dialogue.exchanges == ()
    again = list(generator.reply(2, spoken(), never))
    assert (text(again), sound(again)) == (text(before), sound(before))


# Voices


TINY_VOICE = {
    "token": np.arange(6, dtype=np.int64)[None],
    "latent": np.zeros((1, 27, 8), np.float32),
    "embedding": np.zeros((1, 16), np.float32),
}


def test_a_voice_pack_takes_over_between_replies(make, store, tmp_path):
    pack = make_pack(tmp_path / "mine", parts=COVO)
    save_prompt(pack, **TINY_VOICE)
    name = store.add(pack).name
    generator = make()
    first = list(generator.reply(1, spoken(), never))
    generator.settle(1, whole(first))
    generator.set_voice(name)
    assert generator.info.voice == name
    list(generator.reply(2, spoken(1), never))
    system = dialogue_of(generator)._segments(())[0]
    speaker = store.get(name).covo.speaker
    assert speaker in dialogue_of(generator)._tokenizer.decode(system.ids)


def test_voices_that_do_not_fit(make, store, tmp_path):
    name = store.add(make_pack(tmp_path / "big", parts=COVO)).name
    generator = make()
    with pytest.raises(VoiceError, match=rf"the voice {name}: .*expected"):
        generator.set_voice(name)
    with pytest.raises(VoiceError, match=f"no voice called 'nobody'; it has: {VOICE}, {name}"):
        generator.set_voice("nobody")
    assert generator.info.voice == VOICE


def test_a_voice_of_the_embedded_engine_is_none_of_covo_audio(model):
    builtin = VoiceStore()
    catalogue = VoiceCatalogue(model.folder, builtin.names(), builtin.get)
    assert catalogue.names() == (VOICE,)
    with pytest.raises(VoiceError, match="heart is for lite, not for Covo-Audio"):
        catalogue.load("heart", model.speech_config.flow)


def test_a_cropped_voice(folder):
    settings = NetworkSettings(device="cpu", voice_prompt_seconds=0.2)
    model = CovoModel(folder, settings)
    catalogue = VoiceCatalogue(folder, (), VoiceStore().get)
    assert len(model.voice(catalogue, "").prompt.codes) == 5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_reply_on_a_gpu_finds_everything_ready(folder, monkeypatch):
    """After the warm-up no graph is captured, and no library makes a handle with its workspace."""
    model = CovoModel(folder, replace(SETTINGS, device="cuda", precision="bf16"))
    generator = build_generator(model, VoiceCatalogue(folder, (), VoiceStore().get))
    generator.warm_up(lambda stage: None)
    captured, graph = [], torch.cuda.CUDAGraph
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda *given: captured.append(1) or graph(*given))
    held = []
    for number in (1, 2):
        parts = list(generator.reply(number, spoken(number), never))
        assert sound(parts) > 0
        generator.settle(number, whole(parts))
        generator._decoding.run(torch.cuda.synchronize)
        held.append(torch.cuda.memory_allocated())
    generator.close()
    assert captured == []
    assert held[1] - held[0] < 2**22  # a handle's workspace is 8 MiB or more


# What is refused before anything is loaded


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (NetworkSettings(device="cpu", precision="int3"), NetworkConfigError, "int3"),
        (NetworkSettings(device="cpu", token2wav_precision="int8"), NetworkConfigError, "int8"),
        (NetworkSettings(device="abacus"), NetworkConfigError, "abacus"),
        (NetworkSettings(device="cpu", context_minutes=1e9), NetworkMemoryError, "GB free"),
    ],
)
def test_settings_that_cannot_be(folder, settings, error, message):
    with pytest.raises(error, match=message):
        CovoModel(folder, settings)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(NetworkConfigError, match=r"config\.json"):
        CovoModel(tmp_path, SETTINGS)


def test_what_only_writes_is_not_refused_for_the_memory_of_speech(folder, monkeypatch):
    settings = replace(SETTINGS, text_only=True)
    enough = CovoModel(folder, settings).plan.total
    monkeypatch.setattr("model.covo.loading.assemble.free_memory", lambda device: enough)
    assert CovoModel(folder, settings).plan.total == enough
    with pytest.raises(NetworkMemoryError, match="with token2wav in fp32"):
        CovoModel(folder, SETTINGS)


# In a conversation


def converse(generator, audio, commands=(), words="hello"):
    """The events of a conversation in which the user says ``audio`` and every reply is heard."""
    clock = FakeClock()
    recognizer = FakeRecognizer(clock, lambda audio: words)
    engine = TurnTakingEngine(
        generator, LevelDetector(), VirtualExecutor(clock), recognizer=recognizer
    )
    for command in commands:
        engine.command(command)
    events, queued, played, reply = [], 0, 0, -1
    whole = np.concatenate(audio)
    for start in range(0, len(whole), 320):
        if queued > played:
            played = min(queued, played + 480)
        for event in engine.process(
            Frame(start, whole[start : start + 320], Position(reply, played))
        ):
            events.append(event)
            if isinstance(event, AssistantAudio):
                if event.reply != reply:
                    reply, queued, played = event.reply, 0, 0
                queued += len(event.samples)
    return events


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def test_a_conversation_shows_the_words_and_the_notices(make):
    events = converse(make(), [silence(0.2), speech(1), silence(4)], words="my words")
    finals = [event.text for event in of(events, UserTranscript) if event.final]
    assert finals == ["my words"]
    assert [event.text for event in of(events, Notice)] == [AT_LIMIT]
    (finished,) = of(events, ReplyFinished)
    assert finished.text == "".join(event.delta for event in of(events, AssistantText))
    assert sum(len(event.samples) for event in of(events, AssistantAudio)) > 0


def test_it_says_at_the_start_that_it_cannot_hum(make):
    settings = TurnSettings(humming=HumSettings())
    engine = TurnTakingEngine(make(), LevelDetector(), VirtualExecutor(FakeClock()), settings)
    (notice,) = of(engine.process(Frame(0, silence(0.02))), Notice)
    assert "no backchannels: the voice of covo" in notice.text
    assert of(engine.process(Frame(320, silence(0.02))), Notice) == []


def test_a_conversation_that_is_only_written(make):
    events = converse(make(text_only=True), [silence(0.2), speech(1), silence(2)])
    assert of(events, AssistantAudio) == []
    (finished,) = of(events, ReplyFinished)
    assert finished.text == "".join(event.delta for event in of(events, AssistantText)) != ""


def test_a_turn_that_cannot_be_heard_is_said_and_the_conversation_goes_on(make):
    bad = np.full(16_000, np.nan, np.float32)
    events = converse(make(), [silence(0.2), bad, silence(2), speech(1), silence(4)])
    assert "not numbers" in of(events, Notice)[0].text
    assert len(of(events, ReplyFinished)) == 1
    assert of(events, StateChanged)[-1].state == "listening"


def test_a_typed_question_in_a_conversation(make):
    events = converse(make(), [silence(4)], [SayText("Hello?")])
    assert [event.text for event in of(events, UserTranscript)] == ["Hello?"]
    assert len(of(events, ReplyFinished)) == 1


@pytest.mark.parametrize("part", ["decoding", "speech"])
def test_a_bug_in_the_network_costs_one_reply(make, monkeypatch, caplog, part):
    generator = make()
    network = generator._loaded
    owner, name = {
        "decoding": (network.dialogue._decoder, "generate"),
        "speech": (network.speech.token2wav.token2latent, "solve"),
    }[part]
    real, calls = getattr(owner, name), []

    def once_broken(*args, **kwargs):
        calls.append(name)
        if len(calls) == 1:
            raise RuntimeError(f"a bug in {part}")
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, once_broken)
    events = converse(generator, [silence(0.2), speech(1), silence(3), speech(1), silence(4)])
    (told,) = [event.text for event in of(events, Notice) if event.level == "error"]
    assert f"RuntimeError: a bug in {part}" in told
    assert f"RuntimeError: a bug in {part}" in caplog.text
    assert "Traceback" in caplog.text
    assert len(of(events, ReplyFinished)) == 1
    assert of(events, StateChanged)[-1].state == "listening"


def test_conversations_on_one_model_share_its_weights_and_no_history(folder):
    model = CovoModel(folder, replace(SETTINGS, sessions=2))
    first, second = (model.load_dialogue(VOICE, lambda stage: None) for _ in range(2))
    assert first._network is second._network
    speaking = [model.load_speech(lambda stage: None) for _ in range(2)]
    assert speaking[0].token2wav is speaking[1].token2wav
    alone = CovoModel(folder, SETTINGS).load_dialogue(VOICE, lambda stage: None)
    assert alone._network is not first._network

    def parts(dialogue, text):
        return dialogue.stream(dialogue.begin(text=text), lambda: False)

    def said(streamed):
        return [part for part in streamed if not isinstance(part, ReplyEnd)]

    other = parts(second, "good evening, and how are you")
    interleaved = []
    for part in parts(first, "hello"):
        interleaved.append(part)
        next(other, None)
    assert said(interleaved) == said(parts(alone, "hello"))
    network = weakref.ref(first._network)
    del first, second, other, speaking
    gc.collect()
    assert network() is None  # freed with the last of its users, although the model is held
