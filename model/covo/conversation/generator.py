"""Covo-Audio-Chat as a reply generator, which streams the text and speech of each reply.

One thread decodes the tokens of all replies, one turns a reply's speech codes into sound; the
caller of :meth:`CovoGenerator.reply` yields what they make. The network hears the turn itself, so a
reply begins before the turn's words are known.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from audio_io.worker import join_all
from model.covo.conversation.answer import DialogueReply
from model.covo.conversation.dialogue import Dialogue
from model.covo.conversation.dialogue_parts import (
    ReplyEnd,
    SpeechCodes,
    StopReason,
    TextDelta,
    TurnsDropped,
)
from model.covo.language.stepping import decode_stream
from model.covo.speech.speech_worker import SpeechWorker
from model.covo.speech.voice_catalogue import NetworkVoice
from model.engine import EngineInfo, Progress
from model.errors import ModelError, failing_as_model_error
from model.jobs.channel import Cancelled, Channel, feed, filling
from model.jobs.lane import Lane
from model.playback.limiter import louder_by
from model.reply import Heard, ReplyAudio, ReplyNotice, ReplyPart, ReplyText, UserTurn

CLOSE_S = 1.5
"""Longest time in s that closing waits for a reply's threads."""

_GROUPS_AHEAD = 256
"""Groups of codes that may queue for speech; decoding waits while the queue is full."""


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """The loaded network. ``speech`` is None if it replies in text only."""

    dialogue: Dialogue
    speech: SpeechWorker | None


@dataclass(slots=True)
class _CovoReply:
    """A reply in progress: ``samples`` (24 kHz) so far in ``voice``. ``finished``: all yielded."""

    reply: DialogueReply
    voice: NetworkVoice | None
    samples: int = 0
    finished: bool = False


class CovoGenerator:
    """A :class:`model.reply.ReplyGenerator`.

    ``load`` brings everything into memory. ``voice`` is the first voice, None for text only;
    ``voices`` gives a checked voice by name. ``info``: the description without the voice.
    ``loudness``: dB by which every voice is louder, as far as peaks allow.
    """

    def __init__(
        self,
        load: Callable[[NetworkVoice | None, Progress], LoadedNetwork],
        voices: Callable[[str], NetworkVoice],
        *,
        voice: NetworkVoice | None,
        info: EngineInfo,
        loudness: float = 0.0,
    ) -> None:
        self._load = load
        self._voices = voices
        self._info = info
        self._loudness = loudness
        self._voice = self._first_voice = voice
        self._loaded: LoadedNetwork | None = None
        self._lock = threading.Lock()
        self._made: dict[int, _CovoReply] = {}
        self._settled: tuple[int, _CovoReply] | None = None
        self._decoding = Lane("decode")
        self._newest: _CovoReply | None = None  # the reply that is decoded, or was last
        self._speaking: list[threading.Thread] = []
        self._trouble = ""  # why preparing failed; reported with the next reply
        self._closed = threading.Event()

    @property
    def info(self) -> EngineInfo:
        with self._lock:
            return replace(self._info, voice=self._voice.name if self._voice else "")

    @property
    def hears(self) -> bool:
        return True

    def warm_up(self, progress: Progress) -> None:
        # A thread that is inside a library when Python exits would abort the process.
        atexit.register(self.close)
        loaded = self._load(self._voice, progress)
        progress("running the network once")

        def first() -> None:
            with decode_stream(loaded.dialogue.device):
                loaded.dialogue.warm_up(progress)

        self._decoding.run(first)
        if loaded.speech is not None and self._voice is not None:
            progress("speaking once")
            loaded.speech.warm_up(self._voice.prompt)
        self._loaded = loaded

    def reply(self, reply_id: int, turn: UserTurn, cancelled: Cancelled) -> Iterator[ReplyPart]:
        loaded = self._present()
        asked = (turn.audio, turn.added) if turn.text is None else (None, turn.text)
        with self._lock:
            made = _CovoReply(loaded.dialogue.begin(*asked), self._voice)
            self._made[reply_id] = made
            trouble, self._trouble = self._trouble, ""
        if trouble:
            yield ReplyNotice("warning", trouble)

        def stopped() -> bool:
            return self._closed.is_set() or cancelled()

        def replaced() -> bool:
            return parts.stopped or self._newest is not made

        parts: Channel[ReplyPart] = Channel(stopped)
        codes: Channel[tuple[int, ...]] = Channel(replaced, _GROUPS_AHEAD)

        def decode() -> None:
            # A reply that is remembered gives way to preparing the next one.
            stream = loaded.dialogue.stream(made.reply, lambda: replaced() or made.reply.over)
            with decode_stream(loaded.dialogue.device):
                for part in stream:
                    match part:
                        case SpeechCodes(group):
                            codes.put(group)
                        case TextDelta(text):
                            parts.put(ReplyText(text))
                        case _:
                            if (notice := _notice(part)) is not None:
                                parts.put(notice)

        def speak() -> None:
            if loaded.speech is not None and made.voice is not None:
                said, louder = "", louder_by(self._loudness)
                for sound, spoken in loaded.speech.speak(
                    codes, made.voice.prompt, seed=made.reply.seed
                ):
                    made.samples += len(sound)
                    now = made.reply.answer.said_by(spoken)
                    if not parts.put(ReplyAudio(louder(sound), now[len(said) :])):
                        return
                    said = max(said, now, key=len)
            for _ in codes:
                pass  # without speech: wait for the end of the text

        self._newest = made  # an unfinished reply before it gives way
        self._decoding.submit(filling(codes, decode))
        speaking = feed(parts, speak, "speak")
        with self._lock:
            self._speaking = [t for t in self._speaking if t.is_alive()] + [speaking]
        yield from parts
        made.finished = not stopped()

    def settle(self, reply_id: int, heard: Heard | None) -> None:
        loaded = self._present()
        with self._lock:
            made = self._made.pop(reply_id, None)
            if made is None and self._settled is not None and self._settled[0] == reply_id:
                made = self._settled[1]
        if made is None or heard is None:
            return
        self._settled = (reply_id, made)
        if made.finished and heard.samples >= made.samples:
            loaded.dialogue.settle(reply_id, made.reply)
        else:
            codes = None
            if loaded.speech is not None and made.voice is not None:
                codes = loaded.speech.token2wav.codes(heard.samples, made.voice.prompt)
            loaded.dialogue.settle(reply_id, made.reply, codes, heard.text)
        self._prepare()

    def set_voice(self, voice: str) -> None:
        """Use ``voice`` from the next reply on. The system prompt names the speaker, so the whole
        conversation is computed again, beginning at once and in the background."""
        if self._voice is None:
            raise ModelError("the assistant only writes; it has no voice to change")
        chosen = self._voices(voice)
        with self._lock:
            self._voice = chosen
        if self._loaded is not None:
            self._loaded.dialogue.set_speaker(chosen.speaker)
            self._prepare()

    def set_persona(self, persona: str) -> None:
        self._present().dialogue.set_persona(persona)
        self._prepare()

    def remember(self, number: int, user: str, assistant: str) -> None:
        self._present().dialogue.remember(number, user, assistant)
        self._prepare()

    def forget(self, number: int) -> None:
        self._present().dialogue.forget(number)
        self._prepare()

    def start_over(self) -> None:
        loaded = self._present()
        with self._lock:
            self._voice, self._settled, self._trouble = self._first_voice, None, ""
            self._made.clear()
        loaded.dialogue.start_over()
        if self._voice is not None:
            loaded.dialogue.set_speaker(self._voice.speaker)
        self._prepare()

    def close(self) -> None:
        atexit.unregister(self.close)
        self._closed.set()
        with self._lock:
            speaking, self._speaking = self._speaking, []
        join_all([*self._decoding.end(), *speaking], CLOSE_S)
        self._loaded = None

    def _present(self) -> LoadedNetwork:
        if self._loaded is None:
            raise ModelError("Covo-Audio is not loaded: warm the engine up first")
        return self._loaded

    def _prepare(self) -> None:
        """Start bringing the cache up to date for the next reply, unless that is being decoded."""
        loaded, newest = self._present(), self._newest
        if newest is None or newest.reply.over:
            self._decoding.submit(lambda: self._catch_up(loaded))

    def _catch_up(self, loaded: LoadedNetwork) -> None:
        if self._closed.is_set():
            return
        try:
            with (
                failing_as_model_error("preparing the next reply"),
                decode_stream(loaded.dialogue.device),
            ):
                loaded.dialogue.prepare()
        except ModelError as error:
            with self._lock:
                self._trouble = str(error)


def _notice(part: TurnsDropped | ReplyEnd) -> ReplyNotice | None:
    match part:
        case TurnsDropped(turns):
            forgotten = f"the oldest {turns} turns were" if turns > 1 else "the oldest turn was"
            return ReplyNotice("info", f"the conversation is full: {forgotten} forgotten")
        case ReplyEnd(reason=StopReason.LIMIT, text=text, codes=codes):
            return ReplyNotice(
                "warning",
                f"the reply was cut at its limit of {text + codes} tokens; raise covo.reply_tokens",
            )
        case ReplyEnd(reason=StopReason.CONTEXT):
            return ReplyNotice(
                "warning",
                "the reply was cut: the conversation is full; raise covo.context_minutes",
            )
    return None
