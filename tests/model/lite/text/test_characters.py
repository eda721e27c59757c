"""What is written in odd characters, or marked with its sources, is read like plain words."""

from __future__ import annotations

import pytest

from model.lite.text.speakable import speakable

PARIS = "The capital is Paris."


@pytest.mark.parametrize(
    "written",
    [
        "The capital is Paris【4:0†source】.",
        "The capital is Paris \ue200cite\ue202turn0search0\ue201.",
        "The capital is Paris[^1].",
        "The capital is Paris[^1^][2].",
        "The capital is Paris [1].",
        "The capital is Paris.[1][3]",
        "The capital is Paris [[1]](https://x.y).",
        "The capital is Paris [1](https://x.y).",
        "The capital is Paris[citation:3] [doc1].",
        "The capital is <co: 0,1>Paris</co: 0,1>.",
        "The capital is Paris:contentReference[oaicite:0]{index=0}.",
        "The capital is Paris<sup>1</sup>.",
        "The capital is Paris.¹²",
    ],
)
def test_sources_are_not_read(written: str) -> None:
    assert speakable(written) == PARIS


@pytest.mark.parametrize(
    "written",
    [
        "a[1] is it.",
        "Use the arr[1] form.",
        "It is in [1, 2].",
        "It is `it[1]`.",
        "See item [1] there.",
    ],
)
def test_other_brackets_stay(written: str) -> None:
    assert "1" in speakable(written)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("\U0001d413\U0001d421\U0001d41e cap\u200bital\u2060 is \u202bPar\u00adis\u202c.", PARIS),
        ("\ufeffThe capital\ufffd is T\u0338Paris\x00.".replace("T\u0338P", "P\u0338"), PARIS),
        (
            "It is \u0662\u0665 or \u0967\u0966 or \uff11\uff12 or 3\ufe0f\u20e3.",
            "It is 25 or 10 or 12 or 3.",
        ),
        ("The \ufb01rst of\ufb01ce.", "The first office."),
        ("Cafe\u0301 Sa\u0303o.", "Café São."),
    ],
)
def test_other_forms_of_characters_are_read_as_plain_ones(written: str, read: str) -> None:
    assert speakable(written) == read
