"""Covo-Audio-Chat as a reply generator: a turn in, text and speech out while they are made.

One thread decodes tokens, one turns speech codes into sound, and the caller of
:meth:`CovoGenerator.reply` hands out what they make. The network hears the turn itself, so it is
begun before the turn's words are known.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from model.covo.conversation.dialogue import Dialogue
from model.covo.conversation.exchange import Reply, Turn
from model.covo.conversation.reply_parts import (
    ReplyEnd,
    SpeechCodes,
    StopReason,
    TextDelta,
    TurnsDropped,
)
from model.covo.speech.speaking import Speaking
from model.covo.speech.voice_catalogue import NetworkVoice
from model.engine import EngineInfo, Progress
from model.errors import ModelError, failing_as_model_error
from model.jobs.channel import Channel, feed
from model.reply import (
    Heard,
    ReplyAudio,
    ReplyNotice,
    ReplyPart,
    ReplyText,
    UserTurn,
)

Cancelled = Callable[[], bool]

_GROUPS_AHEAD = 256
"""Groups of codes that may be decoded and not spoken yet; then the decoding waits."""


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """What is in memory. ``speaking`` is None where the network only writes."""

    dialogue: Dialogue
    speaking: Speaking | None


@dataclass(slots=True)
class _Made:
    """What has been made of a reply so far: ``samples`` of sound (24 kHz) in ``voice``.
    ``finished``: everything was handed out."""

    reply: Reply
    voice: NetworkVoice | None
    samples: int = 0
    finished: bool = False


class CovoGenerator:
    """A :class:`model.reply.ReplyGenerator`.

    ``load`` brings everything into memory; ``voice`` is the first voice (None: it only writes), and
    ``voices`` gives others by their name, checked. ``info``: what it is made of (its voice is
    filled in here).
    """

    def __init__(
        self,
        load: Callable[[NetworkVoice | None, Progress], LoadedNetwork],
        voices: Callable[[str], NetworkVoice],
        *,
        voice: NetworkVoice | None,
        info: EngineInfo,
    ) -> None:
        self._load = load
        self._voices = voices
        self._info = info
        self._voice = voice
        self._loaded: LoadedNetwork | None = None
        self._lock = threading.Lock()
        self._made: dict[int, _Made] = {}
        self._working: list[threading.Thread] = []
        self._preparing: threading.Thread | None = None
        self._trouble = ""  # what went wrong in preparing; the next reply says it
        self._closed = threading.Event()

    @property
    def info(self) -> EngineInfo:
        with self._lock:
            return replace(self._info, voice=self._voice.name if self._voice else "")

    def warm_up(self, progress: Progress) -> None:
        # A thread that is still inside a library when Python goes down would abort the process.
        atexit.register(self.close)
        loaded = self._load(self._voice, progress)
        progress("running the network once")
        loaded.dialogue.warm_up()
        if loaded.speaking is not None and self._voice is not None:
            progress("speaking once")
            loaded.speaking.warm_up(self._voice.prompt)
        self._loaded = loaded

    @property
    def hears(self) -> bool:
        return True

    def reply(self, reply_id: int, turn: UserTurn, cancelled: Cancelled) -> Iterator[ReplyPart]:
        loaded = self._present()
        asked = Turn(turn.audio) if turn.text is None else Turn(text=turn.text)
        with self._lock:
            made = _Made(loaded.dialogue.begin(asked), self._voice)
            self._made[reply_id] = made

        def stopped() -> bool:
            return self._closed.is_set() or cancelled()

        yield from self._trouble_before()
        parts: Channel[ReplyPart] = Channel(stopped)
        codes: Channel[tuple[int, ...]] = Channel(lambda: parts.stopped, _GROUPS_AHEAD)

        def decode() -> None:
            for part in loaded.dialogue.stream(made.reply, lambda: parts.stopped):
                match part:
                    case SpeechCodes(group):
                        codes.put(group)
                    case TextDelta(text):
                        parts.put(ReplyText(text))
                    case _:
                        if (notice := _notice(part)) is not None:
                            parts.put(notice)

        def speak() -> None:
            if loaded.speaking is not None and made.voice is not None:
                prompt, answer = made.voice.prompt, made.reply.answer
                for spoken in loaded.speaking.speak(codes, prompt, answer, made.reply.seed):
                    made.samples += len(spoken.samples)
                    if not parts.put(ReplyAudio(spoken.samples, spoken.text)):
                        return
            for _ in codes:
                pass  # the network only writes; wait for it

        threads = [feed(codes, decode, "decode"), feed(parts, speak, "speak")]
        with self._lock:
            self._working = [t for t in self._working if t.is_alive()] + threads
        yield from parts
        made.finished = not stopped()

    def _trouble_before(self) -> Iterator[ReplyPart]:
        with self._lock:
            trouble, self._trouble = self._trouble, ""
        if trouble:
            yield ReplyNotice("warning", trouble)

    def settle(self, reply_id: int, heard: Heard | None) -> None:
        loaded = self._present()
        with self._lock:
            made = self._made.pop(reply_id, None)
        if made is None or heard is None:
            return
        heard_codes = None  # what is only written, is read
        whole = made.finished and heard.samples >= made.samples
        if loaded.speaking is not None and made.voice is not None and not whole:
            heard_codes = loaded.speaking.heard_codes(heard.samples, made.voice.prompt)
        loaded.dialogue.remember(made.reply, heard_codes)
        self._prepare()

    def set_voice(self, voice: str) -> None:
        """Use ``voice`` from the next reply on. The system prompt names the speaker, so the whole
        conversation is computed again; that begins at once, beside everything else."""
        if self._voice is None:
            raise ModelError("the assistant only writes; it has no voice to change")
        chosen = self._voices(voice)
        with self._lock:
            self._voice = chosen
        if self._loaded is not None:
            self._loaded.dialogue.set_speaker(chosen.speaker)
            self._prepare()

    def close(self) -> None:
        atexit.unregister(self.close)
        self._closed.set()
        with self._lock:
            working, self._working = self._working, []
        for thread in working:
            thread.join()
        self._loaded = None

    def _present(self) -> LoadedNetwork:
        if self._loaded is None:
            raise ModelError("Covo-Audio is not loaded: warm the engine up first")
        return self._loaded

    def _prepare(self) -> None:
        """Bring the cache up to date while the user is talking or thinking."""
        with self._lock:
            if self._closed.is_set() or (self._preparing and self._preparing.is_alive()):
                return
            self._preparing = threading.Thread(
                target=self._catch_up, args=(self._present(),), name="covo-prepare", daemon=True
            )
            self._preparing.start()
            self._working.append(self._preparing)

    def _catch_up(self, loaded: LoadedNetwork) -> None:
        try:
            with failing_as_model_error("preparing the next reply"):
                loaded.dialogue.prepare()
        except ModelError as error:
            with self._lock:
                self._trouble = str(error)


def _notice(part: TurnsDropped | ReplyEnd) -> ReplyNotice | None:
    match part:
        case TurnsDropped(turns):
            forgotten = f"the oldest {turns} turns are" if turns > 1 else "the oldest turn is"
            return ReplyNotice("info", f"the talk is longer than fits: {forgotten} forgotten")
        case ReplyEnd(reason=StopReason.LIMIT, text=text, codes=codes):
            return ReplyNotice("warning", f"the reply ends at its limit of {text + codes} tokens")
        case ReplyEnd(reason=StopReason.CONTEXT):
            return ReplyNotice("warning", "the reply ends early: there is no room for more of it")
    return None
