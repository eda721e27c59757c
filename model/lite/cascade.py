"""The embedded engine's reply generator: a chat model feeding a synthesiser.

While one clause is spoken, the next is being written. One thread writes, one speaks, and the caller
of :meth:`Cascade.reply` yields the parts.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

from audio_io.signal import Audio
from audio_io.worker import Worker, join_all
from model.engine import EngineInfo, Progress
from model.errors import ChatError, ModelError
from model.jobs.channel import Cancelled, Channel, feed
from model.jobs.executor import CLOSE_S
from model.lite.chat import ChatModel, Message
from model.lite.clause_speaker import ClauseSpeaker
from model.lite.prompt import ChatExchange, Prompt, build_messages, fit_history
from model.lite.reply_reader import ThoughtAloud
from model.lite.synthesizer import Synthesizer
from model.lite.text.clauses import ClauseSplitter
from model.reply import Heard, ReplyNotice, ReplyPart, ReplyText, UserTurn
from model.tools.tool_use import ToolReply, ToolUse

_CLAUSES_AHEAD = 8
"""Clauses that may be written ahead of speech; then writing waits."""

_THOUGHT_ALOUD = (
    "what was said so far was the chat model's thinking; from now on its end is waited for"
)

_VOICES_KEPT = 4
"""A natural voice takes 1 MB and loads in 3 ms; the voice of hibari takes 45 MB and 0.1 s."""


@dataclass(slots=True)
class _BegunReply:
    """A reply to the words ``user`` at the time ``at``, with the use of ``tools`` if there are any.
    ``complete``: all of it was yielded. ``thought``: characters at its beginning that turned out
    to be thinking."""

    user: str
    at: datetime | None
    tools: ToolReply | None = None
    complete: bool = False
    thought: int = 0

    def exchange(self, number: int, heard: Heard) -> ChatExchange:
        """Return what the history keeps of it, with ``number``."""
        cut = not self.complete or bool(heard.unheard)
        if self.tools is None:
            return ChatExchange(self.user, heard.text[self.thought :], cut, number, self.at)
        rounds, text = self.tools.heard(heard.text, self.thought)
        return ChatExchange(self.user, text, cut, number, self.at, rounds)


class Cascade:
    """The embedded engine's :class:`model.reply.ReplyGenerator`.

    ``voices`` returns the synthesiser of a voice, or raises. ``clock`` tells the time that the chat
    model is told; None: it is told none. ``tools``: those that ``chat`` uses.
    """

    def __init__(
        self,
        chat: ChatModel,
        voices: Callable[[str], Synthesizer],
        *,
        voice: str,
        prompt: Prompt,
        device: str = "CPU",
        clock: Callable[[], datetime] | None = None,
        tools: ToolUse | None = None,
    ) -> None:
        self.chat = chat
        self._tools = tools
        self._now: Callable[[], datetime | None] = clock or (lambda: None)
        self.prompt = replace(prompt, began=self._now())
        self._voices = voices
        self._first = (voice, prompt)
        self._device = device
        self._lock = threading.Lock()
        self._voice = voice
        self._synthesizer = voices(voice)
        self._loaded = {voice: self._synthesizer}
        """The voices used last, the present one at the end."""
        self._history: tuple[ChatExchange, ...] = ()
        self._made: dict[int, _BegunReply] = {}
        self._settled: tuple[int, _BegunReply] | None = None
        self._preparing: Worker | None = None
        self._unread = False
        self._working: list[threading.Thread] = []
        self._closed = threading.Event()

    @property
    def info(self) -> EngineInfo:
        with self._lock:
            voice, synthesizer = self._voice, self._synthesizer
        models = {"chat model": self.chat.name, "synthesiser": synthesizer.name}
        parts = dict(models)
        if self._tools is not None:
            parts["tools"] = ", ".join(self._tools.box.names)
        return EngineInfo(
            name="lite",
            description=(
                f"a cascade of small models ({', '.join(models.values())}): "
                "the stand-in for Covo-Audio"
            ),
            voice=voice,
            device=self._device,
            parts=parts,
            languages=synthesizer.languages,
            writes=self.prompt.languages,
        )

    @property
    def synthesizer(self) -> Synthesizer:
        """The synthesiser of the next reply."""
        with self._lock:
            return self._synthesizer

    @property
    def history(self) -> tuple[ChatExchange, ...]:
        """The conversation with the heard part of each reply."""
        with self._lock:
            return self._history

    def warm_up(self, progress: Progress) -> None:
        # A thread inside a library while Python shuts down would abort the process.
        atexit.register(self.close)
        progress(f"loading {self.chat.name}")
        self.chat.load(progress)
        with ThreadPoolExecutor(1, "covo-load") as beside:
            reading = beside.submit(self._read, build_messages(self.prompt, self.history))
            progress(f"loading {self._synthesizer.name}")
            self._synthesizer.load()
            reading.result()

    @property
    def hears(self) -> bool:
        return False

    def read_ahead(self, words: str) -> None:
        with self._lock:
            messages = build_messages(self.prompt, self._history, words, self._now())
        self._read(messages)

    def reply(self, reply_id: int, turn: UserTurn, cancelled: Cancelled) -> Iterator[ReplyPart]:
        if not turn.text:
            raise ChatError("a turn without words cannot be answered")
        made = _BegunReply("\n".join(filter(None, (turn.text, turn.added))), self._now())
        if self._tools is not None:
            speaks = self.info.languages
            made.tools = self._tools.begin(reply_id, turn, "en" if "en" in speaks else speaks[0])

        def stopped() -> bool:
            return self._closed.is_set() or cancelled()

        with self._lock:
            self._made[reply_id] = made
            self.prompt = self.prompt.on_day_of(made.at)
            history, synthesizer, prompt = self._history, self._synthesizer, self.prompt
        if stopped():
            return
        messages = build_messages(prompt, history, made.user, made.at)
        parts: Channel[ReplyPart] = Channel(stopped)
        clauses: Channel[tuple[int, str]] = Channel(lambda: parts.stopped, _CLAUSES_AHEAD)

        def write() -> None:
            splitter = ClauseSplitter()
            written = 0
            writer = made.tools or self.chat
            for part in writer.stream(messages, lambda: parts.stopped):
                if isinstance(part, ThoughtAloud):
                    splitter, made.thought = ClauseSplitter(), written
                    parts.put(ReplyNotice("warning", _THOUGHT_ALOUD))
                    continue
                if not parts.put(ReplyText(part) if isinstance(part, str) else part):
                    return
                if isinstance(part, str):
                    written += len(part)
                # While a tool is used, what was written before is said.
                ready = splitter.feed(part) if isinstance(part, str) else splitter.flush()
                for clause in ready:
                    clauses.put((made.thought, clause))
            for clause in splitter.flush():
                clauses.put((made.thought, clause))

        def speak() -> None:
            speaker = ClauseSpeaker(synthesizer, lambda: [text for _, text in clauses.waiting])
            for thought, clause in clauses:
                for part in speaker.speak(clause, aloud=thought == made.thought):
                    if not parts.put(part):
                        return
            for sound in speaker.end():
                parts.put(sound)

        threads = [feed(clauses, write, "write"), feed(parts, speak, "speak")]
        with self._lock:
            self._working = [t for t in self._working if t.is_alive()] + threads
        yield from parts
        made.complete = not stopped()

    def say(self, text: str) -> Audio:
        return self.synthesizer.say(text)

    def settle(self, reply_id: int, heard: Heard | None) -> None:
        with self._lock:
            made = self._made.pop(reply_id, None)
            again = made is None and self._settled is not None and self._settled[0] == reply_id
            if again and self._settled is not None:
                made = self._settled[1]
            if self._tools is not None:
                self._tools.settle(reply_id, None if heard is None else heard.text)
            if made is not None and made.tools is not None and made.tools.used:
                heard = heard or Heard(0, "", "")  # tools were used, also if nothing was heard
            if made is None or heard is None:
                return
            self._settled = (reply_id, made)
            exchange = made.exchange(reply_id, heard)
            if again:
                self._history = tuple(
                    exchange if old.number == reply_id else old for old in self._history
                )
            else:
                self._add(exchange)
        self._prepare()

    def remember(self, number: int, user: str, assistant: str) -> None:
        with self._lock:
            self._add(ChatExchange(user, assistant, number=number))
        self._prepare()

    def forget(self, number: int) -> None:
        with self._lock:
            self._history = tuple(old for old in self._history if old.number != number)
        self._prepare()

    def set_persona(self, persona: str) -> None:
        with self._lock:
            self.prompt = replace(self.prompt, persona=persona or self._first[1].persona)
        self._prepare()

    def start_over(self) -> None:
        voice, prompt = self._first
        self.set_voice(voice)
        with self._lock:
            self.prompt = replace(prompt, began=self._now())
            self._history, self._settled = (), None
            self._made.clear()
            if self._tools is not None:
                self._tools.forget_question()
        self._prepare()

    def set_voice(self, voice: str) -> None:
        synthesizer = self._loaded.get(voice) or self._voices(voice)
        synthesizer.load()
        with self._lock:
            self._loaded.pop(voice, None)
            self._loaded[voice] = self._synthesizer = synthesizer
            self._voice = voice
            if len(self._loaded) > _VOICES_KEPT:
                del self._loaded[next(iter(self._loaded))]

    def close(self) -> None:
        atexit.unregister(self.close)
        self._closed.set()
        if self._tools is not None:
            self._tools.box.close()
        with self._lock:
            loaded = list(self._loaded.values())
            working = self._working
        if join_all(working, CLOSE_S):
            return  # a thread still uses the model inside a library
        self.chat.close()
        for synthesizer in loaded:
            synthesizer.close()

    def _read(self, messages: Sequence[Message]) -> None:
        """Let the chat model read ``messages`` ahead. Raises: ChatError."""
        if self._tools is None:
            self.chat.prepare(messages)
        else:
            self._tools.prepare(messages)

    def _add(self, exchange: ChatExchange) -> None:
        taken = self._tools.tokens if self._tools is not None else 0
        room = self.chat.context - taken
        self._history = fit_history(self.prompt, (*self._history, exchange), room)

    def _prepare(self) -> None:
        """Let the chat model read the new history while the user is talking or thinking."""
        with self._lock:
            self._unread = True
            if self._closed.is_set() or (self._preparing and self._preparing.is_alive()):
                return
            self._preparing = Worker(self._read_history, "prepare")
            self._preparing.start()
            self._working.append(self._preparing)

    def _read_history(self) -> None:
        """Read the history until it has not changed meanwhile."""
        while True:
            with self._lock:
                if not self._unread:
                    self._preparing = None
                    return
                self._unread = False
                messages = build_messages(self.prompt, self._history, now=self._now())
            # Only a head start: if the chat model is broken, the next reply reports it.
            with contextlib.suppress(ModelError):
                self._read(messages)
            if self._closed.is_set():
                return
