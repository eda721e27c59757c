"""Conversations with the full-duplex engine, on the virtual clock and without a device.

``tests/duplex_tones`` was trained by ``covo train duplex`` on synthetic tones (docs/duplex.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from audio_io.clock import FRAME
from covo_cli.conversation.consumer import Tick
from model.covo.loading.assemble import NetworkSettings
from model.covo.speech.voice_catalogue import VoiceCatalogue
from model.duplex.assemble import DuplexAssistant, DuplexModel
from model.duplex.engine import DuplexEngine
from model.duplex.network.loop import ChunkStep, DuplexLoop, Effort
from model.duplex.protocol.grammar import AssistantState
from model.duplex.protocol.sequence import SILENCE as S
from model.duplex.tones.tones import ToneSpeaker, phrase, silence
from model.engine import EngineInfo, Frame
from model.events import AssistantAudio, AssistantText, Event, PlaybackControl
from model.hearing.recognition import LoadableRecognizer
from model.jobs.virtual_executor import VirtualExecutor
from tests import ROOT
from tests.fakes.engine import FakeClock, FakeSpeaker, LevelDetector

FOLDER = ROOT / "tests/duplex_tones"
INFO = EngineInfo("covo-fd", "a test", "tones", "cpu", {})
LOW = ToneSpeaker(120.0, 1.0, 0.1)
HIGH = ToneSpeaker(220.0, 1.0, 0.1)


def look_at(folder: Path, voice: str = "", **settings) -> DuplexModel:
    chosen = NetworkSettings(device="cpu", precision="fp32", **settings)
    return DuplexModel(folder, chosen, VoiceCatalogue(folder, (), lambda name: None), voice)


class SlowLoop(DuplexLoop):
    """Each pass of the language model takes ``cost`` seconds of ``clock``."""

    def __init__(self, loop: DuplexLoop, clock: FakeClock, cost: Callable[[int], float]) -> None:
        super().__init__(loop.network)
        self._clock, self._cost = clock, cost

    def step(self, state, audio, effort=0, *, stop=False):
        step, state = super().step(state, audio, effort, stop=stop)
        self._clock.pass_time(self._cost(step.chunk) * step.passes)
        return step, state


class Talk:
    """A conversation without a device: what is said is heard, what is answered is played."""

    def __init__(
        self,
        assistant: DuplexAssistant,
        cost: Callable[[int], float] | None = None,
        recognizer: Callable[[FakeClock], LoadableRecognizer] | None = None,
    ) -> None:
        self.clock = FakeClock()
        if cost is not None:
            loop = SlowLoop(assistant.loop, self.clock, cost)
            assistant = DuplexAssistant(loop, assistant.speech, assistant.tokenizer)
        self.engine = DuplexEngine(
            lambda progress: assistant,
            INFO,
            LevelDetector(),
            VirtualExecutor(self.clock),
            None if recognizer is None else lambda: recognizer(self.clock),
        )
        self.engine.warm_up(lambda stage: None)
        self.speaker = FakeSpeaker()
        self.events: list[Event] = []
        self.played: list[np.ndarray] = []
        self.consumer: Callable[[Tick], None] = lambda tick: None
        self.at = 0

    def say(self, audio) -> None:
        whole = np.zeros(-(-len(audio) // FRAME) * FRAME, np.float32)
        whole[: len(audio)] = audio
        for samples in whole.reshape(-1, FRAME):
            self.played.append(self.speaker.tick())
            played = self.speaker.played
            frame = Frame(self.at, samples, played)
            events = tuple(self.engine.process(frame))
            self.consumer(Tick(self.at, samples, self.played[-1], events, played=played))
            for event in events:
                self.events.append(event)
                if isinstance(event, AssistantAudio):
                    self.speaker.play(event.reply, event.samples)
                elif isinstance(event, PlaybackControl):
                    self.speaker.stop()
            self.at += FRAME

    def ask(self, who: ToneSpeaker = LOW, seed: int = 0) -> int:
        """A turn; returns when it ended."""
        self.say(silence(0.5))
        self.say(phrase(who, np.random.default_rng(seed), 5, final=True))
        return self.at

    def all(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    def text(self) -> str:
        return "".join(event.delta for event in self.all(AssistantText))


class ScriptedLoop(DuplexLoop):
    """A loop that says what it is told to: a letter for each chunk. ``t``: THINK, ``s``: SHIFT,
    ``a``: speech, ``A``: three times as much, ``b``: BREAK with the fillers of a profile that
    fills, ``x``: it fails."""

    def __init__(self, loop: DuplexLoop, script: str) -> None:
        super().__init__(loop.network)
        self._script = script

    def warm_up(self):
        return self.start()

    def step(self, state, audio, effort=0, *, stop=False):
        self._script, now = self._script[1:], self._script[:1] or "t"
        if now == "x":
            raise RuntimeError("out of memory")
        before, after = AssistantState(now in "aAb"), AssistantState(now in "saA")
        codes = {"a": (1, 2, 3, 4), "A": (1,) * 12, "b": (S,) * 4}.get(now, ())
        step = ChunkStep(state.chunk, before, after, (), (), codes, 1, Effort.FULL)
        return step, replace(state, assistant=after, chunk=state.chunk + 1)


def scripted(assistant: DuplexAssistant, script: str, recognizer=None) -> Talk:
    loop = ScriptedLoop(assistant.loop, script)
    return Talk(DuplexAssistant(loop, assistant.speech, assistant.tokenizer), recognizer=recognizer)
