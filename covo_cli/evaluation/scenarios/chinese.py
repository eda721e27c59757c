"""Make the Chinese sets: turns, pauses, backchannels and interruptions in Mandarin.

The two share no text but the backchannels, no user's voice and no length of a pause. What the
scripted engine says stays English.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import count, cycle
from typing import Any

from covo_cli.evaluation import Kind, SetName
from covo_cli.evaluation.scenarios.mix import LOUD_DB, NORMAL_DB, OPENING_S, SOFT_DB
from covo_cli.evaluation.scenarios.scenario import Role, Scenario, ScenarioSet, ScriptLine
from covo_cli.simulation.scripted_user import Start, StartRule

BACKCHANNELS, INTERRUPTIONS = 16, 15
_LEVELS = (NORMAL_DB, SOFT_DB, NORMAL_DB, LOUD_DB)


@dataclass(frozen=True, slots=True)
class ChineseMix:
    """The voices of a set and the lengths of its pauses in seconds: within a sentence, and between
    sentences."""

    voices: tuple[str, ...]
    within: tuple[float, ...]
    between: tuple[float, ...]


CHINESE = {
    SetName.CHINESE: ChineseMix(("xiaoxiao", "yunxi"), (0.3, 0.5, 0.8, 1.2), (0.4, 0.7, 1.2)),
    SetName.CHINESE_TUNING: ChineseMix(
        ("xiaoyi", "yunjian"), (0.4, 0.6, 0.9, 1.1), (0.5, 0.8, 1.1)
    ),
}


def make_chinese_set(name: SetName) -> ScenarioSet:
    """Build the set ``name``, the same every time."""
    mix = CHINESE[name]
    text = (resources.files("covo_cli.evaluation.scenarios") / "texts_zh.toml").read_text("utf-8")
    texts = tomllib.loads(text)
    author = _ChineseAuthor(mix, {**texts[name], "backchannels": texts["backchannels"]})
    about = f"in Chinese: users {' and '.join(mix.voices)}"
    return ScenarioSet(name, about, tuple(author.scenarios()), language="zh")


class _ChineseAuthor:
    def __init__(self, mix: ChineseMix, texts: dict[str, Any]) -> None:
        self._mix = mix
        self._texts = texts
        self._voices = cycle(mix.voices)

    def scenarios(self) -> Iterator[Scenario]:
        levels = cycle(_LEVELS)
        for n, text in enumerate(self._texts["turns"]):
            level = next(levels)
            line = ScriptLine(Role.TURN, _OPENING, text, voice=next(self._voices), level=level)
            yield Scenario(f"turn-{n:02}", Kind.TURN, (line,), note=f"{level:g} dBFS")
        yield from self._pauses()
        stops = cycle(zip(*(self._texts[kind] for kind in _OVER), strict=True))
        yield from self._over_replies(
            Kind.BACKCHANNEL, BACKCHANNELS, cycle(self._texts["backchannels"])
        )
        over = (text for texts in stops for text in texts)
        yield from self._over_replies(Kind.INTERRUPTION, INTERRUPTIONS, over)

    def _pauses(self) -> Iterator[Scenario]:
        within, between, number = cycle(self._mix.within), cycle(self._mix.between), count()
        for _ in range(2):
            for place, before, after in self._texts["places"]:
                gap = next(between if place == "sentence" else within)
                voice = next(self._voices)
                lines = (
                    ScriptLine(Role.UNFINISHED, _OPENING, before, voice=voice),
                    ScriptLine(Role.TURN, Start(StartRule.AFTER_LINE, gap), after, voice=voice),
                )
                note = f"{gap:g} s, {place}"
                yield Scenario(f"pause-{next(number):02}", Kind.PAUSE, lines, note=note)

    def _over_replies(self, kind: Kind, cases: int, texts: Iterator[str]) -> Iterator[Scenario]:
        requests, levels = cycle(self._texts["requests"]), cycle(_LEVELS)
        role = Role(kind.value)
        for n in range(cases):
            voice, text, level = next(self._voices), next(texts), next(levels)
            start = Start(StartRule.DURING_REPLY, 1.2 + 0.5 * (n % 4))
            lines = (
                ScriptLine(Role.TURN, _OPENING, next(requests), voice=voice),
                ScriptLine(role, start, text, voice=voice, level=level),
            )
            yield Scenario(f"{kind}-{n:02}", kind, lines, note=f"{text} {level:g} dBFS")


_OPENING = Start(StartRule.AT, OPENING_S)
_OVER = ("stops", "corrections_over", "new_questions")
