"""The full-duplex engine on a network that really takes turns, on the virtual clock.

``tests/duplex_tones`` was trained by ``covo train duplex`` on synthetic tones (docs/duplex.md).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from audio_io.clock import ASSISTANT_RATE, FRAME
from model.covo.loading.assemble import NetworkSettings
from model.duplex.assemble import DuplexAssistant, DuplexModel
from model.duplex.engine import DuplexEngine
from model.duplex.network.loop import DuplexLoop
from model.duplex.network.speech import ReplySound, ToneSpeech
from model.duplex.network.tone_codec import codes_of
from model.duplex.protocol.sequence import SILENCE as S
from model.duplex.speaking import CUSHION_S
from model.duplex.tones.tones import COUNT, hum, phrase, silence
from model.engine import Frame, Interrupt, SayText, SetMuted, SetVoice
from model.errors import ModelError, NetworkConfigError, NetworkMemoryError
from model.events import (
    AssistantAudio,
    AssistantText,
    Interrupted,
    Notice,
    PlaybackControl,
    ReplyAudioEnded,
    ReplyFinished,
    ReplyStarted,
    StateChanged,
    TurnLatency,
    TurnState,
)
from model.jobs.virtual_executor import VirtualExecutor
from tests.fakes.engine import FakeSpeaker, LevelDetector
from tests.model.covo.golden_covo import token2wav_folder
from tests.model.duplex.duplex_talks import (
    FOLDER,
    HIGH,
    INFO,
    LOW,
    ScriptedLoop,
    Talk,
    look_at,
    scripted,
)
from voices.errors import VoiceError


@pytest.mark.parametrize(("who", "pitch"), [(LOW, "low"), (HIGH, "high")])
def test_a_turn_is_answered(assistant, who, pitch):
    talk = Talk(assistant)
    end = talk.ask(who)
    talk.say(silence(4.0))
    kinds = [type(e) for e in talk.events if not isinstance(e, AssistantAudio | AssistantText)]
    assert kinds == [
        *(ReplyStarted, StateChanged, TurnLatency, StateChanged, ReplyAudioEnded, ReplyFinished)
    ]
    started, latency = talk.all(ReplyStarted)[0], talk.all(TurnLatency)[0]
    assert 0 < started.at - end <= 3 * 2560
    assert talk.text().split() == [pitch, *COUNT]
    assert talk.all(ReplyFinished)[0].text == talk.text()
    assert [e.state for e in talk.all(StateChanged)] == [TurnState.SPEAKING, TurnState.LISTENING]
    # A chunk after SHIFT comes the first sound: the profile's lead.
    first = talk.all(AssistantAudio)[0].at
    assert first - started.at == 2560
    assert latency.total == pytest.approx((first - end) / 16_000 + CUSHION_S, abs=0.03)
    assert sum(latency.parts.values()) == pytest.approx(latency.total)
    assert not talk.engine.busy


def test_what_is_played_is_what_the_network_said(assistant):
    talk = Talk(assistant)
    talk.ask()
    talk.say(silence(4.0))
    sound = np.concatenate([event.samples for event in talk.all(AssistantAudio)])
    assert len(sound) == talk.all(ReplyAudioEnded)[0].samples
    words = [(0, 1) * 2] + [(2 * n, 2 * n + 1) * 2 for n in range(2, 2 + len(COUNT))]
    assert not sound[:1440].any()  # the cushion
    assert codes_of(sound[1440:], 24_000, 25.0) == tuple(code for word in words for code in word)


def test_it_goes_on_through_a_backchannel_and_stops_when_interrupted(assistant):
    talk = Talk(assistant)
    talk.ask()
    talk.say(silence(0.9))
    random = np.random.default_rng(1)
    talk.say(hum(LOW, random))
    talk.say(silence(0.6))
    assert not talk.all(ReplyFinished) + talk.all(Interrupted)
    began = talk.at
    talk.say(phrase(LOW, random, 8, final=True))
    interrupted = talk.all(Interrupted)[0]
    assert interrupted.reason == "you spoke over it"
    assert interrupted.at - began < 16_000
    assert interrupted.heard.split() == ["low", *COUNT][: len(interrupted.heard.split())]
    assert 3 < len(interrupted.heard.split()) < len(COUNT)
    assert interrupted.heard_samples == sum(len(e.samples) for e in talk.all(AssistantAudio))
    states = [event.state for event in talk.all(StateChanged)]
    assert states == [TurnState.SPEAKING, TurnState.INTERRUPTED, TurnState.LISTENING]
    talk.say(silence(4.0))
    # What interrupted was a turn, and is answered.
    assert [event.reply for event in talk.all(ReplyStarted)] == [1, 2]
    assert talk.all(ReplyFinished)[0].reply == 2


def test_it_waits_in_a_pause(assistant):
    talk = Talk(assistant)
    random = np.random.default_rng(2)
    talk.say(silence(0.5))
    talk.say(phrase(LOW, random, 4, final=False))
    talk.say(silence(1.2))
    assert not talk.events
    talk.say(phrase(LOW, random, 4, final=True))
    talk.say(silence(0.6))
    assert len(talk.all(ReplyStarted)) == 1


def test_a_key_stops_it_at_once(assistant):
    talk = Talk(assistant)
    talk.ask()
    talk.say(silence(1.2))
    talk.engine.command(Interrupt())
    pressed = talk.at
    talk.say(silence(0.02))
    control = talk.all(PlaybackControl)[0]
    assert (control.at, control.reason) == (pressed + FRAME, "interrupted by key")
    talk.say(silence(1.0))
    interrupted = talk.all(Interrupted)[0]
    assert interrupted.reason == "interrupted by key"
    assert interrupted.heard_samples == talk.speaker.played.samples
    assert (interrupted.heard + interrupted.unheard).split() == talk.text().split()
    after = [e for e in talk.events if e.at > pressed + FRAME]
    assert not [e for e in after if isinstance(e, AssistantAudio | AssistantText)]
    # The network knows that it was stopped, and answers again.
    assert talk.engine.pace.steps == talk.at // 2560
    talk.ask()
    talk.say(silence(0.6))
    assert len(talk.all(ReplyStarted)) == 2


class EarlyExecutor:
    """Does all work at once, and hands it out when ``late`` is over: the lanes run ahead."""

    late = False

    def submit(self, lane, now, work):
        return EarlyJob(self, list(work(lambda: False)))

    def run(self, lane, call):
        return call()

    def close(self) -> None:
        pass


class EarlyJob:
    def __init__(self, executor: EarlyExecutor, results: list) -> None:
        self._executor, self._results = executor, results

    def poll(self, now):
        if self._executor.late:
            return []
        results, self._results = self._results, []
        return results

    @property
    def finished(self) -> bool:
        return not self._executor.late and not self._results


def test_a_key_stops_one_reply_and_not_the_next(assistant):
    """The network has stopped and begun again before the engine comes to know of the first."""
    stops = []

    class Watched(ScriptedLoop):
        def step(self, state, audio, effort=0, *, stop=False):
            stops.append(stop)
            return super().step(state, audio, effort, stop=stop)

    executor = EarlyExecutor()
    loop = Watched(assistant.loop, "tsaabsaa")
    spoken = DuplexAssistant(loop, assistant.speech, assistant.tokenizer)
    engine = DuplexEngine(lambda progress: spoken, INFO, LevelDetector(), executor)
    engine.warm_up(lambda stage: None)

    def chunks(first: int, past: int) -> None:
        for at in range(first * 2560, past * 2560, FRAME):
            engine.process(Frame(at, np.zeros(FRAME, np.float32)))

    chunks(0, 4)
    engine.command(Interrupt())
    executor.late = True
    chunks(4, 8)
    assert stops == [False] * 4 + [True] + [False] * 3


def test_the_same_in_one_run_as_in_another(assistant):
    talks = [Talk(assistant) for _ in range(2)]
    for talk in talks:
        talk.ask()
        talk.say(silence(1.0))
    assert [repr(e) for e in talks[0].events] == [repr(e) for e in talks[1].events]


def test_what_the_network_cannot_do_is_said(assistant):
    talk = Talk(assistant)
    for command in (SayText("hello"), SetVoice("other"), SetMuted(True)):
        talk.engine.command(command)
    talk.say(silence(0.02))
    assert [type(event) for event in talk.events] == [Notice, Notice, StateChanged]
    assert "answers when it chooses, and only speech" in talk.events[0].text
    assert talk.events[-1].state is TurnState.MUTED


def test_a_new_conversation_is_like_the_first_one(assistant):
    talk, told = Talk(assistant), []
    for _ in range(2):
        talk.ask()
        talk.say(silence(1.0))  # it ends in the middle of a reply
        told.append([(type(event), event.at) for event in talk.events])
        talk.events.clear()
        talk.engine.start_over()
        talk.at = 0
        talk.speaker = FakeSpeaker()
    assert told[0]
    assert told[0] == told[1]


def test_a_machine_in_time_is_never_late(assistant):
    talk = Talk(assistant, cost=lambda chunk: 0.03)  # 0.15 s of the 0.16 s
    talk.ask()
    talk.say(silence(3.0))
    assert talk.engine.pace.late == 0
    assert not talk.all(Notice)
    assert talk.text().split() == ["low", *COUNT]


def test_a_hiccup_costs_text_then_speech_and_is_caught_up(assistant):
    stuck = 14
    talk = Talk(assistant, cost=lambda chunk: 0.08 if chunk == stuck else 0.025)
    talk.ask()
    talk.say(silence(4.0))
    pace = talk.engine.pace
    assert pace.steps == talk.at // 2560  # every chunk of the user was heard
    assert pace.late > 0
    assert pace.without_text + pace.without_speech > 0
    assert "steps were late" in talk.all(Notice)[0].text
    assert talk.all(ReplyFinished)
    # And it was in time again before the end.
    assert pace.late < 8


def test_a_machine_that_is_too_slow_goes_without_speech_and_hears_everything(assistant):
    talk = Talk(assistant, cost=lambda chunk: 0.1)
    talk.ask()
    talk.say(silence(6.0))
    pace = talk.engine.pace
    assert pace.without_speech > 3
    heard = pace.steps
    talk.say(silence(0.5))
    assert talk.engine.pace.steps >= heard + 3
    assert len(talk.all(Notice)) < 8  # told when their number doubles, not every time


def test_a_broken_network_is_told_of_and_begins_anew(assistant):
    talk = None  # it breaks when the conversation has begun

    class Broken(DuplexLoop):
        def step(self, state, audio, effort=0, *, stop=False):
            if talk is not None and state.chunk == 3:
                raise RuntimeError("out of memory")
            return super().step(state, audio, effort, stop=stop)

    talk = Talk(
        DuplexAssistant(Broken(assistant.loop.network), ToneSpeech(25.0), assistant.tokenizer)
    )
    talk.say(silence(0.7))
    notice = talk.all(Notice)[0]
    assert notice.level == "error"
    assert "out of memory" in notice.text
    talk.ask()
    talk.say(silence(0.3))
    assert len(talk.all(Notice)) > 1  # it is broken for good; the conversation goes on


def test_a_reply_in_which_the_network_broke_is_over(assistant):
    talk = scripted(assistant, "tsaaxttttttttttsaab")
    talk.say(silence(6.0))
    assert [event.level for event in talk.all(Notice)] == ["error"]
    assert [event.reply for event in talk.all(ReplyFinished)] == [1, 2]
    assert not talk.engine.busy


def test_the_fillers_behind_break_are_not_played(assistant):
    talk = scripted(assistant, "tsaab")
    talk.say(silence(2.5))
    assert talk.all(ReplyAudioEnded)[0].samples == 1440 + 8 * 960


def test_a_key_silences_the_end_of_the_last_reply_as_well(assistant):
    talk = scripted(assistant, "tsAbsaaaa")
    talk.say(silence(0.16 * 5 + 0.06))  # reply 2 has begun, and of reply 1 the end is still played
    assert len(talk.all(ReplyStarted)) == 2
    assert not talk.all(ReplyFinished)
    talk.engine.command(Interrupt())
    talk.say(silence(0.6))
    interrupted = talk.all(Interrupted)
    assert [event.reply for event in interrupted] == [1, 2]
    assert {event.reason for event in interrupted} == {"interrupted by key"}
    assert not talk.all(Notice)


@pytest.fixture
def talking_folder(tmp_path) -> Path:
    """The same network, its codes spoken by the golden tiny token2wav."""
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    path = folder / "duplex.json"
    path.write_text(path.read_text().replace('"speech": "tones"', '"speech": "token2wav"'))
    token2wav_folder(folder / "token2wav")
    (folder / "voices").mkdir()
    shutil.move(folder / "token2wav/prompt", folder / "voices/somebody")
    return folder


def test_covo_audio_s_own_speech(talking_folder):
    model = look_at(talking_folder, flow_steps=2, voice_prompt_seconds=0.2)
    assert model.info.voice == "somebody"
    assert "fp32" in model.info.parts["token2wav"]
    talk = Talk(model.load(lambda stage: None))
    talk.ask()
    talk.say(silence(4.0))
    # 15 words of 4 codes; 3 latents of 10 ms belong to the voice's prompt.
    assert talk.all(ReplyAudioEnded)[0].samples == 1440 + (4 * 60 - 3) * 240
    assert talk.all(ReplyFinished)
    first, ended = talk.all(AssistantAudio)[0], talk.all(ReplyAudioEnded)[0]
    assert ended.at - first.at == 15 * 2560  # chunk by chunk, as it is said


def test_its_speech_is_made_as_the_settings_say(talking_folder):
    model = look_at(
        talking_folder, voice_prompt_seconds=0.2, flow_steps=3, token2wav_precision="bf16"
    )
    speech = model.load(lambda stage: None).speech
    stream = speech.start()
    assert len(stream.voice.codes) == 5
    assert stream.settings.sampling.points == 4
    assert "bf16" in model.info.parts["token2wav"]
    assert len(look_at(talking_folder).load(lambda stage: None).speech.start().voice.codes) > 5


def test_speech_of_another_rate_or_voice_is_refused(talking_folder):
    with pytest.raises(VoiceError, match="no voice called 'nobody'"):
        look_at(talking_folder, "nobody")
    config = talking_folder / "token2wav/config.json"
    config.write_text(config.read_text().replace("24000", "48000"))
    with pytest.raises(
        NetworkConfigError, match="50 codes a second, but the duplex profile has 25"
    ):
        look_at(talking_folder)


def test_only_plain_precisions(tmp_path):
    with pytest.raises(NetworkConfigError, match="does not run in int8"):
        DuplexModel(FOLDER, NetworkSettings(device="cpu", precision="int8"), None)


def test_a_card_that_is_too_small_is_refused_before_loading(talking_folder, monkeypatch):
    needed = look_at(talking_folder).plan.total
    monkeypatch.setattr("model.duplex.assemble.free_memory", lambda device: needed - 1)
    with pytest.raises(NetworkMemoryError) as caught:
        look_at(talking_folder)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith("full duplex in fp32 with token2wav in fp32 needs 0.8 GB of memory")
    assert "this fits: full duplex in fp32 with token2wav in bf16" in said
    monkeypatch.setattr("model.duplex.assemble.free_memory", lambda device: 1000)
    with pytest.raises(NetworkMemoryError, match="smallest setting, full duplex in bf16 with"):
        look_at(talking_folder)
    with pytest.raises(NetworkMemoryError, match="full duplex in fp32 without token2wav"):
        look_at(FOLDER)


def test_pauses_inside_a_reply():
    class Recorder:
        def __init__(self):
            self.calls = []

        def start(self):
            self.calls.append("start")
            return 0

        def step(self, state, codes, *, last):
            self.calls.append((state, tuple(codes), last))
            return np.ones(len(codes) * 10, np.float32), state + 1

    decoder, waves = Recorder(), []
    sound = ReplySound(decoder, 25.0)
    for codes, last in (((S, S), False), ((S, 1, 2, S), False), ((S, 3), False), ((4, S), True)):
        waves.append(sound.add(codes, last=last))
    pause = ASSISTANT_RATE // 25
    assert [len(wave) for wave in waves] == [0, 20 + pause, pause + 10, 10 + pause]
    assert not waves[1][20:].any()
    assert decoder.calls == [
        *("start", (0, (1, 2), False), (1, (), True)),
        *("start", (0, (3,), False), (1, (4,), False), (2, (), True)),
    ]


def test_speech_is_made_louder_as_a_whole_reply():
    wave = np.array([0.1, -0.2, 0.1], np.float32)

    class Steady:
        def start(self):
            return None

        def step(self, state, codes, *, last):
            return np.tile(wave, len(codes)), None

    for loudness, gain in ((0.0, 1.0), (-6.0, 0.5012), (6.0, 1.9953)):
        sound = ReplySound(Steady(), 25.0, loudness)
        made = np.concatenate([sound.add((1, 2)), sound.add((3, S), last=True)])
        np.testing.assert_allclose(made[:9], np.tile(gain * wave, 3), rtol=1e-3)
        assert not made[9:].any()


def test_it_must_be_warmed_up_first(assistant):
    engine = DuplexEngine(lambda progress: assistant, INFO, LevelDetector(), VirtualExecutor())
    with pytest.raises(ModelError, match="warm it up"):
        engine.process(Frame(0, np.zeros(FRAME, np.float32)))
    engine.close()
    engine.close()


def test_another_tokenizer_is_refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace("<think>", "<thought>"))
    with pytest.raises(NetworkConfigError, match="spells token 20 as '<thought>'"):
        look_at(folder)
    path.unlink()
    with pytest.raises(NetworkConfigError, match=r"has no tokenizer\.json"):
        look_at(folder)


def test_engines_on_one_model_share_the_network_and_no_context():
    model = look_at(FOLDER, sessions=2)
    first, second = (model.load(lambda stage: None).loop for _ in range(2))
    assert first.network is second.network
    by_itself = look_at(FOLDER).load(lambda stage: None).loop
    quiet = np.zeros(first.profile.chunk_samples, np.float32)
    loud = np.full_like(quiet, 0.1)
    one, two, alone = first.start(), second.start(), by_itself.start()
    for _ in range(4):
        step, one = first.step(one, quiet)
        _, two = second.step(two, loud)
        expected, alone = by_itself.step(alone, quiet)
        assert step.taken == expected.taken
        assert torch.equal(one.pending, alone.pending)
