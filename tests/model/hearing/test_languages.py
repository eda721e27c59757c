"""Which language is being spoken."""

from __future__ import annotations

from model.hearing.languages import LANGUAGES, SpokenLanguages, language_name


def test_a_sure_language_is_believed():
    assert SpokenLanguages().choose({"de": 0.95, "en": 0.05}, 2.0) == "de"
    assert SpokenLanguages().choose({"zh": 0.65, "en": 0.3}, 2.0) == "zh"


def test_another_language_than_those_heard_must_be_surer():
    spoken = SpokenLanguages()
    assert spoken.choose({"cy": 0.81, "en": 0.18}, 2.0) == "en"
    spoken.hear("cy", 0.95)
    assert spoken.choose({"cy": 0.81, "en": 0.18}, 2.0) == "cy"
    assert spoken.choose({"cy": 0.1, "en": 0.81}, 2.0) == "cy"
    assert spoken.choose({"cy": 0.05, "en": 0.95}, 2.0) == "en"


def test_a_short_sound_brings_no_other_language():
    spoken = SpokenLanguages()
    assert spoken.choose({"ko": 0.95, "zh": 0.03}, 1.0) == "zh"
    assert spoken.choose({"ko": 0.95, "zh": 0.03}, 1.5) == "ko"
    assert spoken.choose({"zh": 0.7, "en": 0.1}, 0.5) == "zh"


def test_a_hum_is_in_the_likeliest_language_that_was_heard():
    spoken = SpokenLanguages()
    assert spoken.choose({"tr": 0.46, "zh": 0.2, "en": 0.1}, 2.0) == "zh"  # nothing was heard yet
    spoken.hear("de", 0.95)
    spoken.hear("fr", 0.5)  # unsure itself
    assert spoken.choose({"tr": 0.46, "fr": 0.3, "en": 0.3, "de": 0.05}, 2.0) == "de"
    spoken.hear("en", 0.95)
    assert spoken.choose({"tr": 0.46, "en": 0.3, "de": 0.05}, 2.0) == "en"


def test_whispers_languages_have_names():
    assert len(LANGUAGES) == 99
    assert language_name("ht") == "Haitian Creole"
    assert language_name("xx") == "xx"
