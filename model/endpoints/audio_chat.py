"""A model behind chat completions that hears the turn and answers in speech.

Covo-Audio-Chat, Qwen2.5-Omni, Qwen3-Omni and Step-Audio 2 behind vLLM-Omni, and OpenAI's audio
models. The server keeps nothing: each request holds the turn as sound and what came before as text,
of the replies what was heard.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

from audio_io.signal import Audio
from audio_io.worker import join_all
from model.endpoints.audio_answer import AudioReading
from model.endpoints.audio_dialect import PCM16, WAV, AudioDialect, SpokenMessage
from model.endpoints.endpoint import Endpoint, unless_stopped
from model.endpoints.server_key import ServerKey, is_openai
from model.engine import EngineInfo, Progress
from model.jobs.channel import Cancelled, Channel, feed
from model.jobs.executor import CLOSE_S
from model.lite.chat import Message
from model.lite.prompt import CUT_OFF, ToldTime
from model.lite.reply_reader import ReplyReader
from model.reply import Heard, ReplyPart, UserTurn

_MOST_TOKENS = 4096
"""Longest reply, words and sound, where none is set."""
_CONTEXT = 6000
_MOST_EXCHANGES = 40


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A turn's ``words``, or its ``sound`` while they are unknown, and what was ``heard`` of its
    reply. ``number``: that of the reply, or negative where the exchange was added. ``at``: when it
    was answered."""

    words: str
    sound: Audio | None
    heard: str
    number: int
    at: datetime | None = None


@dataclass(slots=True)
class _AskedTurn:
    """A turn that was sent ``at`` a time. ``complete``: all of its reply was yielded."""

    turn: UserTurn
    at: datetime | None
    complete: bool = False


class AudioChat:
    """The ``model`` at ``url`` as a :class:`model.reply.ReplyGenerator`.

    ``words`` returns the words of a turn's sound, empty while they are unknown; then the sound is
    sent again. ``voice``, ``persona``: empty for the server's own. ``max_tokens``, ``context``: 0
    where none is set. ``clock``: tells the time, which goes with turns to a persona of ours.
    Raises: ChatError.
    """

    def __init__(
        self,
        url: str,
        model: str,
        words: Callable[[Audio], str],
        *,
        key: ServerKey,
        voice: str = "",
        persona: str = "",
        max_tokens: int = 0,
        context: int = 0,
        timeout: float = 180.0,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        address = urlsplit(url)
        self._host = address.hostname or ""
        # OpenAI streams nothing else; elsewhere the header tells the rate.
        formats = (PCM16, WAV) if is_openai(self._host) else (WAV, PCM16)
        limit = "max_tokens" if max_tokens else ""
        dialect = AudioDialect(context or _CONTEXT, limit, (), True, True, *formats, voice)
        self._max_tokens = max_tokens or _MOST_TOKENS
        self._endpoint = Endpoint(
            url,
            model,
            dialect,
            key,
            max_tokens=self._max_tokens,
            timeout=timeout,
            model_flag="--model",
        )
        self._words = words
        self._now: Callable[[], datetime | None] = clock or (lambda: None)
        self._persona = persona
        self._voice = voice
        self._first = (voice, persona)
        self._lock = threading.Lock()
        self._asked: dict[int, _AskedTurn] = {}
        self._settled: tuple[int, _AskedTurn] | None = None
        self._history: tuple[_Exchange, ...] = ()
        self._working: list[threading.Thread] = []
        self._closed = threading.Event()

    @property
    def info(self) -> EngineInfo:
        name = self._endpoint.name
        return EngineInfo(
            name="chat-audio",
            description=f"{name}; the sound of your turns goes to {self._host}",
            voice=self._voice,
            device="remote",
            parts={"speech model": name},
        )

    @property
    def hears(self) -> bool:
        return True

    def warm_up(self, progress: Progress) -> None:
        progress(f"trying {self._endpoint.name}")
        reading: AudioReading = AudioReading(self._reader(), lambda parts: not reading.begun)
        asyncio.run(self._endpoint.try_out(progress, reading))

    def reply(self, reply_id: int, turn: UserTurn, cancelled: Cancelled) -> Iterator[ReplyPart]:
        asked = _AskedTurn(turn, self._now())

        def stopped() -> bool:
            return self._closed.is_set() or cancelled()

        with self._lock:
            self._asked[reply_id] = asked
            self._history = tuple(self._recalled(exchange) for exchange in self._history)
            messages = self._messages(asked)
        parts: Channel[ReplyPart] = Channel(stopped)

        def take(some: Sequence[ReplyPart]) -> bool:
            return not parts.stopped and all(parts.put(part) for part in some)

        async def ask() -> AudioReading:
            reading = AudioReading(self._reader(), take)
            await self._endpoint.read(messages, reading)
            return reading

        def produce() -> None:
            reading = asyncio.run(unless_stopped(ask(), lambda: parts.stopped))
            if reading is not None and not parts.stopped:
                take(reading.end())

        thread = feed(parts, produce, "chat")
        with self._lock:
            self._working = [t for t in self._working if t.is_alive()] + [thread]
        yield from parts
        asked.complete = not stopped()

    def settle(self, reply_id: int, heard: Heard | None) -> None:
        with self._lock:
            asked = self._asked.pop(reply_id, None)
            if asked is None and self._settled is not None and self._settled[0] == reply_id:
                asked = self._settled[1]
                self._history = tuple(old for old in self._history if old.number != reply_id)
            if asked is None or heard is None:
                return
            self._settled = (reply_id, asked)
            text = heard.text.strip()
            if text and (heard.unheard or not asked.complete):
                text += f" {CUT_OFF}"
            turn = asked.turn
            words = _said(turn) if turn.text is not None else ""
            self._add(self._recalled(_Exchange(words, turn.audio, text, reply_id, asked.at)))

    def remember(self, number: int, user: str, assistant: str) -> None:
        with self._lock:
            self._add(_Exchange(user, None, assistant, number))

    def forget(self, number: int) -> None:
        with self._lock:
            self._history = tuple(old for old in self._history if old.number != number)

    def set_persona(self, persona: str) -> None:
        with self._lock:
            self._persona = persona or self._first[1]

    def start_over(self) -> None:
        voice, persona = self._first
        self.set_voice(voice)
        with self._lock:
            self._persona, self._history, self._settled = persona, (), None
            self._asked.clear()

    def set_voice(self, voice: str) -> None:
        dialect = self._endpoint.dialect
        if isinstance(dialect, AudioDialect):
            self._endpoint.dialect = replace(dialect, voice=voice)
        self._voice = voice

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            working = self._working
        join_all(working, CLOSE_S)

    def _add(self, exchange: _Exchange) -> None:
        self._history = (*self._history, exchange)[-_MOST_EXCHANGES:]

    def _reader(self) -> ReplyReader:
        return ReplyReader(self._endpoint.name, self._max_tokens)

    def _recalled(self, exchange: _Exchange) -> _Exchange:
        """Return ``exchange`` without its sound if its words are known."""
        if exchange.sound is None:
            return exchange
        words = exchange.words or self._words(exchange.sound)
        return replace(exchange, words=words, sound=None) if words else exchange

    def _messages(self, asked: _AskedTurn) -> list[Message]:
        """Return the conversation up to the turn ``asked``.

        A turn whose reply was interrupted before anything was heard is joined with the next one,
        because chat templates need alternating roles.
        """
        messages = [Message("system", self._persona)] if self._persona else []
        clock = ToldTime(None)

        def timed(words: str, at: datetime | None) -> str:
            return clock.before(words, at) if self._persona else words

        unanswered = ""
        for exchange in self._history:
            unanswered = f"{unanswered} {timed(exchange.words, exchange.at)}".strip()
            if exchange.heard:
                messages += [
                    _message(unanswered, exchange.sound),
                    Message("assistant", exchange.heard),
                ]
                unanswered = ""
        turn = asked.turn
        sound = turn.audio if turn.text is None else None
        words = f"{unanswered} {timed(_said(turn), asked.at)}".strip()
        return [*messages, _message(words, sound)]


def _said(turn: UserTurn) -> str:
    return "\n".join(filter(None, (turn.text, turn.added)))


def _message(words: str, sound: Audio | None) -> Message:
    return Message("user", words) if sound is None else SpokenMessage("user", words, sound=sound)
