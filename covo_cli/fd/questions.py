"""Stage ``questions``: draw conversations from prompts, and say them.

The output is ``questions/``: a record of each conversation, a sound file of each turn as it is
clean, and the short phrases of each voice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from audio_io.clock import USER_RATE
from audio_io.errors import AudioError
from audio_io.files import read_audio, write_audio
from audio_io.levels import span_of_sound
from audio_io.resample import resample
from audio_io.signal import Audio
from covo_cli.errors import CliError
from covo_cli.fd.plan import PlannedConversation, SaidPrompt, language_of, phrases, plan
from covo_cli.fd.recipe import FdRecipe
from covo_cli.fd.records import (
    CONVERSATIONS,
    PHRASES,
    QUESTIONS,
    SOUNDS,
    PhraseKind,
    SpokenConversation,
    SpokenTurn,
    TurnKind,
)
from covo_cli.fd.work import Journal, Stage, digest
from voices.folders import make_folder

_CUES = {TurnKind.STOPPED: PhraseKind.STOPS, TurnKind.CORRECTED: PhraseKind.CORRECTIONS}
"""The phrases that interrupt a reply."""

SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".oga")
_SHORTEST_S, _LONGEST_S = 0.3, 28.0
"""Lengths of a turn that are kept: the teacher hears up to 30 s in one piece."""

Say = Callable[[str, str], Audio]
"""Says a text in the voice of a name: float32 mono 16 kHz."""

Recognise = Callable[[Audio], str]


@dataclass(frozen=True, slots=True)
class Mouth:
    """What says and reads: ``say`` in one of the voices, each with its language (en or zh), and
    ``recognise`` for recordings without words."""

    say: Say
    languages: Mapping[str, str]
    recognise: Recognise


def read_prompts(file: Path | None, recordings: Path | None) -> list[SaidPrompt]:
    """Return the prompts in ``file``, a line each, and the ``recordings`` in a folder.

    A recording's speaker is the folder that it lies in; its words are in a ``.txt`` of the same
    name, or empty. Raises: CliError.
    """
    found: list[SaidPrompt] = []
    try:
        if file is not None:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
            texts = dict.fromkeys(" ".join(line.split()) for line in lines)
            found += [SaidPrompt(text, language_of(text)) for text in texts if text]
        if recordings is not None:
            for path in sound_files(recordings):
                words = path.with_suffix(".txt")
                text = words.read_text(encoding="utf-8-sig").strip() if words.is_file() else ""
                speaker = str(path.parent.relative_to(recordings))
                found.append(SaidPrompt(text, language_of(text), path, speaker))
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"cannot read the prompts: {error}") from error
    if not found:
        raise CliError("there are no prompts; pass --prompts FILE or --recordings FOLDER")
    return found


def sound_files(folder: Path) -> list[Path]:
    """Return the files in ``folder``, at any depth, that are sounds by their names."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SOUND_SUFFIXES)


class Questions:
    """The stage in the work ``folder``. ``prompts``: what may be said. Raises: CliError."""

    def __init__(
        self, folder: Path, recipe: FdRecipe, prompts: list[SaidPrompt], mouth: Mouth
    ) -> None:
        self._mouth = mouth
        self._recipe = recipe
        self.planned = list(plan(prompts, recipe, mouth.languages))
        if not self.planned:
            raise CliError("no prompt has a voice of its language; add one to questions.voices")
        if all(one.held_out for one in self.planned):
            raise CliError(
                f"all {len(prompts)} prompts would be held out; bring more, or lower "
                f"questions.held_out from {recipe.questions.held_out} in recipe.toml"
            )
        recorded = {str(one.recording): digest(one.recording) for one in prompts if one.recording}
        texts = [one.text for one in prompts]
        self.stage = Stage(
            folder / QUESTIONS,
            {
                "recipe": recipe.numbers("questions", "shares"),
                "interruptions": recipe.timing.onset_early_share,
                "prompts": texts,
                "recordings": recorded,
            },
        )
        for name in (SOUNDS, PHRASES):
            make_folder(self.stage.folder / name)
        self._journal = Journal(self.stage.folder / CONVERSATIONS, SpokenConversation)
        self._prompts = len(prompts)

    def __len__(self) -> int:
        return len(self.planned)

    @property
    def done(self) -> int:
        """Return how many conversations are there."""
        return len(self._journal)

    def run(self) -> Iterator[int]:
        """Say what is missing; yield the number of conversations that are there."""
        for number in range(self.done, len(self.planned)):
            self._journal.append([self._spoken(number, self.planned[number])])
            yield self.done
        if not self.stage.complete:
            self._finish()

    def _spoken(self, number: int, planned: PlannedConversation) -> SpokenConversation:
        turns, language = [], planned.turns[0].prompt.language
        for kind in PhraseKind:  # the dialogues choose among all of them
            for which in range(len(phrases(language)[kind])):
                self._phrase(planned.voice, language, kind, which)
        for index, turn in enumerate(planned.turns):
            sound = self._sound(turn.prompt, planned)
            seconds = len(sound) / USER_RATE
            if not _SHORTEST_S <= seconds <= _LONGEST_S:
                continue
            name = f"{number:06}-{index}.flac"
            write_audio(self.stage.folder / SOUNDS / name, sound, USER_RATE)
            text = turn.prompt.text or self._mouth.recognise(sound)
            cue, length = "", 0.0
            if turn.kind in _CUES:
                cue = self._phrase(planned.voice, language, _CUES[turn.kind], turn.cue)
                said = read_audio(self.stage.folder / PHRASES / cue, USER_RATE)
                length = round(len(said) / planned.speed / USER_RATE, 4)
            turns.append(
                SpokenTurn(
                    text, name, round(seconds, 4), turn.kind, turn.onset, turn.early, cue, length
                )
            )
        return SpokenConversation(
            planned.voice, language, planned.speed, planned.held_out, tuple(turns)
        )

    def _sound(self, prompt: SaidPrompt, planned: PlannedConversation) -> Audio:
        try:
            if prompt.recording is not None:
                return trimmed(read_audio(prompt.recording, USER_RATE))
        except AudioError as error:
            raise CliError(f"cannot use a recording: {error}") from error
        return at_speed(trimmed(self._mouth.say(planned.voice, prompt.text)), planned.speed)

    def _phrase(self, voice: str, language: str, kind: PhraseKind, which: int) -> str:
        """Return the file's name of a phrase, saying it if it is not there."""
        texts = phrases(language)[kind]
        which %= len(texts)
        name = f"{voice}-{kind}-{which}.flac"
        path = self.stage.folder / PHRASES / name
        if not path.exists():
            write_audio(path, trimmed(self._mouth.say(voice, texts[which])), USER_RATE)
        return name

    def _finish(self) -> None:
        spoken = list(self._journal)
        turns = [turn for one in spoken for turn in one.turns]
        planned = sum(len(one.turns) for one in self.planned)
        counts = {
            "conversations": len(spoken),
            "conversations held out": sum(one.held_out for one in spoken),
            "turns": len(turns),
            "hours of speech": round(sum(turn.seconds for turn in turns) / 3600, 4),
            "kinds": {kind: sum(turn.kind is kind for turn in turns) for kind in TurnKind},
        }
        dropped = {
            f"turns shorter than {_SHORTEST_S:g} s or longer than {_LONGEST_S:g} s": planned
            - len(turns),
            "prompts without a voice of their language, or above the count": self._prompts
            - planned,
        }
        self.stage.finish(counts, dropped, CONVERSATIONS)


def at_speed(sound: Audio, speed: float) -> Audio:
    """Return ``sound`` (16 kHz) played ``speed`` times as fast: pitch and tempo move together."""
    return resample(sound, USER_RATE, USER_RATE / speed)


def trimmed(sound: Audio) -> Audio:
    """Return ``sound`` without the silence around it; an empty or silent one becomes empty."""
    if not sound.any():
        return sound[:0]
    begin, end = span_of_sound(sound)
    return sound[begin:end]
