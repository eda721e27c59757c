"""Make the sets of ``covo eval build``; ``chinese.py`` makes those in Chinese."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from importlib import resources
from itertools import count, cycle
from typing import Any

from covo_cli.evaluation import Kind, SetName
from covo_cli.evaluation.scenarios.chinese import CHINESE, make_chinese_set
from covo_cli.evaluation.scenarios.everyday import EverydayAuthor
from covo_cli.evaluation.scenarios.mix import (
    BYSTANDER_DB,
    GOAL_SNR_DB,
    LOUD_DB,
    MIXES,
    NORMAL_DB,
    OPENING_S,
    SOFT_DB,
    Mix,
)
from covo_cli.evaluation.scenarios.scenario import (
    EchoSetup,
    Noise,
    NoiseKind,
    Role,
    Scenario,
    ScenarioSet,
    ScriptLine,
    SoundSource,
)
from covo_cli.simulation.scripted_user import REST, Start, StartRule


def make_set(name: SetName) -> ScenarioSet:
    """Build the set ``name``, the same every time."""
    if name in CHINESE:
        return make_chinese_set(name)
    mix, texts = MIXES[name], _read("texts.toml")
    author = _Author(mix, texts[name], texts["backchannels"])
    everyday = EverydayAuthor(mix, _read("everyday.toml")[name])
    return ScenarioSet(name, mix.about, (*author.scenarios(), *everyday.scenarios()))


def _read(file: str) -> dict[str, Any]:
    folder = resources.files("covo_cli.evaluation.scenarios")
    return tomllib.loads((folder / file).read_text(encoding="utf-8"))


class _Author:
    """Write the scripts, cycling through voices, texts and seeds."""

    def __init__(self, mix: Mix, texts: dict[str, Any], small_words: Sequence[str]) -> None:
        self._mix = mix
        self._texts = texts
        self._small_words = small_words
        self._voices = cycle(mix.voices)
        self._questions = cycle(texts["questions"])
        self._requests = cycle(texts["requests"])
        self._seeds = count(mix.seeds)

    def scenarios(self) -> Iterator[Scenario]:
        yield from self._turns()
        yield from self._pauses()
        yield from self._backchannels()
        yield from self._interruptions()
        yield from self._noises()
        yield from self._side_talk()
        yield from self._echoes()
        yield from self._corrections()
        for n, text in enumerate(self._texts["monologues"]):
            first = self._opening(text, next(self._voices))
            yield Scenario(f"monologue-{n:02}", Kind.MONOLOGUE, (first,))
        for n in range(self._mix.silences):
            quiet = Noise(NoiseKind.WHITE, 34.0, next(self._seeds))
            yield Scenario(
                f"silence-{n:02}", Kind.SILENCE, noise=quiet, duration=20.0, note="a quiet room"
            )

    def _opening(self, text: str, voice: str, level: float = NORMAL_DB) -> ScriptLine:
        return ScriptLine(Role.TURN, Start(StartRule.AT, OPENING_S), text, voice=voice, level=level)

    def _turns(self) -> Iterator[Scenario]:
        for n, level in zip(
            range(self._mix.turns), cycle((NORMAL_DB, NORMAL_DB, SOFT_DB, LOUD_DB)), strict=False
        ):
            line = self._opening(next(self._questions), next(self._voices), level)
            yield Scenario(f"turn-{n:02}", Kind.TURN, (line,), note=f"{level:g} dBFS")

    def _pauses(self) -> Iterator[Scenario]:
        gaps, number = cycle(self._mix.pauses), count()
        for _ in range(self._mix.pauses_each):
            for place, before, after in self._texts["pauses"]:
                gap, voice = next(gaps), next(self._voices)
                lines = (
                    ScriptLine(
                        Role.UNFINISHED, Start(StartRule.AT, OPENING_S), before, voice=voice
                    ),
                    ScriptLine(Role.TURN, Start(StartRule.AFTER_LINE, gap), after, voice=voice),
                )
                note = f"{gap:g} s, {place}"
                yield Scenario(f"pause-{next(number):02}", Kind.PAUSE, lines, note=note)
            next(gaps)  # shift, so that each text gets another gap next round

    def _backchannels(self) -> Iterator[Scenario]:
        sources = cycle([SoundSource.VOICE] * 4 + [SoundSource.LAUGHTER, SoundSource.COUGH])
        words, levels = (
            cycle(self._small_words),
            cycle((NORMAL_DB, SOFT_DB, NORMAL_DB, SOFT_DB, LOUD_DB)),
        )
        for n, source in zip(range(self._mix.backchannels), sources, strict=False):
            voice, level = next(self._voices), next(levels)
            start = Start(StartRule.DURING_REPLY, 1.5 + 0.4 * (n % 4))
            if source is SoundSource.VOICE:
                word = next(words)
                line = ScriptLine(Role.BACKCHANNEL, start, word, voice=voice, level=level)
            else:
                seed = next(self._seeds)
                line = ScriptLine(Role.BACKCHANNEL, start, source=source, seed=seed, level=level)
            note = f"{line.text or source.value}, {level:g} dBFS"
            lines = (self._opening(next(self._requests), voice), line)
            yield Scenario(f"backchannel-{n:02}", Kind.BACKCHANNEL, lines, note=note)

    def _interruptions(self) -> Iterator[Scenario]:
        texts = {
            kind: cycle(self._texts[kind])
            for kind in ("stops", "corrections_over", "new_questions")
        }
        levels = cycle((NORMAL_DB, SOFT_DB, LOUD_DB, NORMAL_DB))
        for n, kind in zip(range(self._mix.interruptions), cycle(texts), strict=False):
            voice, level = next(self._voices), next(levels)
            start = Start(StartRule.DURING_REPLY, 1.0 + 0.7 * (n % 5))
            line = ScriptLine(Role.INTERRUPTION, start, next(texts[kind]), voice=voice, level=level)
            lines = (self._opening(next(self._requests), voice), line)
            note = f"{kind.replace('_', ' ')}, {level:g} dBFS"
            yield Scenario(f"interruption-{n:02}", Kind.INTERRUPTION, lines, note=note)

    def _noises(self) -> Iterator[Scenario]:
        for n, (kind, snr) in enumerate(self._mix.noises):
            counted = snr == GOAL_SNR_DB
            yield Scenario(
                f"noise-{n:02}",
                Kind.NOISE,
                self._asking(self._mix.noise_turns if counted else 1),
                Noise(kind, snr, next(self._seeds)),
                listen=self._mix.exposure if counted else 12.0,
                reply=(self._mix.exposure if counted else 12.0) + 2.0,
                note=f"{kind}, {snr:g} dB",
            )

    def _asking(self, times: int) -> tuple[ScriptLine, ...]:
        """Return requests in one voice, each following the reply to the last."""
        voice = next(self._voices)
        first = self._opening(next(self._requests), voice)
        after = Start(StartRule.AFTER_REPLY, REST)
        more = (next(self._requests) for _ in range(times - 1))
        return first, *(ScriptLine(Role.TURN, after, text, voice=voice) for text in more)

    def _side_talk(self) -> Iterator[Scenario]:
        texts = cycle(self._texts["side_talk"])
        others = cycle(self._mix.side_talkers)
        for n in range(self._mix.side_talk):
            voice, other, text = next(self._voices), next(others), next(texts)
            over = n % 4 < 2  # both voices and all texts occur in both places
            start = Start(StartRule.DURING_REPLY, 1.5) if over else Start(StartRule.AT, 1.0)
            talk = ScriptLine(Role.SIDE_TALK, start, text, voice=other, level=BYSTANDER_DB)
            ask = self._opening(next(self._requests), voice)
            if over:
                lines = (ask, talk)
            else:
                later = Start(StartRule.AFTER_LINE, 3.0)
                lines = (talk, ScriptLine(Role.TURN, later, ask.text, voice=voice))
            note = f"{'over a reply' if over else 'before the user speaks'}, {BYSTANDER_DB:g} dBFS"
            yield Scenario(f"side-talk-{n:02}", Kind.SIDE_TALK, lines, note=note)

    def _echoes(self) -> Iterator[Scenario]:
        delays, rooms, gains = cycle((0.02, 0.08, 0.15)), cycle((0.2, 0.4)), cycle((-6.0, -12.0))
        for n in range(self._mix.echoes):
            echo = EchoSetup(next(delays), next(rooms), next(gains), next(self._seeds))
            note = f"{echo.delay * 1000:.0f} ms, {echo.gain:g} dB, reverberation {echo.rt60:g} s"
            yield Scenario(
                f"echo-{n:02}",
                Kind.ECHO,
                self._asking(self._mix.echo_turns),
                echo=echo,
                listen=self._mix.exposure,
                reply=self._mix.exposure + 2.0,
                note=note,
            )

    def _corrections(self) -> Iterator[Scenario]:
        number = count()
        for gap in self._mix.corrections:
            for said, meant in self._texts["corrected"]:
                voice = next(self._voices)
                lines = (
                    ScriptLine(Role.CORRECTED, Start(StartRule.AT, OPENING_S), said, voice=voice),
                    ScriptLine(
                        Role.CORRECTION, Start(StartRule.AFTER_LINE, gap), meant, voice=voice
                    ),
                )
                name = f"correction-{next(number):02}"
                yield Scenario(name, Kind.CORRECTION, lines, note=f"after {gap:g} s")
