"""Ask beside the conversation whose voice it is, and learn the user's."""

from __future__ import annotations

from audio_io.clock import samples, seconds
from model.events import Notice
from model.hearing.identity.profile import (
    MOST_S,
    SHORTEST_S,
    Embedding,
    SpeakerEmbedder,
    SpeakerProfile,
    Whose,
)
from model.hearing.open_turn import OpenTurn
from model.jobs.executor import Executor
from model.jobs.question import Question

VOICE_LANE = "whose voice"

SOMEBODY_ELSE = "somebody else's voice"
"""The reason for ignoring speech."""

_PIECE_S = 1.2
"""Ask about each so much of speech that goes on."""


class SpeakerCheck:
    """Tells the user's speech from other people's.

    Everybody is taken for the user until enough of the user was heard, and always without an
    ``embedder``.
    """

    def __init__(self, embedder: SpeakerEmbedder | None, executor: Executor) -> None:
        self._embedder = embedder
        self._begin_profile()
        self._question = _question(executor)
        self._learning = _question(executor)
        self._turn = 0
        self._others = 0  # samples of that turn's speech that are somebody else's
        self._asked = 0  # how many were asked about
        self._length = 0  # of the piece that is asked about
        self._above_noise = 0.0  # of its turn, in dB
        self._ended = False  # whether the speech ended with that piece
        self._sure = False  # whether it is surely the user's
        self._learnt = (0, 0)  # a turn, and how many samples of its speech were learnt
        self._other: bool | None = None

    @property
    def knows_user(self) -> bool:
        """Whether others can be told from the user."""
        return self._profile.voice is not None and not self._question.disabled

    @property
    def pending(self) -> bool:
        """Whether the answer about the present speech is still to come."""
        return self._question.pending

    def other(self, turn: OpenTurn) -> bool | None:
        """Return whether all speech asked about in ``turn`` is clearly not the user's; None while
        unknown."""
        return self._other if turn.number == self._turn else None

    def ask(self, now: int, turn: OpenTurn, voiced: int, *, ended: bool) -> None:
        """Ask whose voice the last ``voiced`` samples of speech in ``turn`` are.

        Asks about all of it, and again as it goes on, until it is surely the user's. After what is
        somebody else's a new piece begins: the user may speak up. What is hard to tell counts as
        the user's once the speech has ``ended``.
        """
        embedder = self._embedder
        if embedder is None:
            return
        if turn.number != self._turn or voiced < self._asked:
            self._question.drop()
            self._turn, self._others, self._asked = turn.number, 0, 0
            self._sure, self._other = False, None
        piece, new = voiced - self._others, voiced - self._asked
        enough = new >= samples(_PIECE_S)
        if ended and (new or not self._ended):
            enough = piece >= samples(SHORTEST_S)
        if not enough or self.pending or self._sure or not self.knows_user:
            return
        self._asked, self._length, self._ended = voiced, min(piece, samples(MOST_S)), ended
        self._above_noise = turn.above_noise()
        speech = turn.speech()[-self._length :]
        self._question.ask(now, lambda: embedder.embed(speech))

    def learn(self, now: int, turn: OpenTurn) -> None:
        """Learn the user's voice from ``turn``, or from what is new in it."""
        embedder = self._embedder
        if embedder is None or not turn.voiced:
            return
        number, had = self._learnt
        speech = turn.speech()
        self._learnt = (turn.number, len(speech))
        new = speech[had:] if number == turn.number else speech
        wanted = self._profile.learn(new, turn.above_noise())
        if wanted is not None:
            self._learning.ask(now, lambda: embedder.embed(wanted))

    def poll(self, now: int) -> list[Notice]:
        """Collect answers; return what the user should know."""
        notices = self._question.poll(now) + self._learning.poll(now)
        if self._question.answer is not None:
            voice, length = self._question.answer, seconds(self._length)
            whose = self._profile.whose(voice, length, self._above_noise)
            if whose is Whose.OTHER:
                self._profile.remember_other(voice, length)
            self._tell(whose)
            self._question.drop()
        if self._learning.answer is not None:
            if self._profile.voice is None:
                notices.append(Notice(now, "info", "your voice is known: others are not answered"))
            self._profile.voice = self._learning.answer
            self._learning.drop()
        return notices

    def begin_anew(self, now: int) -> Notice:
        """Forget the user's voice: whoever speaks next is the user."""
        if self._embedder is None:
            text = "voices are not told apart: turns.only_user is off"
            return Notice(now, "warning", text)
        self._question.drop()
        self._learning.drop()
        self._begin_profile()
        self._other = None
        return Notice(now, "info", "whoever speaks next is the user")

    def _begin_profile(self) -> None:
        self._profile = SpeakerProfile(self._embedder.middle if self._embedder else 0.0)

    def _tell(self, whose: Whose) -> None:
        """Take in whose the piece is that was asked about."""
        if whose is Whose.OTHER:
            self._other, self._others = True, self._asked
        elif whose is Whose.USER or self._ended:
            self._other, self._sure = False, whose is Whose.USER


def _question(executor: Executor) -> Question[Embedding]:
    return Question(
        executor,
        VOICE_LANE,
        model="the speaker network",
        trouble="everybody is taken for you",
    )
