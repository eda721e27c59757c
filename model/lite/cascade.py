"""The embedded engine's reply generator: recogniser, chat model and synthesiser in a row.

Each streams into the next: while one clause is spoken, the next is being written. Three threads
make a reply: one writes, one speaks, and whoever called :meth:`Cascade.reply` recognises first and
then hands out what the two make.
"""

from __future__ import annotations

import atexit
import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from audio_io.clock import USER_RATE
from model.engine import EngineInfo, Progress
from model.errors import ModelError
from model.jobs.channel import Cancelled, Channel, feed
from model.lite.chat import ChatModel, Message
from model.lite.clauses import ClauseSplitter
from model.lite.prompt import Exchange, Prompt, build_messages, fit_history
from model.lite.synthesizer import Synthesizer
from model.reply import (
    Heard,
    LoadableRecognizer,
    ReplyAudio,
    ReplyPart,
    ReplyText,
    TurnText,
    UserTurn,
)

_FAINT_NOISE = np.random.default_rng(0).normal(0, 0.01, USER_RATE).astype(np.float32)
"""Recognised once while warming up: loud enough to be looked at, and not speech."""

_CLAUSES_AHEAD = 8
"""Clauses that may be written but not spoken yet; then the writing waits."""


@dataclass(slots=True)
class _Made:
    """What has been made of a reply so far; ``clauses``: text and samples of each, in order."""

    user: str = ""
    text: str = ""
    clauses: list[tuple[str, int]] = field(default_factory=list)
    complete: bool = False


class Cascade:
    """A :class:`model.reply.ReplyGenerator`.

    ``voices`` gives the synthesiser of a voice; it raises what it likes for an unknown one.
    """

    def __init__(
        self,
        recognizer: LoadableRecognizer,
        chat: ChatModel,
        voices: Callable[[str], Synthesizer],
        *,
        voice: str,
        prompt: Prompt,
        recognizer_name: str = "Whisper base int8",
        device: str = "CPU",
    ) -> None:
        self.recognizer = recognizer
        self._chat = chat
        self._voices = voices
        self._prompt = prompt
        self._names = {"recogniser": recognizer_name}
        self._device = device
        self._lock = threading.Lock()
        self._voice = voice
        self._synthesizer = voices(voice)
        self._loaded = {voice: self._synthesizer}
        self._history: tuple[Exchange, ...] = ()
        self._made: dict[int, _Made] = {}
        self._preparing: threading.Thread | None = None
        self._working: list[threading.Thread] = []
        self._closed = threading.Event()

    @property
    def info(self) -> EngineInfo:
        with self._lock:
            voice, synthesizer = self._voice, self._synthesizer
        parts = {
            **self._names,
            "chat model": self._chat.name,
            "synthesiser": synthesizer.name,
        }
        return EngineInfo(
            name="lite",
            description=(
                f"a cascade of small models ({', '.join(parts.values())}): "
                "the stand-in for Covo-Audio"
            ),
            voice=voice,
            device=self._device,
            parts=parts,
        )

    @property
    def history(self) -> tuple[Exchange, ...]:
        """The conversation as the assistant remembers it."""
        with self._lock:
            return self._history

    def warm_up(self, progress: Progress) -> None:
        # A thread that is still inside a library when Python goes down would abort the process.
        atexit.register(self.close)
        progress(f"loading {self._names['recogniser']} and {self._chat.name}")
        with ThreadPoolExecutor(1, "covo-load") as beside:
            chat = beside.submit(self._load_chat)
            self.recognizer.load()
            self.recognizer.transcribe(_FAINT_NOISE)
            progress(f"loading {self._synthesizer.name}")
            self._synthesizer.load()
            progress(f"waiting for {self._chat.name}")
            chat.result()

    def reply(self, reply: int, turn: UserTurn, cancelled: Cancelled) -> Iterator[ReplyPart]:
        made = _Made()

        def stopped() -> bool:
            return self._closed.is_set() or cancelled()

        with self._lock:
            self._made[reply] = made
            history, synthesizer = self._history, self._synthesizer
        text = turn.text if turn.text is not None else self.recognizer.transcribe(turn.audio)
        made.user = text.strip()
        if stopped():
            return
        yield TurnText(made.user)
        if not made.user:
            return
        messages = build_messages(self._prompt, history, made.user)
        parts: Channel[ReplyPart] = Channel(stopped)
        clauses: Channel[str] = Channel(lambda: parts.stopped, _CLAUSES_AHEAD)

        def write() -> None:
            splitter = ClauseSplitter()
            # The first words often come with white space or a line of nothing.
            for delta in self._chat.stream(messages, lambda: parts.stopped):
                shown = delta if made.text else delta.lstrip()
                if not shown:
                    continue
                made.text += shown
                if not parts.put(ReplyText(shown)):
                    return
                for clause in splitter.feed(shown):
                    clauses.put(clause)
            for clause in splitter.flush():
                clauses.put(clause)

        def speak() -> None:
            for clause in clauses:
                sound = synthesizer.say(clause)
                made.clauses.append((clause, len(sound)))
                if len(sound) and not parts.put(ReplyAudio(sound, clause)):
                    return

        threads = [feed(clauses, write, "write"), feed(parts, speak, "speak")]
        with self._lock:
            self._working = [t for t in self._working if t.is_alive()] + threads
        yield from parts
        made.complete = not stopped()

    def settle(self, reply: int, heard_samples: int | None) -> Heard:
        with self._lock:
            made = self._made.pop(reply, None)
            if made is None or heard_samples is None or not made.user:
                return Heard("", "")
            text, clauses, complete = made.text, list(made.clauses), made.complete
            heard = text[: _heard_length(clauses, heard_samples)]
            if complete and heard_samples >= sum(samples for _, samples in clauses):
                heard = text
            cut = not complete or len(heard) < len(text)
            exchange = Exchange(made.user, heard, interrupted=cut)
            self._history = fit_history(
                self._prompt, (*self._history, exchange), self._chat.context
            )
        self._prepare()
        return Heard(heard, text[len(heard) :])

    def set_voice(self, voice: str) -> None:
        synthesizer = self._loaded.get(voice) or self._voices(voice)
        synthesizer.load()
        with self._lock:
            self._loaded[voice] = synthesizer
            self._voice, self._synthesizer = voice, synthesizer

    def close(self) -> None:
        atexit.unregister(self.close)
        self._closed.set()
        with self._lock:
            loaded = list(self._loaded.values())
            working = self._working
        for thread in working:
            thread.join()
        self.recognizer.close()
        self._chat.close()
        for synthesizer in loaded:
            synthesizer.close()

    def _load_chat(self) -> None:
        self._chat.load()
        self._chat.prepare(build_messages(self._prompt, self.history))

    def _prepare(self) -> None:
        """Let the chat model read the new history while the user is talking or thinking."""
        with self._lock:
            if self._closed.is_set() or (self._preparing and self._preparing.is_alive()):
                return
            messages = build_messages(self._prompt, self._history)
            self._preparing = threading.Thread(
                target=self._read_ahead, args=(messages,), name="covo-prepare", daemon=True
            )
            self._preparing.start()
            self._working.append(self._preparing)

    def _read_ahead(self, messages: Sequence[Message]) -> None:
        # Only a head start: what is wrong with the chat model, the next reply will say.
        with contextlib.suppress(ModelError):
            self._chat.prepare(messages)


_WORD = re.compile(r"\S+\s*")


def _heard_length(clauses: Sequence[tuple[str, int]], heard: int) -> int:
    """How many characters of the ``clauses`` (text and samples of each) ``heard`` samples say."""
    length = 0
    for text, samples in clauses:
        if heard < samples:
            return length + _words_within(text, heard / samples)
        heard -= samples
        length += len(text)
    return length


def _words_within(clause: str, share: float) -> int:
    """How many characters the words take that end within the first ``share`` of ``clause``."""
    limit = share * len(clause.rstrip())
    ends = [m.end() for m in _WORD.finditer(clause) if m.start() + len(m.group().rstrip()) <= limit]
    return ends[-1] if ends else 0
