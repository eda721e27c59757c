"""The assistant's side of turn taking: the states THINKING, SPEAKING and INTERRUPTED."""

from __future__ import annotations

from audio_io.clock import ASSISTANT_RATE, samples
from model.events import (
    Interrupted,
    Notice,
    PlaybackAction,
    ReplyFinished,
    ReplyStarted,
    TurnState,
)
from model.playback.falling_silent import FallingSilent
from model.playback.playing import Playing
from model.turns import barge_in
from model.turns.barge_in import Act
from model.turns.floor import Floor, present
from model.turns.phrases import Over, Phrases
from model.turns.talk_over import TalkOver, WordsOver


class Answering:
    """Waits for a reply, lets it be heard, and stops it when the user takes the floor.

    ``phrases`` tell what is said over a reply; without them only its length is known.
    """

    def __init__(self, floor: Floor, phrases: Phrases | None) -> None:
        self._floor = floor
        self._phrases = phrases
        self._words_over = WordsOver(floor.recognition, phrases)
        self._stopping: FallingSilent | None = None

    def think(self) -> None:
        """One frame of THINKING: the turn is over, and the reply not ready."""
        floor = self._floor
        reply, turn, hearing = present(floor.reply), present(floor.turn), floor.hearing
        if turn.went_on_after(reply.committed_at) and hearing.speech_began:
            floor.discard_reply("you went on")
            floor.enter(TurnState.USER_SPEAKING, "you went on")
            return
        if turn.closed and not floor.talk_over and hearing.speech_began:
            floor.talk_over = TalkOver(floor.open_turn(), hearing.run, floor.user_level)
        floor.poll_reply()
        self._understand_talk_over()
        if reply.turn_text == "":
            self._discard_turn("nothing recognised")
        elif turn.over_reply and self._is_backchannel(reply.turn_text):
            self._discard_turn(f"only “{reply.turn_text}”")
        elif reply.first_audio_at is not None or (reply.text and not floor.generator.info.speaks):
            floor.playing = Playing(reply, floor.now)
            floor.emit(ReplyStarted(floor.now, reply.number, turn.number))
            floor.enter(TurnState.SPEAKING, "reply began")
            floor.events.extend(floor.playing.update(floor.now, floor.playback))
        elif reply.complete:
            if not reply.failed:
                floor.emit(Notice(floor.now, "warning", f"nothing to say in {reply.text!r}"))
            floor.generator.settle(reply.number, reply.spoken.split(0))
            floor.asked = False
            self._end_reply("no reply came")

    def speak(self) -> None:
        """One frame of SPEAKING."""
        floor = self._floor
        reply, playing = present(floor.reply), present(floor.playing)
        floor.poll_reply()
        floor.events.extend(playing.update(floor.now, floor.playback))
        premature = playing.heard < samples(floor.settings.continuation, ASSISTANT_RATE)
        if not premature and not floor.talk_over:
            floor.turn = None
        if playing.finished:
            floor.generator.settle(reply.number, reply.spoken.split(reply.samples))
            floor.asked = reply.text.rstrip().endswith("?")
            floor.emit(ReplyFinished(floor.now, reply.number, reply.text))
            self._end_reply("reply ended")
        elif playing.stalled:
            floor.emit(Notice(floor.now, "warning", "the speaker lost the end of the reply"))
            self._settle_interrupted(playing.heard, "the speaker stands still")
            self._end_reply("the speaker stands still")
        elif floor.settings.barge_in:
            self._watch_for_barge_in()

    def fall_silent(self) -> None:
        """One frame of INTERRUPTED: the speaker was told to stop, and is not silent yet."""
        floor = self._floor
        reply, playing, turn = present(floor.reply), present(floor.playing), floor.turn
        stopping = present(self._stopping)
        heard, reason = playing.follow(floor.now, floor.playback), stopping.reason
        if not stopping.silent(heard):
            return
        if turn is not None and turn.went_on_after(reply.committed_at):
            floor.generator.settle(reply.number, None)
            floor.emit(Interrupted(floor.now, reply.number, heard, "", reply.text, "you went on"))
        else:
            self._settle_interrupted(heard, reason)
        floor.reply = floor.playing = self._stopping = None
        if turn is None:
            floor.rest(reason)
        else:
            floor.enter(TurnState.USER_SPEAKING, reason)

    def interrupt(self, reason: str) -> None:
        """Stop the reply, if there is one that the user knows of; its turn is over with it."""
        floor = self._floor
        if floor.state is TurnState.SPEAKING:
            floor.turn = floor.talk_over = None
            self._stop(reason)
        elif floor.state is TurnState.THINKING:
            present(floor.reply).cancel()
            self._words_over.drop()
            self._settle_interrupted(0, reason)
            floor.reply = floor.turn = floor.talk_over = None
            floor.rest(reason)

    def _watch_for_barge_in(self) -> None:
        floor, hearing = self._floor, self._floor.hearing
        playing, talk_over = present(floor.playing), floor.talk_over
        if talk_over is None:
            if hearing.speech_began:
                floor.talk_over = self._open_talk_over()
                floor.control(PlaybackAction.DUCK, "speech over the reply")
            return
        self._understand_talk_over()
        evidence = self._words_over.evidence(talk_over, hearing.silence)
        verdict = barge_in.judge(evidence, floor.settings)
        match verdict.act:
            case Act.HOLD if not playing.held:
                playing.held = True
                floor.control(PlaybackAction.HOLD, verdict.reason)
            case Act.WAIT if playing.held:
                playing.held = False
                floor.control(PlaybackAction.RESUME, verdict.reason)
                floor.control(PlaybackAction.DUCK, verdict.reason)
            case Act.RESUME:
                floor.talk_over, playing.held = None, False
                self._words_over.drop()
                floor.control(PlaybackAction.RESUME, verdict.reason)
            case Act.STOP:
                floor.turn, floor.talk_over = talk_over.turn, None
                self._stop(verdict.reason)

    def _understand_talk_over(self) -> None:
        """Find out the words of what is said over the reply, or while it is thought about."""
        floor = self._floor
        if floor.talk_over is not None and floor.settings.barge_in:
            said_over, silence = present(floor.reply).text, floor.hearing.silence
            floor.events.extend(
                self._words_over.poll(floor.now, floor.talk_over, silence, said_over)
            )

    def _open_talk_over(self) -> TalkOver:
        floor, hearing = self._floor, self._floor.hearing
        turn, floor.turn = floor.turn, None
        if turn is None or turn.closed:
            return TalkOver(floor.open_turn(), hearing.run, floor.user_level)
        return TalkOver(turn, hearing.run, floor.user_level, goes_on=True)

    def _stop(self, reason: str) -> None:
        floor = self._floor
        present(floor.reply).cancel()
        self._words_over.drop()
        floor.control(PlaybackAction.STOP, reason)
        self._stopping = FallingSilent(present(floor.playing).heard, reason)
        floor.enter(TurnState.INTERRUPTED, reason)

    def _settle_interrupted(self, heard: int, reason: str) -> None:
        """The reply is over after ``heard`` samples (24 kHz) of it."""
        floor, reply = self._floor, present(self._floor.reply)
        floor.asked = False
        split = reply.spoken.split(heard)
        floor.generator.settle(reply.number, split)
        floor.emit(Interrupted(floor.now, reply.number, heard, split.text, split.unheard, reason))

    def _end_reply(self, reason: str) -> None:
        """The reply is settled. Speech that had begun over its end is a turn of its own."""
        floor = self._floor
        talk_over = floor.talk_over
        if talk_over is None:
            floor.reply = floor.turn = floor.playing = None
            floor.rest(reason)
            if not floor.settings.barge_in:
                floor.hearing.deafen(samples(floor.settings.deaf_after))
            return
        self._words_over.drop()
        if floor.playing is not None:
            floor.control(PlaybackAction.RESUME, reason)
        floor.reply = floor.talk_over = floor.playing = None
        floor.turn = floor.open_turn() if talk_over.goes_on else talk_over.turn
        floor.turn.over_reply = not floor.asked
        floor.enter(TurnState.USER_SPEAKING, "speech began")

    def _discard_turn(self, reason: str) -> None:
        """The turn was none. What was said meanwhile is the next one."""
        self._words_over.drop()
        self._floor.discard_turn(reason)

    def _is_backchannel(self, text: str | None) -> bool:
        if self._phrases is None or text is None:
            return False
        return self._phrases.over_a_reply(text).kind is Over.BACKCHANNEL
