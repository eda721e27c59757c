"""Measure a long spoken conversation in real time.

A second voice asks many questions. Figures: latency from the true end of a question, also over the
plain chain's (:mod:`covo_cli.bench.chain`), gaps in the replies, their intelligibility, memory over
time, and the cost of listening to silence.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import psutil

from audio_io.clock import ASSISTANT_RATE, USER_RATE, samples, seconds
from audio_io.echo import EchoCanceller
from audio_io.ends import Speaker
from audio_io.file_ends import FileSpeaker
from audio_io.levels import span_of_sound
from audio_io.resample import resample
from covo_cli.bench.chain import MEDIAN_AT_MOST, P90_AT_MOST, ChainFigures
from covo_cli.bench.figures import summary
from covo_cli.bench.goals import Goal, judge
from covo_cli.bench.listening import SHARE_AT_MOST
from covo_cli.bench.words import word_error_rate
from covo_cli.conversation.consumer import Tick
from covo_cli.conversation.conversation import Conversation
from covo_cli.errors import CliError
from covo_cli.sessions.audio import Pcm, read_audio
from covo_cli.sessions.event_log import read_events
from covo_cli.sessions.recorder import SessionRecorder
from covo_cli.sessions.transcript import TranscriptEntry, Who, transcript
from covo_cli.simulation.scripted_user import Line, ScriptedUser
from model.engine import Engine
from model.events import Interrupted, ReplyFinished, ReplyStarted
from model.hearing.recognition import Recognizer

END_TOLERANCE_S = 0.25
"""Allowed error of a question's detected end. A question cut short at a pause or merged with other
speech does not count as answered."""

GOALS = (
    Goal("latency, median (× chain)", MEDIAN_AT_MOST, lambda f: f["latency_over_chain"]["median"]),
    Goal("latency, 90 % (× chain)", P90_AT_MOST, lambda f: f["latency_over_chain"]["p90"]),
    Goal(
        "listening to speech (share of a core)",
        SHARE_AT_MOST,
        lambda f: f["listening"]["share_of_one_core"],
    ),
)


@dataclass
class ConversationLog:
    """Log what the recording lacks: gaps (20 ms blocks per reply) and memory (MB, each second)."""

    speaker: Speaker
    gaps: dict[int, int] = field(default_factory=dict)
    megabytes: list[float] = field(default_factory=list)
    _reply_id: int = 0
    _starved: int = 0
    _process: psutil.Process = field(default_factory=psutil.Process)

    def on_tick(self, tick: Tick) -> None:
        """Log one frame."""
        for event in tick.events:
            match event:
                case ReplyStarted(reply=reply_id):
                    self._reply_id, self._starved = reply_id, self.speaker.status.starved
                case ReplyFinished():
                    self._reply_id = 0
        if self._reply_id:
            self.gaps[self._reply_id] = self.speaker.status.starved - self._starved
        if tick.at % USER_RATE == 0:
            self.megabytes.append(self._process.memory_info().rss / 2**20)


def measure_idle(engine: Engine, duration: float) -> dict[str, float]:
    """Measure the cost of ``duration`` seconds of silence, with echo cancellation."""
    user = ScriptedUser([], paced=True)
    talk = Conversation(
        user,
        FileSpeaker(None),
        engine,
        [],
        echo=EchoCanceller(),
        over=lambda busy: talk.at >= samples(duration),
    )
    process = psutil.Process()
    before, began = process.cpu_times(), time.monotonic()
    user.start()
    talk.run()
    after, wall = process.cpu_times(), time.monotonic() - began
    cpu = after.user + after.system - before.user - before.system
    return {"seconds": round(wall, 1), "share_of_one_core": round(cpu / wall, 3)}


def measure_conversation(
    engine: Engine,
    lines: Sequence[Line],
    recognizer: Recognizer,
    recorder: SessionRecorder,
    *,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Ask every line in real time; return JSON-ready figures (seconds, megabytes, shares).

    Afterwards, ``recognizer`` transcribes the recording of ``recorder``.
    """
    user = ScriptedUser(lines, paced=True)
    speaker = FileSpeaker(None)
    log = ConversationLog(speaker)
    talk = Conversation(
        user,
        speaker,
        engine,
        [user, log, recorder],
        over=lambda busy: user.exhausted and not busy,
    )
    progress(f"{len(lines)} questions, in real time")
    user.start()
    talk.run()
    recorder.close()
    progress("listening to the answers")
    sound = np.concatenate(list(read_audio(recorder.folder)))[:, 1]
    events = read_events(recorder.folder).events
    entries = transcript(events)
    pairs = [
        (entry.text, _understood(recognizer, sound, entry))
        for entry in entries
        if entry.who is Who.ASSISTANT and not entry.backchannel
    ]
    turns = _turns(user, entries, log.gaps)
    if not turns:
        raise CliError("no question was answered: check the detector with `covo bench vad`")
    totals = [turn["seconds"] for turn in turns]
    asked = [(turn["asked"], turn["understood"]) for turn in turns]
    return {
        "minutes": round(seconds(talk.at) / 60, 2),
        "questions": len(lines),
        "answered": len(turns),
        "latency_seconds": summary(totals, median=50, p90=90, p95=95, max=100),
        "breakdown_median_seconds": {
            name: round(statistics.median(turn["parts"][name] for turn in turns), 3)
            for name in turns[0]["parts"]
        },
        "gaps_in_replies": speaker.status.starved,
        "interruptions": sum(isinstance(event, Interrupted) for event in events),
        "word_error_rate_of_answers": round(word_error_rate(pairs), 4),
        "word_error_rate_of_questions": round(word_error_rate(asked), 4),
        "memory_mb": {
            "first_minute": round(statistics.median(log.megabytes[:60])),
            "last_minute": round(statistics.median(log.megabytes[-60:])),
            "max": round(max(log.megabytes)),
        },
        "turns": turns,
        "answers": [{"written": written, "understood": heard} for written, heard in pairs],
    }


def beside_chain(figures: Mapping[str, Any], chain: ChainFigures) -> dict[str, Any]:
    """Return ``figures``, those of a conversation and of listening, with every latency over the
    chain's median, too."""

    def over(latency: float) -> float:
        return round(latency / chain.median, 3)

    both: dict[str, Any] = {}
    for name, value in figures.items():
        both[name] = value
        if name == "latency_seconds":
            both["latency_over_chain"] = {key: over(latency) for key, latency in value.items()}
            times = asdict(chain)
            both["chain_breakdown_median_seconds"] = times.pop("parts")
            both["chain_seconds"] = times
    both["turns"] = [{**turn, "over_chain": over(turn["seconds"])} for turn in figures["turns"]]
    both["goals"] = judge(GOALS, both, counts=True)
    return both


def _turns(
    user: ScriptedUser, entries: Sequence[TranscriptEntry], gaps: Mapping[int, int]
) -> list[dict[str, Any]]:
    """Return the latency of each line heard to its end and answered. ``gaps``: by reply."""
    questions = [entry for entry in entries if entry.who is Who.USER]
    latencies = {entry.turn: entry.latency for entry in entries if entry.latency}
    turns = []
    for line, (start, _) in zip(user.lines, user.spoken, strict=False):
        end = start + span_of_sound(line.audio)[1]
        for question in questions:
            latency = latencies.get(question.turn)
            if latency is None or abs(question.end - end) > samples(END_TOLERANCE_S):
                continue
            late = seconds(question.end - end)
            parts = {**latency.parts, "wait": latency.parts["wait"] + late}
            turns.append(
                {
                    "asked": line.text,
                    "understood": question.text,
                    "seconds": round(latency.total + late, 3),
                    "parts": {name: round(value, 3) for name, value in parts.items()},
                    "gaps": gaps[latency.reply],
                }
            )
            break
    return turns


def _understood(recognizer: Recognizer, recorded: Pcm, answer: TranscriptEntry) -> str:
    start, end = (at * ASSISTANT_RATE // USER_RATE for at in (answer.start, answer.end))
    sound = recorded[start:end].astype(np.float32) / np.float32(32_768)
    return recognizer.transcribe(resample(sound, ASSISTANT_RATE, USER_RATE)).text
