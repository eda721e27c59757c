"""The replies of a server: collected, played, followed to the ear, and cut where they end.

Times are user samples, lengths samples at 24 kHz.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from audio_io.clock import ASSISTANT_RATE, samples
from audio_io.signal import Position
from model.characters import WholeCharacters
from model.endpoints.audio_answer import SoundReader
from model.events import Event, Interrupted, Notice, ReplyFinished, ReplyStarted, TurnLatency
from model.playback.spoken_reply import SpokenReply, latency_parts
from model.playback.spoken_text import SaidWords
from model.turns.answer import LONGEST_REPLY_S


class RemoteReply(SpokenReply):
    """The reply that is the server's response ``response_id``, to turn ``turn``.

    ``end_of_speech``: when the user last spoke before it. ``rate``: of its raw sound.
    """

    def __init__(
        self, reply_id: int, turn: int, response_id: str, end_of_speech: int, rate: int
    ) -> None:
        super().__init__(reply_id, turn)
        self.response_id = response_id
        self.item_id = ""
        """The server's name for what is being said."""
        self.end_of_speech = end_of_speech
        self.started = False
        """Whether the user was told of it."""
        self.ending_reason = ""
        """Why it was cut, or is not whole."""
        self._sound = SoundReader(rate)
        self._characters = WholeCharacters()
        self._words = SaidWords()

    @property
    def sounding(self) -> bool:
        """Whether it can be heard, or soon will be."""
        return self.started and not (self.stopped or self.finished)

    def add_text(self, now: int, delta: str) -> None:
        """Add words."""
        text = self._characters.feed(delta)
        self.write(now, text)
        self._words.write(text)

    def add_sound(self, now: int, data: bytes) -> bool:
        """Add raw sound; return false if it is longer than any reply may be."""
        room = samples(LONGEST_REPLY_S, ASSISTANT_RATE) - self.samples
        sound = self._sound.read(data)[: max(0, room)]
        self.say(now, sound, self._words.take(len(sound)))
        return len(sound) < room

    def cut(self, reason: str) -> None:
        """Stop it; the caller stops the speaker."""
        self.ending_reason = reason
        self.stop()

    def latency(self, now: int) -> TurnLatency:
        """Return the time from the user's last speech to the first sound played.

        ``server``: until its first sound came; ``play``: until that was heard.
        """
        marks = {"server": self.first_audio_at, "play": self.first_heard_at}
        parts = latency_parts(self.end_of_speech, marks)
        return TurnLatency(now, self.turn, self.reply_id, sum(parts.values()), parts)

    def end_events(self, now: int) -> list[Event]:
        """Return the events that end it, empty while it can still be heard."""
        if self.stopped:
            return [self._interrupted(now)] if self.silent else []
        if not (self.finished or self.stalled(now)):
            return []
        if self.ending_reason:
            return [self._interrupted(now)]
        finished = ReplyFinished(now, self.reply_id, self.text)
        if self.finished:
            return [finished]
        return [Notice(now, "warning", "the speaker did not play the end of the reply"), finished]

    def _interrupted(self, now: int) -> Interrupted:
        heard = self.split()
        return Interrupted(
            now, self.reply_id, heard.samples, heard.text, heard.unheard, self.ending_reason
        )


class RemoteReplies:
    """The replies whose end was not reported yet, in order."""

    def __init__(self) -> None:
        self._replies: deque[RemoteReply] = deque()
        self._count = 0
        self.ended: RemoteReply | None = None
        """The reply whose end was reported last."""

    @property
    def busy(self) -> bool:
        """Whether a reply is being made or heard."""
        return bool(self._replies)

    @property
    def sounding(self) -> RemoteReply | None:
        """The reply that can be heard."""
        return next((reply for reply in self._replies if reply.sounding), None)

    @property
    def newest(self) -> RemoteReply | None:
        """The newest reply."""
        return self._replies[-1] if self._replies else None

    def begin(self, turn: int, response_id: str, end_of_speech: int, rate: int) -> None:
        """Add a reply that was announced."""
        self._count += 1
        self._replies.append(RemoteReply(self._count, turn, response_id, end_of_speech, rate))

    def of(self, response_id: str) -> RemoteReply | None:
        """Return the reply that is the response called so; without a name, the newest."""
        if not response_id:
            return self.newest
        return next((r for r in self._replies if r.response_id == response_id), None)

    def end(self, reply: RemoteReply, reason: str = "") -> None:
        """No more of ``reply`` will come. ``reason``: why it is not whole.

        One that nobody has heard of is forgotten if there is nothing of it to be told.
        """
        reply.end(whole=not reason)
        if reason and not reply.stopped:
            reply.ending_reason = reason
        if not (reply.started or reply.samples) and (reason or not reply.text):
            self.discard(reply)

    def discard(self, reply: RemoteReply) -> None:
        """Forget ``reply``, which was not heard."""
        self._replies.remove(reply)

    def cut_all(self, reason: str) -> RemoteReply | None:
        """Stop all replies; return the one that could be heard. Those that could not are
        forgotten."""
        sounding = self.sounding
        for reply in self._replies:
            if not reply.stopped:
                reply.cut(reason)
        self._replies = deque(reply for reply in self._replies if reply.started)
        return sounding

    def lose(self, reason: str) -> None:
        """Nothing more of any reply will come, and the server knows none of them any more."""
        for reply in tuple(self._replies):
            reply.item_id = ""
            if not reply.complete:
                self.end(reply, reason)

    def poll(self, now: int, playback: Position) -> Iterator[Event]:
        """Yield what happened to the replies by ``now``."""
        for reply in self._replies:
            if not reply.started and (reply.samples or (reply.complete and reply.text)):
                reply.started = True
                yield ReplyStarted(now, reply.reply_id, reply.turn)
            if reply.started:
                yield from reply.take(now)
        while self._replies and (reply := self._replies[0]).started:
            if reply.follow(now, playback) and reply.end_of_speech:
                yield reply.latency(now)
            ending = reply.end_events(now)
            if not ending:
                return
            self.ended = self._replies.popleft()
            yield from ending
