"""Blocks of markup are one clause and one phrase; nothing of a line's markup is read."""

from __future__ import annotations

import pytest

from model.lite.text.clauses import ClauseSplitter
from model.lite.text.speakable import no_sounds, speakable, unsayable

CODE = "```python\nfor i in range(3):\n    print(i)  # Yes. It does. And more of it.\n```"
TABLE = "| a | b |\n|---|---|\n| 1 | 2 |\n"
CODE_PHRASE = "I've put the code in the transcript."
TABLE_PHRASE = "I've put the table in the transcript."
FORMULA_PHRASE = "I've put the formula in the transcript."


def said(text: str) -> list[str]:
    """What is said of the clauses of ``text``, in whatever pieces it comes."""
    results = []
    for step in (1, 7, len(text)):
        splitter = ClauseSplitter()
        pieces = [text[i : i + step] for i in range(0, len(text), step)]
        clauses = [c for piece in pieces for c in splitter.feed(piece)] + splitter.flush()
        assert "".join(clauses) == text
        results.append([spoken for clause in clauses if (spoken := speakable(clause))])
    assert results[0] == results[1] == results[2]
    return results[0]


@pytest.mark.parametrize(
    ("block", "phrase"),
    [
        (CODE, CODE_PHRASE),
        (CODE.replace("`", "~"), CODE_PHRASE),
        ("<pre><code>a. B. c.\n\nD.</code></pre>", CODE_PHRASE),
        (TABLE, TABLE_PHRASE),
        ("Name | Age\n--- | ---\nBob | 3\nAmy | 5\n", TABLE_PHRASE),
        ("<table><tr><td>One. Two.</td></tr>\n</table>", TABLE_PHRASE),
        ("$$\n\\int_0^1 x\\,dx. Y\n$$", FORMULA_PHRASE),
        ("\\[ a = b. C \\]", FORMULA_PHRASE),
        ("\\begin{align} a &= b. \\end{align}", FORMULA_PHRASE),
    ],
)
def test_a_block_is_said_in_one_phrase(block: str, phrase: str) -> None:
    text = f"Here is how you do that:\n\n{block}\n\nThat is all there is to it."
    assert said(text) == ["Here is how you do that:", phrase, "That is all there is to it."]


@pytest.mark.parametrize("indent", ["  ", " " * 16])
def test_a_table_without_a_leading_pipe_may_be_indented(indent: str) -> None:
    rows = "".join(f"{indent}{row}\n" for row in ("a | b", "- | -", "c | d"))
    assert said(f"Here is the table:\n{rows}") == ["Here is the table:", TABLE_PHRASE]


@pytest.mark.parametrize("cut", [12, 30, 60])
def test_a_block_that_was_cut_is_said_in_one_phrase_too(cut: int) -> None:
    assert said(f"Look at this example:\n{CODE[:cut]}") == ["Look at this example:", CODE_PHRASE]


MENTIONED = """
Use the `<script>` tag. | Use the script tag.
Use the <script> tag. | Use the script tag.
<table> is the tag. | table is the tag.
The <table> element. | The table element.
The <ul> begins a list. | The ul begins a list.
Close it with `</script>`. | Close it with slash script.
The name is <table>. | The name is table.
A `Map<String, Integer>` here. | A Map String, Integer here.
Open it with `<!--` here. | Open it with here.
Joe's Diner ($$) is good. | Joe's Diner ($$) is good.
Joe's is $$ on the list. | Joe's is $$ on the list.
It is $$-$$$ there. | It is $$-$$$ there.
Use `$$` for that. | Use $$ for that.
Use `\\[` for that. | Use [ for that.
Use `\\begin{align}` for it. | Use begin align for it.
Use `` ``` `` for it. | Use ``` for it.
Use ``` to open code. | Use ``` to open code.
``` opens some code. | ``` opens some code.
Blocks begin with ```. | Blocks begin with ```.
Run `ls | wc` for it. | Run ls, wc for it.
Use | between them. | Use, between them.
"""


@pytest.mark.parametrize("row", MENTIONED.strip().splitlines())
@pytest.mark.parametrize("first", ["", "This is the first sentence. ", "A list:\n- "])
def test_a_block_that_is_only_mentioned_keeps_nothing_back(row: str, first: str) -> None:
    text, spoken = (part.strip() for part in row.rsplit(" | ", 1))
    splitter = ClauseSplitter()
    clauses = splitter.feed(f"{first}{text} It is a long way to go. And it ends here.")
    assert spoken in " ".join(map(speakable, clauses))
    assert "transcript" not in " ".join(map(speakable, [*clauses, *splitter.flush()]))


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Text.\n$$\nx = 1 is open.\n\nIt goes on.", "Text. $$ x equals 1 is open. It goes on."),
        ("Prices:\n- Joe: $$\n- Bob: $$\nSo.", "Prices: Joe: $$ Bob: $$ So."),
        (
            "Text.\n<script>\nIt is open. And it goes on.",
            "Text. script It is open. And it goes on.",
        ),
        ("A fence is ```.\nSo it is. And so on.", "A fence is ```. So it is. And so on."),
        ("Use ```python for it. So it is.", "Use ```python for it. So it is."),
        ("See: <!-- hidden. And it\nis long --> it goes on.", "See: it goes on."),
    ],
)
def test_what_is_never_closed_is_no_block(text: str, spoken: str) -> None:
    assert " ".join(said(text)) == spoken


@pytest.mark.parametrize(
    "text",
    [
        "Here is the code: <pre>a = 1. B\nc</pre>",
        "Here is the code: ```python\nx = 1. Y\n```",
        "Here is the code:\n- ```python\n  x = 1. Y\n  ```",
        "Here is the code:\n``` c++\nx = 1. Y\n```",
        "Here is the code:\n> ~~~\n> x = 1. Y\n> ~~~",
    ],
)
def test_a_block_may_begin_after_a_colon_or_in_a_list(text: str) -> None:
    assert said(text) == ["Here is the code:", CODE_PHRASE]


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("See [a long\npage. It is](http://x.y/z_(a)) for all.", "See a long page. It is for all."),
        ('<a href="http://x.y/a. B">That</a> is <b>bold</b>.<br>Yes.', "That is bold. Yes."),
        ("Fine &amp; good, 5 &lt; 6.", "Fine & good, 5 less than 6."),
        ("1. First do this.\n2. Then that.", "1. First do this. 2. Then that."),
        ("Run ```pip install x``` or `make`.", "Run pip install x or make."),
        ("Read \\(x^2 + \\frac{a}{b}\\) now.", "Read x squared plus a over b now."),
        ("So $E = mc^2$, but $5 and $10.", "So E equals mc squared, but $5 and $10."),
        ("List<int> is a type, <speak>not SSML</speak>.", "List int is a type, not SSML."),
        ("Look: ![a cat](c.png) <!-- hidden --> here.", "Look: a cat here."),
        ("Mail https://a.b/c?d=e, or www.x.org.", "Mail a link, or a link."),
    ],
)  # fmt: skip
def test_the_markup_of_lines_is_not_read(text: str, spoken: str) -> None:
    assert " ".join(said(text)) == spoken


@pytest.mark.parametrize(
    ("text", "spoken", "silent"),
    [
        ("巴黎是法国的首都。", "", ["巴黎是法国的首都"]),
        ("It is Paris (巴黎) in Москва.", "It is Paris in.", ["巴黎", "Москва"]),
        ("नमस्ते means hello.", "means hello.", ["नमस्ते"]),
        ("Ελλάδα, π and Δx", "pi and delta x", ["Ελλάδα"]),
        ("Café Zürich, Łódź and naïve.", "Café Zürich, Łódź and naïve.", []),
        ("5 µg and ½ of it", "5 micrograms and ½ of it", []),
    ],
)
def test_words_without_sounds_are_not_said_but_told(
    text: str, spoken: str, silent: list[str]
) -> None:
    assert speakable(text) == spoken
    assert unsayable(text) == silent


def test_the_notice_is_short() -> None:
    assert "“巴黎 Москва”" in no_sounds(["巴黎", "Москва"])
    assert len(no_sounds(["巴"] * 500)) < 120
