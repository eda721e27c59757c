"""The user's side of turn taking: wait for a turn, hear it out, commit it."""

from __future__ import annotations

from dataclasses import replace

from audio_io.clock import samples, seconds
from audio_io.signal import Audio
from model.events import EndpointJudged, ToolAnswered, TurnDiscarded, UserTranscript
from model.hearing.identity.speaker_check import SOMEBODY_ELSE
from model.hearing.open_turn import OpenTurn
from model.turns import endpointing
from model.turns.answer import TurnAnswer
from model.turns.answering import think
from model.turns.context import TurnContext
from model.turns.endpointing import TurnEvidence, TurnVerdict
from model.turns.phrases import Phrases
from model.turns.states import ConversationState, Listening, Thinking, UserSpeaking

NOTHING_TO_ANSWER = "nothing to answer"
"""Why a turn is discarded when an answer is asked for and nothing waits for one."""


def listen(c: TurnContext, state: Listening) -> ConversationState:
    """Process one frame of LISTENING or MUTED."""
    c.hearing.skip_echo()
    if c.hearing.speech_began:
        return c.enter(UserSpeaking(c.open_turn()), "speech began")
    return state


def ring_timers(c: TurnContext, state: ConversationState) -> None:
    """Ring the timer that is due, if no reply is spoken or about to be; speech ends its ringing.

    Without barge-in it does not ring while the user speaks: what they say meanwhile would be lost.
    """
    if any(isinstance(event, ToolAnswered) for event in c.events):
        c.timers.told()
    if c.hearing.speech_began:
        c.timers.acknowledge()
    match state:
        case Listening():
            c.ring(c.user_level)
        case UserSpeaking(turn=turn, answer=None) if c.settings.barge_in:
            if (level := turn.level()) is not None:
                c.ring(level)


def answer_typed(c: TurnContext, text: str) -> ConversationState:
    """Answer the typed ``text``."""
    turn = c.open_turn(typed=text)
    c.emit(UserTranscript(c.now, turn.number, text, True, turn.start, turn.end_of_speech))
    return _commit(c, turn, None, "typed", wanted=True)


def answer_sound(c: TurnContext, sound: Audio, *, wanted: bool | None) -> ConversationState:
    """Take ``sound`` (float32 mono 16 kHz) as the next turn; ``wanted``: as in
    :func:`finish_turn`."""
    c.turns += 1
    start = max(0, c.now - len(sound))
    turn = OpenTurn(c.turns, start, c.now, frames=[sound], voiced=len(sound))
    turn.closed = True
    return _commit(c, turn, None, "given whole", wanted=wanted)


def answer_waiting(c: TurnContext, text: str) -> ConversationState:
    """Answer the turns that wait, and ``text``."""
    waiting, c.unanswered = c.unanswered, []
    words = "\n".join(answer.words for answer in waiting if answer.words)
    sound = [answer.turn.audio() for answer in waiting]
    c.turns += 1
    if not (waiting or text):
        c.emit(TurnDiscarded(c.now, c.turns, NOTHING_TO_ANSWER))
        return c.rest(NOTHING_TO_ANSWER)
    said, added = (words, text) if waiting else (text, "")
    turn = OpenTurn(c.turns, c.now, c.now, sound, typed=said, added=added)
    return _commit(c, turn, None, "asked to answer", wanted=True)


def hear_out(c: TurnContext, state: UserSpeaking) -> ConversationState:
    """Process one frame of USER_SPEAKING."""
    turn, silence = state.turn, c.hearing.silence
    speaking = not silence and state.answer is None
    for event in c.recognition.partial(c.now, turn, speaking=speaking):
        c.emit(event)
        if isinstance(event, UserTranscript):
            c.read_ahead(event)
    if state.answer is not None:
        c.events += state.answer.poll(c.now, committed=False)
    if c.now - turn.start >= samples(c.settings.max_turn):
        turn.closed, turn.push_to_talk = True, False
        c.hearing.forget()  # what follows is the next turn
        if c.speakers.other(turn):
            return discard_turn(c, state, SOMEBODY_ELSE)
        return finish_turn(c, state, f"turn of {c.settings.max_turn:.0f} s")
    if turn.push_to_talk:
        return state
    if silence:
        return _judge(c, state, silence)
    if c.hearing.speech_began:
        discard_answer(c, state, "you went on")
    return state


def end_turn(
    c: TurnContext, state: UserSpeaking, reason: str, *, wanted: bool | None = None
) -> ConversationState:
    """Finish the turn, which somebody else says is over: what follows is the next one."""
    state.turn.closed, state.turn.push_to_talk = True, False
    c.hearing.forget()
    return finish_turn(c, state, reason, wanted=wanted)


def finish_turn(
    c: TurnContext, state: UserSpeaking, reason: str, *, wanted: bool | None = None
) -> ConversationState:
    """Answer the turn, or drop it if there is too little speech in it.

    ``wanted``: whether to answer it now; None: as the settings say.
    """
    turn = state.turn
    if wanted is not None and state.answer is not None:
        discard_answer(c, state, reason)
    if turn.voiced >= samples(c.settings.min_speech):
        return _commit(c, turn, state.answer, reason, wanted=wanted)
    return discard_turn(c, state, f"only {seconds(turn.voiced):.2f} s of speech")


def drop_turn(c: TurnContext, state: ConversationState, turn: int) -> ConversationState:
    """Answer turn ``turn`` no more; 0: the one being spoken."""
    c.unanswered = [answer for answer in c.unanswered if answer.turn.number != turn]
    if not turn and isinstance(state, UserSpeaking):
        return discard_turn(c, state, "dropped")
    return state


def discard_turn(c: TurnContext, state: UserSpeaking, reason: str) -> Listening:
    """Drop the turn."""
    c.recognition.drop_partial()
    c.probe.forget()
    discard_answer(c, state, reason)
    c.emit(TurnDiscarded(c.now, state.turn.number, reason))
    return c.rest(reason)


def discard_answer(c: TurnContext, state: UserSpeaking, reason: str) -> None:
    """Discard the answer that was begun early, if any."""
    if state.answer is not None:
        c.discard_answer(state.answer, reason)
        state.answer = None


def _judge(c: TurnContext, state: UserSpeaking, silence: int) -> ConversationState:
    """Judge, in a silence, whether the turn is over."""
    turn, s = state.turn, c.settings
    if turn.voiced < samples(s.min_speech):
        return finish_turn(c, state, "") if silence >= samples(s.silence) else state
    if silence >= samples(s.speculate_after):
        if state.answer is not None and turn.end_of_speech > state.answer.end_of_speech:
            discard_answer(c, state, "you said more")
        if state.answer is None:
            state.answer = c.begin_answer(turn, wanted=s.answers)
    c.events += c.probe.poll(c.now, turn, silence, state.answer, c.question)
    phrases = c.phrases and c.phrases.of(state.answer.language if state.answer else "")
    evidence = _evidence(c, state, phrases, silence)
    verdict = endpointing.judge(evidence, s)
    known = state.answer is not None and not state.answer.words_coming
    if verdict.over or (known and silence >= samples(s.silence_finished)):
        # Not sooner: the words and the beginning of the reply are needed first, and want all cores.
        c.speakers.ask(c.now, turn, turn.voiced, ended=True)
    if verdict.over and c.speakers.pending:
        return state
    if verdict.over and c.speakers.other(turn):
        return discard_turn(c, state, SOMEBODY_ELSE)
    if verdict.over:
        _tell(c, state, evidence, verdict)
        return finish_turn(c, state, f"{verdict.reason}, {evidence.silence:.2f} s of silence")
    if not evidence.words_coming and evidence.silence >= s.silence_finished:
        _tell(c, state, evidence, verdict)
    if c.backchannels.fits(turn, silence) and _may_hum(c, turn, evidence):
        c.hum(turn)
    return state


def _may_hum(c: TurnContext, turn: OpenTurn, evidence: TurnEvidence) -> bool:
    """Return whether the user surely has the floor and pauses: a hum must meet neither a reply nor
    speech."""
    if c.settings.humming is None or evidence.words_coming or c.muted or c.speakers.other(turn):
        return False
    if c.hearing.speech_may_begin:
        return False
    later = replace(evidence, silence=evidence.silence + c.settings.humming.margin)
    return not endpointing.judge(later, c.settings).over


def _evidence(
    c: TurnContext, state: UserSpeaking, phrases: Phrases | None, silence: int
) -> TurnEvidence:
    answer = state.answer
    words = answer.words if answer is not None else None
    language = answer.language if answer is not None else ""
    ending = c.probe.weigh(answer, phrases)
    coming = answer is None or answer.words_coming or c.probe.pending
    return TurnEvidence(
        silence=seconds(silence),
        ending=ending,
        words_coming=c.phrases is not None and coming,
        resumed=state.turn.resumed,
        longest_pause=seconds(state.turn.longest_pause),
        sound=c.probe.sound,
        unknown_language=language if words and c.phrases and ending is None else "",
    )


def _commit(
    c: TurnContext,
    turn: OpenTurn,
    answer: TurnAnswer | None,
    reason: str,
    *,
    wanted: bool | None = None,
) -> ConversationState:
    """End the turn and answer it, if that is ``wanted`` (None: as the settings say)."""
    answer = answer or c.begin_answer(turn, wanted=c.settings.answers if wanted is None else wanted)
    level = turn.level() if turn.typed is None else None
    c.user_level = c.user_level if level is None else level
    c.probe.forget()
    c.events += answer.transcript(c.now, final=True)
    return think(c, c.enter(Thinking(turn, answer, c.now), reason))


def _tell(
    c: TurnContext, state: UserSpeaking, evidence: TurnEvidence, verdict: TurnVerdict
) -> None:
    """Emit the judgement unless it is unchanged."""
    judged = (state.turn.end_of_speech, f"{verdict.over} {verdict.reason}")
    if judged == state.judged:
        return
    state.judged = judged
    probability = -1.0 if evidence.probability is None else round(evidence.probability, 3)
    c.emit(
        EndpointJudged(
            c.now,
            state.turn.number,
            over=verdict.over,
            silence=round(evidence.silence, 3),
            probability=probability,
            phrase=evidence.end.value,
            reason=verdict.reason,
        )
    )
