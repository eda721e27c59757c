"""The language-model side against the public code's numbers, and where ours is different."""

from __future__ import annotations

import itertools

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from model.covo.features import TurnFeatures, turn_features
from model.covo.loading import load_network
from model.covo.network import CovoNetwork, History, Step
from model.covo.penalties import PenaltySettings, RepetitionPenalties
from model.errors import NetworkInputError
from tests.golden_covo import TOLERANCE, error, golden, network_folder, pcm, tokens

CASES = ["short", "turn2", "long"]


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> CovoNetwork:
    return load_network(network_folder(tmp_path_factory.mktemp("covo") / "model"))


@pytest.fixture(scope="module")
def turns() -> dict[str, TurnFeatures]:
    return {case: turn_features(pcm(case), 24_000, reference_quirks=True) for case in CASES}


@pytest.fixture(scope="module")
def heard(network, turns):
    return {case: network.hear(turn) for case, turn in turns.items()}


def prompt(name: str):
    return golden("covo/generate")[f"{name}_input_ids"][0].long()


def generate(
    network: CovoNetwork, name: str, rows, history: History, limit: int = 24, **options
) -> list[Step]:
    options = {"stop": (), "reference_quirks": True, **options}
    return list(network.reply(prompt(name), rows, history, limit=limit, **options))


def check(steps: list[Step], name: str, case: str) -> None:
    numbers = golden("covo/generate")
    assert [step.token for step in steps] == tokens(case)
    assert error(steps[0].logits, numbers[f"{name}_prefill_logits_last"]) < TOLERANCE
    assert error(torch.stack([s.logits for s in steps]), numbers[f"{name}_logits"]) < TOLERANCE
    if f"{name}_scores" in numbers:
        scores = torch.stack([step.scores for step in steps])
        assert error(scores, numbers[f"{name}_scores"]) < TOLERANCE


@pytest.mark.parametrize("case", CASES)
def test_encoder_and_adapter(network, turns, case):
    numbers = golden(f"covo/features_{case}")
    for index, log_mel in enumerate(turns[case].log_mels):
        with torch.inference_mode():
            encoded = network.encoder(log_mel[None]).last_hidden_state
            adapted = network.audio_adapter(encoded)
        assert error(encoded[0, ::10], numbers[f"encoder_out_seg{index}_every10"]) < TOLERANCE
        assert error(adapted[0], numbers[f"adapter_out_seg{index}"]) < TOLERANCE


@pytest.mark.parametrize(("case", "name"), [("short", "r1"), ("turn2", "r2"), ("long", "long")])
def test_audio_goes_into_the_prompt(network, heard, case, name):
    embedded = network.embed(prompt(name), heard[case])
    assert error(embedded, golden("covo/generate")[f"{name}_inputs_embeds"][0]) < TOLERANCE


def test_two_turns(network, heard):
    history = network.new_history()
    check(generate(network, "r1", heard["short"], history), "r1", "round1")
    assert history.length == 313
    check(generate(network, "r2", heard["turn2"], history), "r2", "round2")
    assert history.length == 365


def test_a_turn_of_31_seconds(network, heard):
    steps = generate(network, "long", heard["long"], network.new_history(), limit=8)
    check(steps, "long", "long")


@pytest.mark.parametrize(
    ("case", "penalties"),
    [
        ("nopenalty", PenaltySettings(1.0, 1.0)),
        ("reponly", PenaltySettings(1.05, 1.0)),
        ("windowonly", PenaltySettings(1.0, 1.05)),
    ],
)
def test_each_penalty_alone(network, heard, case, penalties):
    history = network.new_history()
    steps = generate(network, "r1", heard["short"], history, penalties=penalties)
    assert [step.token for step in steps] == tokens(case)


def test_penalties_by_hand():
    rules = RepetitionPenalties(PenaltySettings(2.0, 3.0, window=2), torch.tensor([0, 1, 1]), 5)
    assert rules(torch.tensor([6.0, 6.0, 6.0, -6.0, 0.0])).tolist() == [3.0, 1.0, 6.0, -6.0, 0.0]
    rules.add(torch.tensor([3]))
    assert rules(torch.tensor([6.0, 6.0, 6.0, -6.0, 0.0])).tolist() == [3.0, 1.0, 6.0, -36.0, 0.0]


def test_the_end_token_ends_the_reply(network, heard):
    history = network.new_history()
    steps = generate(network, "r1", heard["short"], history, stop=(407,))
    assert [step.token for step in steps] == tokens("eos_case")
    assert history.length == 296


def test_with_the_reference_s_rounded_spectrogram(network, turns):
    numbers = golden("covo/generate")
    rounded = TurnFeatures(turns["short"].log_mels.bfloat16().float(), turns["short"].rows)
    rows = network.hear(rounded)
    theirs = golden("covo/features_short")["adapter_out_melbf16_seg0"][: rounded.placeholders]
    assert error(rows, theirs) < TOLERANCE
    steps = generate(network, "r1", rows, network.new_history())
    assert [step.token for step in steps] == tokens("melbf16")
    assert error(steps[0].logits, numbers["r1_melbf16_prefill_logits_last"]) < TOLERANCE


def test_the_last_token_belongs_to_the_history(network, heard):
    history = network.new_history()
    first = generate(network, "r1", heard["short"], history, reference_quirks=False)
    assert history.length == 314
    ours = network.advance(network.embed(prompt("r2"), heard["turn2"]), history)

    replied = torch.tensor([step.token for step in first])
    pieces = [
        network.embed(prompt("r1"), heard["short"]),
        network.embed(replied),
        network.embed(prompt("r2"), heard["turn2"]),
    ]
    afresh = network.advance(torch.cat(pieces), network.new_history())
    assert error(ours, afresh) < TOLERANCE
    assert error(ours, golden("covo/generate")["r2_prefill_logits_last"]) > 0.1


@pytest.mark.parametrize("spoken", [1, 5])
def test_history_holds_what_was_yielded_when_the_caller_stops(network, heard, spoken):
    history = network.new_history()
    steps = network.reply(prompt("r1"), heard["short"], history, stop=())
    said = [step.token for step in itertools.islice(steps, spoken)]
    steps.close()
    assert history.length == 290 + spoken
    pieces = [network.embed(prompt("r1"), heard["short"]), network.embed(torch.tensor(said))]
    end = network.embed(torch.tensor([514]))
    afresh = network.advance(torch.cat([*pieces, end]), network.new_history())
    assert error(network.advance(end, history), afresh) < TOLERANCE


def test_a_copied_history_is_independent(network, heard):
    history = network.new_history()
    generate(network, "r1", heard["short"], history)
    kept = history.copy()
    generate(network, "r2", heard["turn2"], history)
    assert (kept.length, history.length) == (313, 365)
    check(generate(network, "r2", heard["turn2"], kept), "r2", "round2")


def test_the_end_of_a_long_turn_is_heard(network, heard, turns):
    ours = turn_features(pcm("long"), 24_000)
    assert (turns["long"].rows, ours.rows) == ((188, 6), (188, 7))
    numbers = golden("covo/features_long")
    whole = torch.cat((numbers["adapter_out_seg0"], numbers["adapter_out_seg1"][:7]))
    assert error(network.hear(ours), whole) < TOLERANCE
    assert len(heard["long"]) == 194


@pytest.mark.parametrize(
    ("ids", "rows", "message"),
    [
        ([1, 668], None, "token id 668 is outside"),
        ([-1], None, "token id -1 is outside"),
        ([], None, "empty"),
        ([1, 535, 535], torch.zeros(1, 64), "2 audio placeholders, and there are 1"),
        ([1, 535], None, "1 audio placeholders, and there are 0"),
    ],
)
def test_wrong_prompts(network, ids, rows, message):
    with pytest.raises(NetworkInputError, match=message):
        network.embed(torch.tensor(ids, dtype=torch.long), rows)
