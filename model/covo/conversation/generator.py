"""Covo-Audio-Chat as a reply generator: a turn in, text and speech out while they are made.

Three threads make a reply: one decodes tokens, one turns speech codes into sound, and one lets
the embedded recogniser read what the user said, for the screen and the record; the network does
not wait for it, because it hears the turn itself. Whoever called :meth:`CovoGenerator.reply` hands
out what they make. If the recogniser finds no speech in a turn before anything of the reply is
out, there is no reply: it was a noise.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from model.covo.conversation.dialogue import Dialogue
from model.covo.conversation.exchange import Reply, Turn
from model.covo.conversation.recognition import load_recognizer
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
    LoadableRecognizer,
    ReplyAudio,
    ReplyNotice,
    ReplyPart,
    ReplyText,
    TurnText,
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


class _Race:
    """What comes first decides: the reply's first sound, or the news that nothing was said."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._winner = ""

    def wins(self, who: str) -> bool:
        """Whether ``who`` was the first to ask."""
        with self._lock:
            self._winner = self._winner or who
            return self._winner == who


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
        recognizer: LoadableRecognizer | None = None,
    ) -> None:
        self.recognizer = recognizer
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
        if self.recognizer is not None:
            progress("loading the recogniser")
            load_recognizer(self.recognizer)
        loaded = self._load(self._voice, progress)
        progress("running the network once")
        loaded.dialogue.warm_up()
        if loaded.speaking is not None and self._voice is not None:
            progress("speaking once")
            loaded.speaking.warm_up(self._voice.prompt)
        self._loaded = loaded

    def reply(self, reply: int, turn: UserTurn, cancelled: Cancelled) -> Iterator[ReplyPart]:
        loaded = self._present()
        asked = Turn(turn.audio) if turn.text is None else Turn(text=turn.text)
        with self._lock:
            made = _Made(loaded.dialogue.begin(asked), self._voice)
            self._made[reply] = made

        def stopped() -> bool:
            return self._closed.is_set() or cancelled()

        yield from self._known_before(turn)
        parts: Channel[ReplyPart] = Channel(stopped)
        codes: Channel[tuple[int, ...]] = Channel(lambda: parts.stopped, _GROUPS_AHEAD)
        race = _Race()

        def read() -> None:
            """What the user said, if anybody wants to know."""
            if self.recognizer is None or turn.text is not None:
                return
            try:
                with failing_as_model_error("the recogniser"):
                    text = self.recognizer.transcribe(turn.audio).strip()
            except ModelError as error:
                parts.put(ReplyNotice("warning", f"what you said could not be written: {error}"))
                return
            if text or race.wins("noise"):
                parts.put(TurnText(text))

        def decode() -> None:
            for part in loaded.dialogue.stream(made.reply, lambda: parts.stopped):
                match part:
                    case SpeechCodes(group):
                        codes.put(group)
                    case TextDelta(text):
                        if loaded.speaking is None and not race.wins("reply"):
                            return
                        parts.put(ReplyText(text))
                    case _:
                        if (notice := _notice(part)) is not None:
                            parts.put(notice)

        def speak() -> None:
            if loaded.speaking is not None and made.voice is not None:
                prompt, answer = made.voice.prompt, made.reply.answer
                for spoken in loaded.speaking.speak(codes, prompt, answer, made.reply.seed):
                    made.samples += len(spoken.samples)
                    audio = ReplyAudio(spoken.samples, spoken.text)
                    if not race.wins("reply") or not parts.put(audio):
                        return
            for _ in codes:
                pass  # the network only writes; wait for it
            if not parts.stopped:
                reading.join()

        reading = threading.Thread(target=read, name="covo-read", daemon=True)
        reading.start()
        threads = [reading, feed(codes, decode, "decode"), feed(parts, speak, "speak")]
        with self._lock:
            self._working = [t for t in self._working if t.is_alive()] + threads
        for part in parts:
            yield part
            if part == TurnText(""):
                parts.close()
                return
        made.finished = not stopped()

    def _known_before(self, turn: UserTurn) -> Iterator[ReplyPart]:
        with self._lock:
            trouble, self._trouble = self._trouble, ""
        if trouble:
            yield ReplyNotice("warning", trouble)
        if turn.text is not None:
            yield TurnText(turn.text)

    def settle(self, reply: int, heard_samples: int | None) -> Heard:
        loaded = self._present()
        with self._lock:
            made = self._made.pop(reply, None)
        if made is None or heard_samples is None:
            return Heard("", "")
        heard_codes = None  # what is only written, is read
        whole = made.finished and heard_samples >= made.samples
        if loaded.speaking is not None and made.voice is not None and not whole:
            heard_codes = loaded.speaking.heard_codes(heard_samples, made.voice.prompt)
        cut = loaded.dialogue.remember(made.reply, heard_codes)
        self._prepare()
        return Heard(cut.heard, cut.unheard)

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
        if self.recognizer is not None:
            self.recognizer.close()
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
