"""Compares what happened in a conversation with what would have been right: findings.

docs/evaluation.md defines every check and names its source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audio_io.clock import samples, seconds
from covo_cli.evaluation.judging.evidence import Evidence, HeardReply, controls, transcripts
from covo_cli.evaluation.judging.finding import Check, Finding
from covo_cli.evaluation.judging.first_words import first_words_lost
from covo_cli.evaluation.running.conversation import Said
from covo_cli.evaluation.scenarios.scenario import Role
from model.events import Interrupted, PlaybackAction, PlaybackControl

EARLY = 0.05
"""Seconds before the end of the user's speech from which an answer is not premature yet."""

AFTERWARDS = 1.5
"""Seconds after a line in which the assistant's falling silent still is an effect of it."""


def judge(evidence: Evidence) -> list[Finding]:
    """Every finding of one conversation."""
    return [*_lines(evidence), *_exposure(evidence), *_first_words(evidence)]


def _finding(
    evidence: Evidence,
    check: Check,
    line: int,
    ok: bool | None,
    values: dict[str, float],
    why: str = "",
) -> Finding:
    scenario = evidence.annotation.scenario
    rounded = {name: round(float(value), 4) for name, value in values.items()}
    return Finding(scenario.id, scenario.kind, check, line, ok, rounded, why)


def _lines(evidence: Evidence) -> Iterator[Finding]:
    said = evidence.annotation.said
    for number, line in enumerate(said):
        following = said[number + 1] if number + 1 < len(said) else None
        until = following.start if following else evidence.annotation.length
        match line.role:
            case Role.TURN:
                yield _turn(evidence, number, line, until)
            case Role.UNFINISHED:
                yield _pause(evidence, number, line, following)
            case Role.BACKCHANNEL | Role.SIDE_TALK:
                yield _not_meant(evidence, number, line, until)
            case Role.INTERRUPTION:
                yield _interruption(evidence, number, line)
            case Role.CORRECTION:
                yield _correction(evidence, number, line)
            case Role.CORRECTED:
                pass


def _turn(evidence: Evidence, number: int, line: Said, until: int) -> Finding:
    """Was the turn taken, and how long after its end?"""
    since = line.start if number else 0
    answers = [r for r in evidence.replies if r.takes_over and since <= _first(r) < until]
    answer = next((r for r in answers if _last(r) > line.end), None)
    if answer is None:
        return _finding(evidence, Check.TURN, number, False, {"takeover": 0}, "no answer")
    values = {"takeover": 1.0, **_latency(answer, line)}
    early = _first(answer) < line.end - samples(EARLY)
    values["early"] = early
    why = "it answered before the turn was over" if early else ""
    return _finding(evidence, Check.TURN, number, not early, values, why)


def _latency(answer: HeardReply, line: Said) -> dict[str, float]:
    """From the end of the user's speech to the first sound, as a person waits for it; ``decision``
    to the moment at which the engine took the turn to be over."""
    values = {"latency": max(0.0, seconds(_first(answer) - line.end))}
    if answer.committed is not None and answer.committed > line.start:
        values["decision"] = seconds(answer.committed - line.end)
    return values


def _pause(evidence: Evidence, number: int, line: Said, following: Said | None) -> Finding:
    """Did the assistant speak before the turn went on to its end?"""
    if line.recorded:
        # A recording is judged as Full-Duplex-Bench does: all that is heard in it, as one.
        heard = [r for r in evidence.replies if r.first is not None and _first(r) < line.end]
        takeover = any(r.takes_over for r in heard) or (
            len(heard) > 1 and _last(heard[-1]) - _first(heard[0]) >= samples(1.0)
        )
    else:
        end = following.end if following else evidence.annotation.length
        heard = [r for r in evidence.replies if r.first is not None]
        heard = [r for r in heard if line.start <= _first(r) < end - samples(EARLY)]
        takeover = any(r.takes_over for r in heard)
    values: dict[str, float] = {"takeover": takeover, "silent": not heard}
    if following:
        values["gap"] = seconds(following.start - line.end)
    why = _when(heard[0], line) if heard else ""
    return _finding(evidence, Check.PAUSE, number, not takeover, values, why)


def _when(reply: HeardReply, line: Said) -> str:
    """When ``reply`` began, for people."""
    late = seconds(_first(reply) - line.end)
    if late < 0:
        return f"it spoke {-late:.2f} s before the pause"
    return f"it spoke {late:.2f} s into the pause"


def _not_meant(evidence: Evidence, number: int, line: Said, until: int) -> Finding:
    """A backchannel or side talk: did the assistant stop for it, or answer it?"""
    check = Check.BACKCHANNEL if line.role is Role.BACKCHANNEL else Check.SIDE_TALK
    reply = _playing(evidence, line.start)
    if reply is None and check is Check.BACKCHANNEL:
        return _finding(evidence, check, number, None, {}, "nothing was being said")
    effect = line.end + samples(AFTERWARDS)
    stopped = reply is not None and _within(reply.interrupted, line.start, effect)
    answered = any(line.start <= r.started < until for r in evidence.replies)
    values: dict[str, float] = {"takeover": stopped or answered, "over_reply": reply is not None}
    alarms = [c for c in controls(evidence, line.start, effect) if _is_alarm(c)]
    if reply is not None and alarms:
        back = [
            c
            for c in controls(evidence, alarms[-1].at, evidence.annotation.length)
            if c.action is PlaybackAction.RESUME
        ]
        values["alarm"] = 1.0
        values["resumed"] = bool(back) and not stopped
        if back and not stopped:
            values["resume"] = seconds(back[0].at - line.end)
    elif reply is not None:
        values["alarm"] = 0.0
    why = "it stopped" if stopped else "it answered" if answered else ""
    return _finding(evidence, check, number, not (stopped or answered), values, why)


def _interruption(evidence: Evidence, number: int, line: Said) -> Finding:
    """Did the assistant stop, how soon, and did it answer?"""
    reply = _playing(evidence, line.start)
    answers = [r for r in evidence.replies if r.takes_over and _first(r) >= line.start]
    answers = [r for r in answers if r is not reply]
    values: dict[str, float] = {"takeover": bool(answers)}
    if answers:
        values.update(_latency(answers[0], line))
        values["early"] = _first(answers[0]) < line.end - samples(EARLY)
    if reply is None:
        ok = None if not line.recorded else bool(answers)
        return _finding(evidence, Check.INTERRUPTION, number, ok, values, "nothing was being said")
    stopped = _within(reply.interrupted, line.start, line.end + samples(AFTERWARDS))
    values["stopped"] = stopped
    if stopped and reply.last is not None:
        values["stop"] = max(0.0, seconds(reply.last - line.start))
    if not stopped and _within(reply.finished, line.start, line.end):
        return _finding(evidence, Check.INTERRUPTION, number, None, values, "it had just finished")
    why = "it talked on" if not stopped else "no answer" if not answers else ""
    if stopped and answers and values["early"]:
        why = "it answered before the interruption was over"
    return _finding(evidence, Check.INTERRUPTION, number, not why, values, why)


def _correction(evidence: Evidence, number: int, line: Said) -> Finding:
    """Was the assistant silent while the user corrected himself, and did it answer then?"""
    over = [r for r in evidence.replies if _last(r) > line.start and _first(r) < line.end]
    late = [r for r in over if _last(r) > line.end]
    answers = [
        r for r in evidence.replies if r.takes_over and _first(r) >= line.end - samples(EARLY)
    ]
    values: dict[str, float] = {"had_begun": bool(over), "takeover": bool(answers)}
    if answers:
        values.update(_latency(answers[0], line))
    late = [r for r in late if r not in answers]
    why = "it talked over the correction" if late else "" if answers else "no answer"
    return _finding(evidence, Check.CORRECTION, number, not why, values, why)


def _exposure(evidence: Evidence) -> Iterator[Finding]:
    """What happened while no line was being said: interruptions and answers that nobody asked for.
    Of a recording nothing is known but its marks: there may be more speech in it.

    ``speaking``: seconds in which the assistant was heard then; ``idle``: seconds without it.
    """
    if any(line.recorded for line in evidence.annotation.said):
        return
    length = evidence.annotation.length
    spans = [(s.start, s.end + samples(AFTERWARDS)) for s in evidence.annotation.said]

    def unprovoked(at: int) -> bool:
        return not any(start <= at <= end for start, end in spans)

    quiet = [t for t in range(0, length, samples(0.1)) if unprovoked(t)]
    speaking = sum(evidence.audible_seconds(t, t + samples(0.1)) for t in quiet)
    barge_ins = [e for e in evidence.of(Interrupted) if unprovoked(e.at)]
    alarms = [e for e in evidence.of(PlaybackControl) if _is_alarm(e) and unprovoked(e.at)]
    answered = transcripts(evidence)
    false_turns = [
        r
        for r in evidence.replies
        if r.turn in answered
        and not _overlaps_a_line(evidence, answered[r.turn].start, answered[r.turn].end)
    ]
    scenario = evidence.annotation.scenario
    values: dict[str, float] = {
        "speaking": speaking,
        "idle": len(quiet) * 0.1 - speaking,
        "false_barge_ins": len(barge_ins),
        "false_alarms": len(alarms),
        "false_turns": len(false_turns),
    }
    if scenario.noise:
        values["snr"] = scenario.noise.snr
    why = ", ".join(
        text
        for count, text in (
            (len(barge_ins), f"interrupted by nobody: {len(barge_ins)}"),
            (len(false_turns), f"answered nobody: {len(false_turns)}"),
        )
        if count
    )
    yield _finding(evidence, Check.EXPOSURE, -1, not why, values, why)


def _first_words(evidence: Evidence) -> Iterator[Finding]:
    """Are the first words of what the user said in what the recogniser wrote?"""
    said = evidence.annotation.said
    for number, line in enumerate(said):
        opens = number == 0 or said[number - 1].role not in (Role.UNFINISHED, Role.CORRECTED)
        if not opens or line.role not in (
            Role.TURN,
            Role.UNFINISHED,
            Role.INTERRUPTION,
            Role.CORRECTED,
        ):
            continue
        best = max(
            transcripts(evidence).values(),
            key=lambda t: _overlap(line, t.start, t.end),
            default=None,
        )
        if best is None or _overlap(line, best.start, best.end) <= 0 or not line.text:
            continue
        lost, of = first_words_lost(line.text, best.text)
        if of:
            why = f"understood {best.text!r}" if lost else ""
            values = {"lost": float(lost), "of": float(of)}
            yield _finding(evidence, Check.FIRST_WORDS, number, not lost, values, why)


def _playing(evidence: Evidence, at: int) -> HeardReply | None:
    return next((reply for reply in evidence.replies if reply.playing(at)), None)


def _first(reply: HeardReply) -> int:
    """Its first sound; after everything, if there was none."""
    return reply.first if reply.first is not None else 2**62


def _last(reply: HeardReply) -> int:
    return reply.last if reply.last is not None else -1


def _within(at: int | None, start: int, end: int) -> bool:
    return at is not None and start <= at <= end


def _is_alarm(control: PlaybackControl) -> bool:
    """Whether the speaker was asked to get quieter: what is undone if it was a false alarm."""
    return control.action not in (PlaybackAction.RESUME, PlaybackAction.STOP)


def _overlap(line: Said, start: int, end: int) -> int:
    return min(line.end, end) - max(line.start, start)


def _overlaps_a_line(evidence: Evidence, start: int, end: int) -> bool:
    slack = samples(0.3)
    lines: Sequence[Said] = evidence.annotation.said
    return any(_overlap(line, start - slack, end + slack) > 0 for line in lines)
