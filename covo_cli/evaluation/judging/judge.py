"""Judge a conversation: what happened against what would have been right.

docs/evaluation.md defines every check and names its source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from audio_io.clock import FRAME, samples, seconds
from covo_cli.bench.words import first_words_lost, words_lost
from covo_cli.evaluation.judging.evidence import Evidence, HeardReply
from covo_cli.evaluation.judging.finding import LATENCY, Finding, FindingCheck
from covo_cli.evaluation.running.conversation import Said
from covo_cli.evaluation.scenarios.scenario import Role
from model.events import Interrupted, PlaybackAction, PlaybackControl, StateChanged, TurnState

EARLY = samples(0.05)
"""An answer is premature if it begins earlier than this before the end of the user's speech."""

AFTERWARDS = samples(1.5)
"""If the assistant stops within this time after a line, the line counts as the cause."""

SLACK = samples(0.3)
"""Largest distance between a line and the turn matched to it."""

TAKEN_BACK = samples(0.6) + FRAME
"""Longest sound of a reply that was taken back in time, with its fade-out."""

CUT_AFTER = samples(1.2)
"""A turn that is not taken to be over this long after its end was taken for cut."""

WHOLE = -1
"""The line number of a finding about the whole conversation."""

_STEP = samples(0.1)


class Outcome(NamedTuple):
    """A finding without its line; times in ``values`` are in seconds."""

    check: FindingCheck
    ok: bool | None
    values: dict[str, float]
    why: str = ""


def judge(evidence: Evidence, *, words: bool = True) -> list[Finding]:
    """Return all findings on a conversation.

    ``words``: check the words around a reply that was taken back.
    """
    scenario = evidence.annotation.scenario
    findings = []
    for line, outcome in (*_lines(evidence, words), *_exposure(evidence), *_first_words(evidence)):
        check, ok, values, why = outcome
        rounded = {name: round(float(value), 4) for name, value in values.items()}
        findings.append(Finding(scenario.id, scenario.kind, check, line, ok, rounded, why))
    return findings


def _lines(evidence: Evidence, words: bool) -> Iterator[tuple[int, Outcome]]:
    said = evidence.annotation.said
    for number, line in enumerate(said):
        following = said[number + 1] if number + 1 < len(said) else None
        until = following.start if following else evidence.annotation.length
        match line.role:
            case Role.TURN:
                yield number, _turn(evidence, line, line.start if number else 0, until)
            case Role.UNFINISHED:
                yield number, _pause(evidence, said, number, words)
            case Role.BACKCHANNEL | Role.SIDE_TALK:
                yield number, _not_meant(evidence, line, until)
            case Role.INTERRUPTION:
                yield number, _interruption(evidence, line)
            case Role.CORRECTION:
                yield number, _correction(evidence, line)
            case Role.COMMAND:
                yield number, _command(evidence, line)
            case Role.CORRECTED:
                pass


def _turn(evidence: Evidence, line: Said, since: int, until: int) -> Outcome:
    """Check whether, and how soon, the turn was answered."""
    answers = [r for r in evidence.takeovers if since <= r.first < until and r.last > line.end]
    cut = not any(line.start < at <= line.end + CUT_AFTER for at in _taken_for_over(evidence))
    if not answers:
        return Outcome(FindingCheck.TURN, False, {"takeover": 0, "cut": cut}, "no answer")
    early = answers[0].first < line.end - EARLY
    values = {"takeover": 1.0, **_latency(answers[0], line), "early": early, "cut": cut}
    why = "it answered before the turn was over" if early else ""
    return Outcome(FindingCheck.TURN, not early, values, why)


def _taken_for_over(evidence: Evidence) -> Iterator[int]:
    """Yield the times at which the engine took a turn to be over, or was heard at the latest."""
    yield from (e.at for e in evidence.of(StateChanged) if e.state is TurnState.THINKING)
    yield from (reply.first for reply in evidence.heard)


def _latency(answer: HeardReply, line: Said) -> dict[str, float]:
    """Measure from the end of the user's speech: ``latency`` to the answer's first sound,
    ``decision`` to the engine's decision that the turn was over."""
    values = {LATENCY: max(0.0, seconds(answer.first - line.end))}
    if answer.committed is not None and answer.committed > line.start:
        values["decision"] = seconds(answer.committed - line.end)
    return values


def _pause(evidence: Evidence, said: Sequence[Said], number: int, words: bool) -> Outcome:
    """Check whether the assistant stayed silent through the pause and the rest of the turn."""
    line = said[number]
    following = said[number + 1] if number + 1 < len(said) else None
    if line.recorded:
        # Full-Duplex-Bench judges a whole recording at once.
        heard = [r for r in evidence.heard if r.first < line.end]
        together = len(heard) > 1 and heard[-1].last - heard[0].first >= samples(1.0)
    else:
        # A reply counts to one pause only, though a line may lie between two.
        goes_on = number > 0 and said[number - 1].role is Role.UNFINISHED
        start = line.end - EARLY if goes_on else line.start
        end = following.end if following else evidence.annotation.length
        heard = [r for r in evidence.heard if start <= r.first < end - EARLY]
        together = False
    takeover = together or any(r.takes_over for r in heard)
    values: dict[str, float] = {"takeover": takeover, "silent": not heard, "begun": bool(heard)}
    if not line.recorded:
        values["between"] = line.text.endswith((".", "?", "!"))
    if following:
        values["gap"] = seconds(following.start - line.end)
    why = ""
    if heard:
        late = seconds(heard[0].first - line.end)
        why = f"it spoke {abs(late):.2f} s {'before' if late < 0 else 'into'} the pause"
    if heard and following:
        values["taken_back"] = _taken_back(evidence, heard, line, following, words)
    return Outcome(FindingCheck.PAUSE, not takeover, values, why)


def _taken_back(
    evidence: Evidence, heard: Sequence[HeardReply], line: Said, following: Said, words: bool
) -> bool:
    """Return whether all of ``heard`` was broken off in time, and no word around it is lost."""
    if any(r.interrupted is None or r.last - r.first > TAKEN_BACK for r in heard):
        return False
    return not (
        words and words_lost(f"{line.text} {following.text}", _words(evidence, following) or "")
    )


def _not_meant(evidence: Evidence, line: Said, until: int) -> Outcome:
    """Check whether the assistant stopped for a backchannel or side talk, or answered it."""
    backchannel = line.role is Role.BACKCHANNEL
    check = FindingCheck.BACKCHANNEL if backchannel else FindingCheck.SIDE_TALK
    reply = evidence.playing(line.start)
    if reply is None and backchannel:
        return Outcome(check, None, {}, "nothing was being said")
    effect = line.end + AFTERWARDS
    stopped = reply is not None and _within(reply.interrupted, line.start, effect)
    answered = any(line.start <= r.started < until for r in evidence.replies)
    values: dict[str, float] = {"takeover": stopped or answered, "over_reply": reply is not None}
    if reply is not None:
        alarms = [c for c in evidence.controls(line.start, effect) if _is_alarm(c)]
        values["alarm"] = bool(alarms)
        if alarms:
            later = evidence.controls(alarms[-1].at, evidence.annotation.length)
            back = [c.at for c in later if c.action is PlaybackAction.RESUME and not stopped]
            values["resumed"] = bool(back)
            if back:
                values["resume"] = seconds(back[0] - line.end)
    why = "it stopped" if stopped else "it answered" if answered else ""
    return Outcome(check, not why, values, why)


def _interruption(evidence: Evidence, line: Said) -> Outcome:
    """Check whether the assistant stopped, how soon, and whether it answered."""
    check = FindingCheck.INTERRUPTION
    reply = evidence.playing(line.start)
    answers = [r for r in evidence.takeovers if r.first >= line.start and r is not reply]
    values: dict[str, float] = {"takeover": bool(answers)}
    if answers:
        values.update(_latency(answers[0], line), early=answers[0].first < line.end - EARLY)
    if reply is None:
        return Outcome(
            check, bool(answers) if line.recorded else None, values, "nothing was being said"
        )
    stopped = _within(reply.interrupted, line.start, line.end + AFTERWARDS)
    values["stopped"] = stopped
    if stopped:
        values["stop"] = max(0.0, seconds(reply.last - line.start))
    elif _within(reply.finished, line.start, line.end):
        return Outcome(check, None, values, "it had just finished")
    why = "it talked on" if not stopped else "no answer" if not answers else ""
    if not why and values["early"]:
        why = "it answered before the interruption was over"
    return Outcome(check, not why, values, why)


def _command(evidence: Evidence, line: Said) -> Outcome:
    """Note whether the assistant stopped for somebody else's command; neither is wrong."""
    reply = evidence.playing(line.start)
    if reply is None:
        return Outcome(FindingCheck.COMMAND, None, {}, "nothing was being said")
    stopped = _within(reply.interrupted, line.start, line.end + AFTERWARDS)
    return Outcome(FindingCheck.COMMAND, True, {"stopped": stopped})


def _correction(evidence: Evidence, line: Said) -> Outcome:
    """Check whether the assistant was silent during the correction and then answered it."""
    over = [r for r in evidence.heard if r.last > line.start and r.first < line.end]
    answers = [r for r in evidence.takeovers if r.first >= line.end - EARLY]
    values: dict[str, float] = {"had_begun": bool(over), "takeover": bool(answers)}
    if answers:
        values.update(_latency(answers[0], line))
    talked_over = any(r.last > line.end and r not in answers for r in over)
    why = "it talked over the correction" if talked_over else "" if answers else "no answer"
    return Outcome(FindingCheck.CORRECTION, not why, values, why)


def _exposure(evidence: Evidence) -> Iterator[tuple[int, Outcome]]:
    """Count interruptions and answers while no line was being said.

    Recordings are skipped, since they may contain unmarked speech. ``speaking``: seconds in which
    the assistant was heard meanwhile; ``idle``: the other seconds.
    """
    said = evidence.annotation.said
    if any(line.recorded for line in said):
        return

    def unprovoked(at: int) -> bool:
        return not any(line.start <= at <= line.end + AFTERWARDS for line in said)

    quiet = [at for at in range(0, evidence.annotation.length, _STEP) if unprovoked(at)]
    speaking = sum(evidence.audible_seconds(at, at + _STEP) for at in quiet)
    barge_ins = sum(unprovoked(event.at) for event in evidence.of(Interrupted))
    alarms = sum(_is_alarm(e) and unprovoked(e.at) for e in evidence.of(PlaybackControl))
    transcripts = evidence.transcripts
    answered = [transcripts[r.turn] for r in evidence.replies if r.turn in transcripts]
    false_turns = sum(
        all(_overlap(line, turn.start - SLACK, turn.end + SLACK) <= 0 for line in said)
        for turn in answered
    )
    values: dict[str, float] = {
        "speaking": speaking,
        "idle": len(quiet) * 0.1 - speaking,
        "false_barge_ins": barge_ins,
        "false_alarms": alarms,
        "false_turns": false_turns,
    }
    noise = evidence.annotation.scenario.noise
    if noise:
        values["snr"] = noise.snr
    counts = {"interrupted by nobody": barge_ins, "answered nobody": false_turns}
    why = ", ".join(f"{what}: {count}" for what, count in counts.items() if count)
    yield WHOLE, Outcome(FindingCheck.EXPOSURE, not why, values, why)


def _first_words(evidence: Evidence) -> Iterator[tuple[int, Outcome]]:
    """Check whether each turn's transcript has its first words."""
    before: Role | None = None
    for number, line in enumerate(evidence.annotation.said):
        opens = before not in (Role.UNFINISHED, Role.CORRECTED)
        before = line.role
        if not opens or line.role not in (
            Role.TURN,
            Role.UNFINISHED,
            Role.INTERRUPTION,
            Role.CORRECTED,
        ):
            continue
        text = _words(evidence, line)
        if text is None or not line.text:
            continue
        lost, of = first_words_lost(line.text, text)
        if of:
            why = f"understood {text!r}" if lost else ""
            values: dict[str, float] = {"lost": lost, "of": of}
            yield number, Outcome(FindingCheck.FIRST_WORDS, not lost, values, why)


def _words(evidence: Evidence, line: Said) -> str | None:
    """Return the final transcript of the turn that ``line`` is in, None if there is none."""
    overlaps = [(_overlap(line, t.start, t.end), t.text) for t in evidence.transcripts.values()]
    overlap, text = max(overlaps, key=lambda pair: pair[0], default=(0, ""))
    return text if overlap > 0 else None


def _within(at: int | None, start: int, end: int) -> bool:
    return at is not None and start <= at <= end


def _is_alarm(control: PlaybackControl) -> bool:
    """Return whether the speaker was told to get quieter, to be undone after a false alarm."""
    return control.action not in (PlaybackAction.RESUME, PlaybackAction.STOP)


def _overlap(line: Said, start: int, end: int) -> int:
    return min(line.end, end) - max(line.start, start)
