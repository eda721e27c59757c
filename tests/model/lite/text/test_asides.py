"""What is not meant for the listener is removed, however it arrives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.lite.text.asides import Asides

PARIS = "The capital is Paris."


def heard(text: str, step: int, *, thinks_first: bool = False) -> tuple[str, Asides]:
    asides = Asides(thinks_first=thinks_first)
    given_out = [asides.feed(text[i : i + step]) for i in range(0, len(text), step)]
    return "".join(given_out) + asides.end(), asides


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    "written",
    [
        f"<think>The user asks.</think>\n\n{PARIS}",
        f"<think>\n\n</think>\n\n{PARIS}",
        f"<thinking>Is a < b?</thinking> {PARIS}",
        f"<reasoning effort='low'>Hm.</reasoning>{PARIS}",
        f"<seed:think>Hm.</seed:think>{PARIS}",
        f"[THINK]Hm.[/THINK]{PARIS}",
        f"◁think▷Hm.◁/think▷{PARIS}",
        f"<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>"
        f"{PARIS}<|return|>",
        f"<|channel>thought\nHm.<channel|>{PARIS}",
        f"<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>{PARIS}<|END_RESPONSE|>",
        f"<|begin_of_thought|>Hm.<|end_of_thought|>{PARIS}",
        f"<|im_start|>assistant\n{PARIS}<|im_end|>",
        f"{PARIS}</s>",
        f"<answer>{PARIS}</answer>",
        f'<tool_call>{{"name": "x"}}</tool_call>{PARIS}',
        f"<function=weather>{{}}</function>{PARIS}",
        f"{PARIS}<｜tool▁calls▁begin｜>x<｜tool▁calls▁end｜>",
        f'{PARIS}[TOOL_CALLS][{{"name": "x"}}]',
        f'{{"name": "weather", "parameters": {{"city": "Paris"}}}}\n{PARIS}',
        f"*smiles warmly* {PARIS}",
        f"*tips his hat* {PARIS}",
        f"(laughs softly) {PARIS}",
        f"(in a warm voice) {PARIS}",
        f"*excitedly* {PARIS}",
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{PARIS}",
        f"```tool_code\nweather('Paris')\n```\n{PARIS}",
        f"[sighs] {PARIS}",
        f"[laughter]\n{PARIS}",
        f"*clears throat*\n\n{PARIS}",
        f"**smiles** {PARIS}",
        f"_giggles_ {PARIS}",
        f"<laugh> {PARIS}",
        f"<|thinking|>Hm.<|/thinking|>{PARIS}",
        f"<inner_thoughts>Hm.</inner_thoughts>{PARIS}",
        f"<think/>{PARIS}",
        f"<final_answer>{PARIS}</final_answer>",
        f"[weather(city='Paris')]\n{PARIS}",
        "The capital *chuckles* is Paris.",
        f"<think>a <think>b</think> c</think>{PARIS}",
        f"<think>\n<think>\nHm.</think>{PARIS}",
        f"<think>\n<think>Hm.</think></think>{PARIS}",
        f"<think>Shall I use <think> tags?</think>{PARIS}",
        f"<thinking>a <reflection>b</reflection> c</thinking>{PARIS}",
        f"<think>Hm.</thinking>\n{PARIS}",
        f"<antThinking>Hm.</antThinking>{PARIS}",
        f"<|thought_start|>Hm.<|thought_end|>{PARIS}",
        f"<unused94>thought\nHm.<unused95>{PARIS}",
        f"<seed:think>a<seed:cot_budget_reflect>b</seed:cot_budget_reflect>c</seed:think>{PARIS}",
        f'<details type="reasoning" done="true">\nHm.\n</details>\n{PARIS}',
        f"```thinking\nHm.\n```\n{PARIS}",
        f"{PARIS}<0x0A>",
        f"<plan>Name it.</plan>\n<solution>{PARIS}</solution>",
        f"analysisThe user asks. Easy.assistantfinal{PARIS}",
        f"Here is my thought process:\nHm.\n\nHere is my response:\n{PARIS}",
        f"**Thinking:** Hm.\n\n**Answer:** {PARIS}",
        f"<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final "
        f"<|constrain|>text<|message|>{PARIS}",
        f'[{{"name": "weather", "arguments": {{}}}}]\n{PARIS}',
        f"<｜DSML｜function_calls>x</｜DSML｜function_calls>{PARIS}",
        f"<start_function_call>call:x{{}}<end_function_call>{PARIS}",
        f"[excited] {PARIS}",
        f"Assistant: {PARIS}",
        f"### Response:\n{PARIS}",
        f"assistant\n\n{PARIS}",
        f"{PARIS}\n\nUser: And Spain?\n\nAssistant: Madrid.",
        f"{PARIS}\n\n**Human:** And Spain?",
        f"{PARIS}\n\n### Instruction:\nAnd Spain?",
        f"{PARIS}<|im_end|>\n<|im_start|>user\nAnd Spain?",
        f"{PARIS}<end_of_turn>\n<start_of_turn>user\nAnd Spain?",
        f"{PARIS}<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnd Spain?",
        f"{PARIS}<|endoftext|>Human: And Spain?",
        f"{PARIS} [INST] And Spain? [/INST] Madrid.",
    ],
)
def test_only_the_answer_is_heard(written: str, step: int) -> None:
    assert heard(written, step)[0].strip() == PARIS


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    "written",
    [
        "Reasoning: it is a skill. Nothing more.",
        "A user: whoever uses it.\nUse it, human!\nUsers: all of them.",
        "<Paris> is a tag.",
        "[1, 2] is a list. [name] is lower.",
        "That is *really* good. *Titanic* is a film.",
        "*Smiles* are free. He *laughs* a lot.",
        "It is far (about 4 km) and [a link](http://x.y).",
        "Take two (take one a day) (looking back, it was 1990).",
        "3 < 5 and 2*3 = 6, a<b, List<int> x and x <",
        "<b>bold</b> and **nodding** off",
        '{"a": 1} is JSON.',
        "Note: *italic words here* matter.",
        "* one\n* two",
        "a * b * c",
        "He is **laughing** now. A _very_ good _snake_case_ name.",
        "[foo(x)](http://x.y) is ~5 and ~~old~~",
        "__init__ and **Smiles** are",
        "Run `ls` or ``x`` and\n```python\nprint(1)\n```\n",
        "The `<think>` tag (`</think>` ends it) is dropped. So is `[TOOL_CALLS]` there.",
        "Use `<tools>`, ``<|im_end|>`` or `*laughs*` for that. It is all there is.",
    ],
)
def test_what_has_a_meaning_stays(written: str, step: int) -> None:
    assert heard(written, step)[0] == written


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["<", "think", ">", "/", "*smiles*", "{", '"', "|", "a ", "(", "]"]))
)
def test_how_it_arrives_makes_no_difference(pieces: list[str]) -> None:
    written = "".join(pieces)
    assert heard(written, 1)[0] == heard(written, max(1, len(written)))[0]


def test_thinking_that_was_cut_is_no_answer() -> None:
    text, asides = heard("<think>The user asks for the capital of", 5)
    assert (text, asides.thinking) == ("", True)


@pytest.mark.parametrize("step", [1, 1000])
def test_only_a_closing_tag(step: int) -> None:
    thought = f"The user asks.\n</think>\n\n{PARIS}"
    assert heard(thought, step, thinks_first=True)[0] == PARIS
    assert heard(thought, step)[1].closed_late
    assert heard(f"Say `x`</think>{PARIS}", step)[1].closed_late
    assert not heard(f"<think>a</think></think>{PARIS}", step)[1].closed_late, "nothing was heard"
    whole, asides = heard(PARIS * 9, step, thinks_first=True)
    assert whole == PARIS * 9, "it did not think this time"
    assert not asides.thinking


def test_thinking_that_was_expected_and_cut_is_not_heard() -> None:
    asides = Asides(thinks_first=True)
    assert asides.feed("The user asks for") + asides.end(cut=True) == ""


def test_it_tells_what_it_removed() -> None:
    assert heard("<tool_call>{}</tool_call>", 4)[1].tool
    assert heard("<think>Hm.</think>", 4)[1].thinking
    assert not heard("<think>\n</think>Yes.", 4)[1].thinking
