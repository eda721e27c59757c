"""Train the weights of a language, from its texts to the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.table import Table

from covo_cli.commands.common import voice_store
from covo_cli.endings.collect import HeardExample, Models, collect
from covo_cli.endings.examples import examples
from covo_cli.endings.fit import KindOutcome, fit, outcomes
from covo_cli.engines.engines import outlook_model
from covo_cli.errors import CliError
from covo_cli.process.whole_file import write_text
from covo_cli.settings.settings import Settings, models_dir
from model.lite import SynthesizerMaker
from model.lite.outlook import SmolOutlook
from model.lite.recognizer import WhisperRecognizer
from model.lite.smart_turn import SmartTurn
from model.turns.endings.weights import LanguageWeights
from model.turns.phrases import phrases_of
from model.turns.turn_settings import PATIENCE
from model.weights.packages import WeightStore

VOICES = {
    "en": ("heart", "heart", "heart", "heart", "michael", "emma"),
    "zh": ("yunyang", "yunjian", "xiaoyi", "xiaobei"),
}
"""By language: voices of the examples. No user of the sets *standard* and *chinese* is one."""

Track = Callable[[Iterable[HeardExample], int], Iterable[HeardExample]]
"""Shows the progress of so many steps."""


@dataclass(frozen=True, slots=True)
class Trained:
    """The weights, and how they judge what was held out."""

    weights: LanguageWeights
    outcomes: Sequence[KindOutcome]

    def write(self, path: Path) -> None:
        """Write the weights atomically. Raises: CliError."""
        text = msgspec.json.format(msgspec.json.encode(self.weights), indent=1).decode()
        try:
            write_text(path, text + "\n")
        except OSError as error:
            raise CliError(f"cannot write {path}: {error.strerror}") from error


def train(
    settings: Settings, language: str, voices: Sequence[str], heard: Path, track: Track
) -> Trained:
    """Say the examples of ``language``, collect them at ``heard`` and fit.

    ``voices``: empty for :data:`VOICES`.

    Raises: CliError for a language without texts or a voice of another language, ModelError,
        VoiceError.
    """
    phrases = phrases_of(language)
    if phrases is None:
        raise CliError(f"there are no texts in {language!r}: use en or zh")
    wanted = examples(language)
    models = _models(settings, language, voices or VOICES[language])
    for name, voice in models.voices.items():
        if voice.language != language:
            raise CliError(f"the voice {name} speaks {voice.language!r}, not {language!r}")
    try:
        found = list(track(collect(wanted, models, heard), len(wanted)))
    except (OSError, msgspec.DecodeError) as error:
        raise CliError(f"cannot use {heard}: {error}") from error
    weights = fit(found, phrases)
    best = weights.with_outlook or weights.without_outlook
    return Trained(weights, list(outcomes(found, phrases, best, PATIENCE["normal"])))


def table(trained: Trained) -> Table:
    """Return what was held out, kind by kind."""
    shown = Table("held out", "right", "cases", "taken for broken off", "waited for (s)")
    for one in trained.outcomes:
        whole, over = one.right
        right = "over" if over else "more to come" if whole else "broken off"
        broken = one.broken
        shown.add_row(
            one.kind,
            right,
            f"{broken.n:.0f}",
            f"{broken.value:.2f} ({broken.low:.2f} to {broken.high:.2f})",
            " / ".join(f"{wait:.2f}" for wait in one.waits),
        )
    return shown


def _models(settings: Settings, language: str, voices: Sequence[str]) -> Models:
    weights = WeightStore(models_dir(settings))
    make = SynthesizerMaker(weights, voice_store().get, threads=1)
    reads = language in SmolOutlook.languages
    return Models(
        {name: make(name) for name in set(voices)},
        voices,
        WhisperRecognizer(weights.whole("whisper-base"), language=language),
        SmartTurn(weights.path("smart-turn", "smart-turn-v3.2-cpu.onnx")),
        outlook_model(settings) if reads else None,
    )
