"""The assistant's side of turn taking: from the end of a turn to the end of its reply."""

from __future__ import annotations

from audio_io.clock import ASSISTANT_FRAME, ASSISTANT_RATE, samples
from model.events import (
    Interrupted,
    Notice,
    PlaybackAction,
    ReplyFinished,
    ReplyStarted,
    TurnDiscarded,
)
from model.hearing.open_turn import OpenTurn
from model.turns import barge_in
from model.turns.answer import TurnAnswer
from model.turns.barge_in import Act
from model.turns.context import TurnContext
from model.turns.overlap import Overlap
from model.turns.phrases import OverlapKind
from model.turns.states import (
    ConversationState,
    ReplySpeaking,
    ReplyStopping,
    Thinking,
    UserSpeaking,
)

UNANSWERED = "not to be answered yet"
"""Why a turn's end is followed by no reply yet: it waits to be answered."""

NO_REPLY = "no reply came"
"""Why THINKING ends without a reply that was wanted."""

LONGEST_WAIT_S = 0.18
"""How long a reply that is ready waits while speech may just have begun: until a detector tells."""

MOST_UNANSWERED = 20
"""Turns that may wait for an answer; the oldest is then forgotten."""


def think(c: TurnContext, state: Thinking) -> ConversationState:
    """Process one frame of THINKING."""
    answer, turn, reply = state.answer, state.turn, state.answer.reply
    if turn.went_on_after(state.committed_at) and c.hearing.speech_began:
        c.discard_answer(answer, "you went on")
        turn.resumed = True
        return c.enter(UserSpeaking(turn), "you went on")
    if turn.closed and state.overlap is None and c.hearing.speech_began:
        state.overlap = c.open_overlap(None)
    c.events += answer.poll(c.now, committed=True)
    _understand(c, state.overlap, answer)
    if reason := _why_no_turn(c, turn, answer):
        return _discard_turn(c, state, reason)
    if not (answer.wanted or answer.failed):
        return state if answer.words_coming else _keep_unanswered(c, state)
    silent = answer.complete and not answer.failed and reply.first_audio_at is None
    if reply.first_audio_at is not None or (
        reply.text.strip() and (silent or not c.generator.info.speaks)
    ):
        return state if _may_go_on(c, state) else _begin_to_speak(c, state, silent=silent)
    if answer.complete:
        if not answer.failed:
            c.emit(Notice(c.now, "warning", f"the reply has no words to say: {reply.text!r}"))
        _settle_interrupted(c, answer, NO_REPLY)
        return _after_reply(c, state.overlap, NO_REPLY)
    return state


def speak(c: TurnContext, state: ReplySpeaking) -> ConversationState:
    """Process one frame of SPEAKING."""
    answer, reply = state.answer, state.answer.reply
    c.events += answer.poll(c.now, committed=True)
    _play(c, state)
    if reply.heard >= samples(c.settings.continuation, ASSISTANT_RATE):
        state.unfinished = None
    if reply.finished and answer.failed:
        _settle_interrupted(c, answer, "the reply broke off")
        return _after_speaking(c, state, "the reply broke off")
    if reply.finished:
        c.generator.settle(reply.reply_id, reply.split())
        c.question = reply.text if reply.text.rstrip().endswith(("?", "？")) else ""
        c.last = reply
        c.emit(ReplyFinished(c.now, reply.reply_id, reply.text))
        return _after_speaking(c, state, "reply ended")
    if reply.stalled(c.now):
        c.emit(Notice(c.now, "warning", "the speaker lost the end of the reply"))
        _settle_interrupted(c, answer, "the speaker stands still")
        return _after_speaking(c, state, "the speaker stands still")
    return _watch_for_barge_in(c, state) if c.settings.barge_in else state


def fall_silent(c: TurnContext, state: ReplyStopping) -> ConversationState:
    """Process one frame of INTERRUPTED."""
    reply, turn = state.answer.reply, state.next_turn
    reply.follow(c.now, c.position)
    if not reply.silent:
        return state
    if turn is not None and turn is state.answer.turn and turn.went_on_after(state.committed_at):
        turn.resumed = True
        c.generator.settle(reply.reply_id, None)
        c.emit(Interrupted(c.now, reply.reply_id, reply.heard, "", reply.text, "you went on"))
    else:
        _settle_interrupted(c, state.answer, state.reason)
    if turn is None:
        return c.rest(state.reason)
    return c.enter(UserSpeaking(turn), state.reason)


def interrupt(c: TurnContext, state: ConversationState, reason: str) -> ConversationState:
    """Stop the reply if the turn is over; the turn cannot continue."""
    match state:
        case ReplySpeaking():
            return _stop(c, state, _going_on(state), reason)
        case Thinking(answer=answer):
            c.events += answer.cancel(c.now)
            if state.overlap is not None:
                state.overlap.drop()
            _settle_interrupted(c, answer, reason)
            return c.rest(reason)
        case _:
            return state


def cut(c: TurnContext, state: ConversationState, reply_id: int, heard: int) -> ConversationState:
    """Take at most ``heard`` samples (24 kHz) of a reply as heard; stop it if it is being spoken.

    Only the reply under way and the last one before it can be cut.
    """
    match state:
        case ReplySpeaking(answer=answer) if answer.reply.reply_id == reply_id:
            answer.reply.heard_at_most = heard
            return _stop(c, state, _going_on(state), "cut short")
        case ReplyStopping(answer=answer) if answer.reply.reply_id == reply_id:
            answer.reply.heard_at_most = heard
        case _ if c.last is not None and c.last.reply_id == reply_id and heard < c.last.heard:
            c.last.heard_at_most = heard
            cut = c.last.split()
            c.generator.settle(reply_id, cut)
            c.emit(Interrupted(c.now, reply_id, cut.samples, cut.text, cut.unheard, "cut short"))
    return state


def _begin_to_speak(c: TurnContext, state: Thinking, *, silent: bool) -> ReplySpeaking:
    """Let the reply through; ``silent``: it has no sound."""
    answer, turn = state.answer, state.turn
    if silent and c.generator.info.speaks and not answer.noticed:
        c.emit(Notice(c.now, "warning", "the reply could not be spoken: read it here"))
    c.emit(ReplyStarted(c.now, answer.reply.reply_id, turn.number))
    c.speakers.learn(c.now, turn)
    unfinished = turn if c.settings.interruptible and not turn.closed else None
    speaking = ReplySpeaking(answer, state.committed_at, unfinished, state.overlap)
    c.enter(speaking, "reply began")
    _play(c, speaking)
    return speaking


def _may_go_on(c: TurnContext, state: Thinking) -> bool:
    """Return whether the reply, which is ready, waits because the user may just be going on."""
    if state.turn.closed or not c.hearing.speech_may_begin:
        return False
    if state.ready_at is None:
        state.ready_at = c.now
    return c.now < state.ready_at + samples(LONGEST_WAIT_S)


def _why_no_turn(c: TurnContext, turn: OpenTurn, answer: TurnAnswer) -> str:
    """Return why the words are no turn of their own; empty if they are one."""
    if answer.words == "" and turn.typed is None:
        return "nothing recognised"
    if turn.over_reply and _is_backchannel(c, answer):
        return f"only “{answer.words}”"
    return ""


def _is_backchannel(c: TurnContext, answer: TurnAnswer) -> bool:
    phrases = c.phrases and c.phrases.of(answer.language)
    if phrases is None or not answer.words:
        return False
    return phrases.over_a_reply(answer.words).kind is OverlapKind.BACKCHANNEL


def _play(c: TurnContext, state: ReplySpeaking) -> None:
    """Emit new parts of the reply, and follow the speaker."""
    reply = state.answer.reply
    c.events += reply.take(c.now)
    if reply.follow(c.now, c.position):
        c.emit(state.answer.latency(c.now, state.committed_at))


def _watch_for_barge_in(c: TurnContext, state: ReplySpeaking) -> ConversationState:
    answer, overlap, reply = state.answer, state.overlap, state.answer.reply
    if overlap is None:
        return _watch_for_speech(c, state)
    _understand(c, overlap, answer)
    verdict = barge_in.judge(overlap.evidence(c.hearing.silence), c.settings)
    if not overlap.stops and verdict.act is not Act.RESUME:
        return state
    match verdict.act:
        case Act.HOLD if not reply.held:
            reply.held = True
            c.control(answer, PlaybackAction.HOLD, verdict.reason)
        case Act.WAIT if reply.held:
            reply.held = False
            c.control(answer, PlaybackAction.RESUME, verdict.reason)
            c.control(answer, PlaybackAction.DUCK, verdict.reason)
        case Act.RESUME:
            state.overlap, reply.held = None, False
            overlap.drop()
            c.control(answer, PlaybackAction.RESUME, verdict.reason)
        case Act.STOP:
            return _stop(c, state, overlap.turn, verdict.reason)
    return state


def _watch_for_speech(c: TurnContext, state: ReplySpeaking) -> ConversationState:
    """Duck the reply when speech begins. If it may have begun with the reply, so that hardly any of
    that was heard, the reply stands still until it is told."""
    answer, reply, may_begin = state.answer, state.answer.reply, c.hearing.speech_may_begin
    unheard = state.unfinished is not None and (reply.held or reply.heard <= ASSISTANT_FRAME)
    if c.hearing.speech_began and reply.held and unheard:
        return _stop(c, state, state.unfinished, "you went on")
    if c.hearing.speech_began:
        state.overlap, state.unfinished = c.open_overlap(state.unfinished), None
        c.control(answer, PlaybackAction.DUCK, "speech over the reply")
    elif reply.held and not may_begin:
        reply.held = False
        c.control(answer, PlaybackAction.RESUME, "no speech began")
    elif unheard and may_begin and not reply.held:
        reply.held = True
        c.control(answer, PlaybackAction.HOLD, "speech may begin")
    return state


def _understand(c: TurnContext, overlap: Overlap | None, answer: TurnAnswer) -> None:
    """Recognise the words spoken over the reply, or while it is being prepared."""
    if overlap is not None and c.settings.barge_in:
        c.events += overlap.poll(c.now, c.hearing.silence, answer.reply.text)


def _stop(
    c: TurnContext, state: ReplySpeaking, next_turn: OpenTurn | None, reason: str
) -> ReplyStopping:
    answer = state.answer
    c.events += answer.cancel(c.now)
    answer.reply.stop()
    if state.overlap is not None:
        state.overlap.drop()
    c.control(answer, PlaybackAction.STOP, reason)
    return c.enter(ReplyStopping(answer, state.committed_at, next_turn, reason), reason)


def _going_on(state: ReplySpeaking) -> OpenTurn | None:
    """Return the turn that is spoken over the reply, without having stopped it."""
    overlap = state.overlap
    return overlap.turn if overlap is not None and not overlap.stops else None


def _settle_interrupted(c: TurnContext, answer: TurnAnswer, reason: str) -> None:
    """Cut the reply at what was heard so far."""
    reply = answer.reply
    c.question, c.last = "", reply
    heard = reply.split()
    c.generator.settle(reply.reply_id, heard)
    c.emit(Interrupted(c.now, reply.reply_id, heard.samples, heard.text, heard.unheard, reason))


def _after_speaking(c: TurnContext, state: ReplySpeaking, reason: str) -> ConversationState:
    if state.overlap is not None or state.answer.reply.held:
        c.control(state.answer, PlaybackAction.RESUME, reason)
    return _after_reply(c, state.overlap, reason)


def _after_reply(c: TurnContext, overlap: Overlap | None, reason: str) -> ConversationState:
    """Continue after a settled reply: speech over its end becomes a turn."""
    if overlap is None:
        resting = c.rest(reason)
        if not c.settings.barge_in:
            c.hearing.deafen(samples(c.settings.deaf_after))
        return resting
    overlap.drop()
    turn = c.open_turn() if overlap.goes_on else overlap.turn
    turn.over_reply = not c.question
    return c.enter(UserSpeaking(turn), reason)


def _keep_unanswered(c: TurnContext, state: Thinking) -> ConversationState:
    """Keep the turn until an answer is asked for."""
    c.generator.settle(state.answer.reply.reply_id, None)
    c.unanswered = [*c.unanswered, state.answer][-MOST_UNANSWERED:]
    return _after_reply(c, state.overlap, UNANSWERED)


def _discard_turn(c: TurnContext, state: Thinking, reason: str) -> ConversationState:
    """Discard the turn as noise; speech after it becomes the next turn."""
    c.discard_answer(state.answer, reason)
    c.emit(TurnDiscarded(c.now, state.turn.number, reason))
    if state.overlap is None:
        return c.rest(reason)
    state.overlap.drop()
    return c.enter(UserSpeaking(state.overlap.turn), "speech began")
