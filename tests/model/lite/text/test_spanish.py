"""Spanish text as phonemes, and Spanish voices without the packages that read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import SynthesizerError
from model.lite import SynthesizerMaker
from model.lite.text.spanish import phonemizer as spanish
from model.lite.text.spanish.phonemizer import SpanishPhonemizer, check_spanish
from model.weights.packages import WeightStore
from voices.store import VoiceStore

needs_rules = pytest.mark.skipif(
    spanish.find_spec("piper_plus_g2p") is None, reason="needs piper-plus-g2p (covo[spanish])"
)


@needs_rules
@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("¿Qué hora es?", "kˈe ˈoɾa es?"),
        ("El perro corre mucho.", "el pˈero kˈore mˈuʧo."),
        ("Hola, (mañana) vuelvo…", "ˈola, (maɲˈana) bwˈelβo…"),
        ("México y Texas", "mˈexiko i tˈexas"),
        ("Müller, François, Łódź", "muʝˈeɾ, fɾˈansoɪs, lˈoðs"),
        ("La ciudad, el día y el baúl", "la sjuðˈað, el dˈia i el baˈul"),
        ("Un vaso, tres gatos y domingo", "um bˈaso, tɾˈes ɣˈatos i ðomˈiŋɡo"),
        ("causa, seis, oigo, Europa, hay", "kˈWsa, sˈAs, ˈoɪɣo, eʊɾˈopa, ˈI"),
        ("biblioteca, descubrieron, fuimos", "biβliotˈeka, deskuβɾiˈeɾon, fwˈimos"),
    ],
)
def test_words_have_the_phonemes_that_kokoro_learnt(text: str, phonemes: str) -> None:
    phonemizer = SpanishPhonemizer()
    assert phonemizer.pieces(text) == [phonemes]
    assert len(phonemizer.numbers(phonemes)) == len(phonemes)


@needs_rules
def test_every_letter_has_phonemes_that_the_network_knows() -> None:
    phonemizer = SpanishPhonemizer()
    for first in "abcdefghijklmnñopqrstuvwxyzáéíóúü":
        for second in "aeiouhlr":
            (phonemes,) = phonemizer.pieces(f"{first}{second}a")
            assert len(phonemizer.numbers(phonemes)) == len(phonemes), phonemes


@needs_rules
def test_words_without_sounds_are_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert SpanishPhonemizer().pieces("hola Ж") == ["ˈola"]
    assert "no sounds for 'Ж'" in caplog.text


def test_without_its_packages_a_spanish_voice_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(spanish, "find_spec", lambda name: None)
    message = r"^the voice dora speaks Spanish, .* and unicode-rbnf: .*covo\[spanish.*\]'$"
    with pytest.raises(SynthesizerError, match=message):
        check_spanish("dora")
    with pytest.raises(SynthesizerError, match=message):
        SynthesizerMaker(WeightStore(tmp_path), VoiceStore().get)("dora")
    assert SynthesizerMaker(WeightStore(tmp_path), VoiceStore().get)("bella").language == "en"
