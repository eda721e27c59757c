"""Chinese text as phonemes, and Chinese voices without the package that reads characters."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import SynthesizerError
from model.lite import SynthesizerMaker
from model.lite.text import mandarin
from model.lite.text.mandarin import MandarinPhonemizer, check_pinyin, syllable
from model.weights.packages import WeightStore
from voices.store import VoiceStore

needs_pinyin = pytest.mark.skipif(
    mandarin.find_spec("pypinyin") is None, reason="needs pypinyin (covo[chinese])"
)


@needs_pinyin
@pytest.mark.parametrize(
    ("pinyin", "phonemes"),
    [
        ("ma1", "ma→"),
        ("ma5", "ma"),
        ("zhong1", "ꭧʊ→ŋ"),
        ("xiang3", "ɕja↓ŋ"),
        ("shi4", "ʂɨ↘"),
        ("zi5", "ʦɨ"),
        ("ji1", "ʨi→"),
        ("nv3", "ny↓"),
        ("xue2", "ɕɥe↗"),
        ("yuan2", "ɥɛ↗n"),
        ("jiu4", "ʨjou↘"),
        ("dui4", "twei↘"),
        ("lun2", "lwə↗n"),
        ("er4", "ɚ↘"),
        ("bo1", "pwo→"),
        ("o4", "ɔ↘"),
        ("n2", "n↗"),
        ("wo3", "wo↓"),
        ("cha2", "ꭧʰa↗"),
        ("hello", ""),
    ],
)
def test_a_syllable_has_the_phonemes_that_kokoro_learnt(pinyin: str, phonemes: str) -> None:
    assert syllable(pinyin) == phonemes


@needs_pinyin
def test_every_reading_of_a_character_has_phonemes_that_the_network_knows() -> None:
    from pypinyin.constants import PINYIN_DICT
    from pypinyin.contrib.tone_convert import to_tone3

    phonemizer = MandarinPhonemizer()
    readings = {reading for text in PINYIN_DICT.values() for reading in text.split(",")}
    assert len(readings) > 1400
    for reading in readings:
        phonemes = syllable(to_tone3(reading, neutral_tone_with_five=True))
        assert phonemes, reading
        assert len(phonemizer.numbers(phonemes)) == len(phonemes), reading


@needs_pinyin
def test_a_phrase_decides_how_its_characters_are_read() -> None:
    phonemizer = MandarinPhonemizer()
    assert phonemizer.pieces("银行") == ["i↗n xa↗ŋ"]
    assert phonemizer.pieces("行走") == ["ɕi↗ŋ ʦou↓"]


@needs_pinyin
def test_latin_words_in_chinese_have_their_english_phonemes() -> None:
    english = super(MandarinPhonemizer, phonemizer := MandarinPhonemizer()).pieces("hello")[0]
    (said,) = phonemizer.pieces("他说hello, 好.")
    assert said.startswith("tʰa→ ʂwo→")
    assert f" {english}, " in said
    assert said.endswith("xau↓.")


@needs_pinyin
def test_characters_without_a_reading_are_left_out_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from pypinyin.constants import PINYIN_DICT

    first, second, *_ = [chr(code) for code in range(0x3400, 0x4DC0) if code not in PINYIN_DICT]
    assert MandarinPhonemizer().pieces(f"好{first}{second}好") == ["xau↓ xau↓"]
    assert f"no sounds for '{first} {second}'" in caplog.text


def test_without_the_package_a_chinese_voice_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(mandarin, "find_spec", lambda name: None)
    message = r"^the voice xiaoxiao speaks Chinese, .* install .*covo\[chinese.*\]'$"
    with pytest.raises(SynthesizerError, match=message):
        check_pinyin("xiaoxiao")
    with pytest.raises(SynthesizerError, match=message):
        SynthesizerMaker(WeightStore(tmp_path), VoiceStore().get)("xiaoxiao")
    assert SynthesizerMaker(WeightStore(tmp_path), VoiceStore().get)("bella").language == "en"
