"""The user's side of turn taking: the states LISTENING, MUTED and USER_SPEAKING."""

from __future__ import annotations

from audio_io.clock import samples, seconds
from model.events import EndpointJudged, TurnState
from model.hearing.open_turn import OpenTurn
from model.turns import endpointing
from model.turns.answering import Answering
from model.turns.end_of_turn import EndOfTurnProbe
from model.turns.endpointing import EndOfTurnModel, Evidence, Verdict
from model.turns.floor import Floor, present
from model.turns.phrases import Phrase, Phrases


class Listening:
    """Waits for a turn, hears it out, and hands it to ``answering`` when it is over."""

    def __init__(
        self,
        floor: Floor,
        answering: Answering,
        phrases: Phrases | None,
        end_of_turn: EndOfTurnModel | None,
    ) -> None:
        s = floor.settings
        self._floor = floor
        self._answering = answering
        self._phrases = phrases
        self._probe = EndOfTurnProbe(end_of_turn, floor.executor, samples(s.speculate_after))
        self._answered_to = 0  # the end of speech that the reply begun last knows of
        self._told = (0, 0, "")  # turn, end of speech and reason of the last judgement told

    def listen(self) -> None:
        """One frame of LISTENING or MUTED."""
        floor = self._floor
        floor.hearing.skip_echo()
        if floor.hearing.speech_began:
            floor.turn = floor.open_turn()
            floor.enter(TurnState.USER_SPEAKING, "speech began")

    def answer_typed(self, text: str) -> None:
        """Take ``text`` as a turn."""
        floor = self._floor
        floor.turn = floor.open_turn(typed=text)
        floor.emit_transcript(present(floor.turn), text, final=True)
        self._commit("typed")

    def hear_out(self) -> None:
        """One frame of USER_SPEAKING."""
        floor, s = self._floor, self._floor.settings
        turn, silence = present(floor.turn), floor.hearing.silence
        speaking = not silence and floor.reply is None
        floor.events.extend(floor.recognition.partial(floor.now, turn, speaking=speaking))
        if floor.reply is not None:
            floor.poll_reply()
        if floor.now - turn.start >= samples(s.max_turn):
            turn.closed, turn.held = True, False
            floor.hearing.forget()  # what follows is the next turn
            self.finish_turn(f"turn of {s.max_turn:.0f} s")
        elif not turn.held:
            if floor.reply is not None and not silence and floor.hearing.speech_began:
                floor.discard_reply("you went on")
            if silence:
                self._judge(turn, silence)

    def finish_turn(self, reason: str) -> None:
        """Answer the open turn, or drop it if there is too little speech in it."""
        turn = present(self._floor.turn)
        if turn.voiced >= samples(self._floor.settings.min_speech):
            self._commit(reason)
        else:
            self.discard_turn(f"only {seconds(turn.voiced):.2f} s of speech")

    def discard_turn(self, reason: str) -> None:
        """Drop the open turn."""
        self._floor.recognition.drop_partial()
        self._probe.forget()
        self._floor.discard_turn(reason)

    def _judge(self, turn: OpenTurn, silence: int) -> None:
        """The user says nothing: is the turn over?"""
        floor, s = self._floor, self._floor.settings
        if turn.voiced < samples(s.min_speech):
            if silence >= samples(s.silence):
                self.finish_turn("")
            return
        if silence >= samples(s.speculate_after):
            if floor.reply is not None and turn.end_of_speech > self._answered_to:
                floor.discard_reply("you said more")
            if floor.reply is None:
                self._begin_reply()
        floor.events.extend(self._probe.poll(floor.now, turn, silence))
        evidence = self._evidence(silence)
        verdict = endpointing.judge(evidence, s)
        if verdict.over:
            self._tell(turn, evidence, verdict)
            self.finish_turn(f"{verdict.reason}, {evidence.silence:.2f} s of silence")
        elif not evidence.words_coming and evidence.silence >= s.silence_finished:
            self._tell(turn, evidence, verdict)

    def _evidence(self, silence: int) -> Evidence:
        reply = self._floor.reply
        text = reply.turn_text if reply is not None else None
        return Evidence(
            silence=seconds(silence),
            words=self._phrases.end_of(text) if self._phrases and text else None,
            words_coming=self._phrases is not None and (reply is None or reply.words_pending),
            asked=self._floor.asked,
            probability=self._probe.probability,
        )

    def _begin_reply(self) -> None:
        self._floor.recognition.drop_partial()
        self._answered_to = present(self._floor.turn).end_of_speech
        self._floor.begin_reply()

    def _commit(self, reason: str) -> None:
        floor = self._floor
        if floor.reply is None:
            self._begin_reply()
        reply = present(floor.reply)
        reply.committed_at = floor.now
        level = present(floor.turn).level()
        floor.user_level = floor.user_level if level is None else level
        self._probe.forget()
        if reply.turn_text and reply.question.typed is None:
            floor.emit_transcript(reply.question, reply.turn_text, final=True)
        floor.enter(TurnState.THINKING, reason)
        self._answering.think()

    def _tell(self, turn: OpenTurn, evidence: Evidence, verdict: Verdict) -> None:
        """Tell of the judgement, unless it is the same as before."""
        judgement = (turn.number, turn.end_of_speech, f"{verdict.over} {verdict.reason}")
        if judgement == self._told:
            return
        self._told = judgement
        probability = -1.0 if evidence.probability is None else round(evidence.probability, 3)
        self._floor.emit(
            EndpointJudged(
                self._floor.now,
                turn.number,
                over=verdict.over,
                silence=round(evidence.silence, 3),
                probability=probability,
                phrase=(evidence.words.phrase if evidence.words else Phrase.UNKNOWN).value,
                reason=verdict.reason,
            )
        )
