"""Write the everyday scenarios: what people say to each other, and other people in the room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

from covo_cli.evaluation import Kind
from covo_cli.evaluation.scenarios.mix import NORMAL_DB, OPENING_S, Mix
from covo_cli.evaluation.scenarios.scenario import Role, Scenario, ScriptLine
from covo_cli.simulation.scripted_user import REST, Start, StartRule

BYSTANDER_REPLY_S = 9.0
"""Length of a scripted reply over which a bystander and then the user speak."""

UNANSWERED_S = 3.5
"""Silence after a bystander's line, in which an answer to it would be heard."""


class EverydayAuthor:
    """Write the scripts, each text once but those beside which a bystander speaks."""

    def __init__(self, mix: Mix, texts: dict[str, Any]) -> None:
        self._mix = mix
        self._texts = texts
        self._voices = cycle(mix.voices)
        self._beside = {name: cycle(of) for name, of in texts["bystanders"].items()}

    def scenarios(self) -> Iterator[Scenario]:
        """Yield all scenarios of the everyday kinds."""
        singles = ((Kind.STATEMENT, "statements"), (Kind.SHORT_END, "short_ends"))
        for kind, name in singles:
            for n, text in enumerate(self._texts[name]):
                yield Scenario(_name(kind, n), kind, self._turn((text,), ()))
        broken = (
            (Kind.STORY, "stories", self._mix.story_pauses),
            (Kind.SPELLING, "spellings", self._mix.spelling_pauses),
        )
        for kind, name, pauses in broken:
            lengths = cycle(pauses)
            for n, parts in enumerate(self._texts[name]):
                gaps = [next(lengths) for _ in parts[1:]]
                note = f"pauses of {' and '.join(f'{gap:g}' for gap in gaps)} s"
                yield Scenario(_name(kind, n), kind, self._turn(parts, gaps), note=note)
        yield from self._bystanders()

    def _turn(self, parts: Sequence[str], gaps: Sequence[float]) -> tuple[ScriptLine, ...]:
        """Return one turn: ``parts`` with a pause from ``gaps`` after each but the last."""
        voice = next(self._voices)
        starts = [
            Start(StartRule.AT, OPENING_S),
            *(Start(StartRule.AFTER_LINE, gap) for gap in gaps),
        ]
        roles = [*(Role.UNFINISHED for _ in gaps), Role.TURN]
        return tuple(
            ScriptLine(role, start, text, voice=voice, level=NORMAL_DB)
            for role, start, text in zip(roles, starts, parts, strict=True)
        )

    def _bystanders(self) -> Iterator[Scenario]:
        pairs = cycle(self._mix.pairs)
        for n in range(self._mix.bystanders):
            user, other = next(pairs)
            lines = [self._say(Role.TURN, "openings", user, Start(StartRule.AT, OPENING_S))]
            for _ in range(self._mix.bystander_rounds):
                lines += self._beside_a_turn(user, other)
            over = Start(StartRule.DURING_REPLY, 2.0)
            lines.append(self._say(Role.INTERRUPTION, "interruptions", user, over))
            yield self._bystander(n, user, other, lines)
        for n in range(self._mix.bystanders, self._mix.bystanders + self._mix.commands):
            user, other = next(pairs)
            lines = [
                self._say(Role.TURN, "openings", user, Start(StartRule.AT, OPENING_S)),
                self._say(Role.TURN, "requests", user, Start(StartRule.AFTER_REPLY, REST)),
                self._say(Role.COMMAND, "commands", other, Start(StartRule.DURING_REPLY, 1.5)),
            ]
            yield self._bystander(n, user, other, lines)

    def _beside_a_turn(self, user: str, other: str) -> Iterator[ScriptLine]:
        """Yield a bystander's line in silence, the user's turn, and a line over the reply."""
        yield self._say(Role.SIDE_TALK, "lines", other, Start(StartRule.AFTER_REPLY, REST))
        yield self._say(Role.TURN, "requests", user, Start(StartRule.AFTER_LINE, UNANSWERED_S))
        yield self._say(Role.SIDE_TALK, "lines", other, Start(StartRule.DURING_REPLY, 1.5))

    def _say(self, role: Role, texts: str, voice: str, start: Start) -> ScriptLine:
        text = next(self._beside[texts])
        return ScriptLine(role, start, text, voice=voice, level=NORMAL_DB)

    def _bystander(
        self, number: int, user: str, other: str, lines: Sequence[ScriptLine]
    ) -> Scenario:
        return Scenario(
            _name(Kind.BYSTANDER, number),
            Kind.BYSTANDER,
            tuple(lines),
            reply=BYSTANDER_REPLY_S,
            note=f"{other} beside {user}",
        )


def _name(kind: Kind, number: int) -> str:
    return f"{kind.replace(' ', '-')}-{number:02}"
