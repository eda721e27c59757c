"""The language-model side against the public code's numbers, and where ours is different."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from model.covo.language.decoder import Decoder
from model.covo.language.features import TurnFeatures, turn_features
from model.covo.language.sampling import GREEDY, PenaltySettings, RepetitionPenalties, TokenChooser
from model.errors import NetworkInputError
from tests.model.covo.golden_covo import TOLERANCE, error, golden, pcm, tokens

CASES = ["short", "turn2", "long"]


@pytest.fixture(scope="module")
def turns() -> dict[str, TurnFeatures]:
    return {case: turn_features(pcm(case), 24_000, reference_quirks=True) for case in CASES}


@pytest.fixture(scope="module")
def heard(network, turns):
    return {case: network.hear(turn) for case, turn in turns.items()}


def prompt(name: str):
    return golden("covo/generate")[f"{name}_input_ids"][0].long()


@dataclass(frozen=True)
class Step:
    """A token, the logits it was chosen from, and what the penalties made of them."""

    token: int
    logits: torch.Tensor
    scores: torch.Tensor


def steps(
    decoder: Decoder, name: str, rows, limit: int = 24, penalties: PenaltySettings | None = None
) -> list[Step]:
    """The reply to prompt ``name``, token by token; its last token stays out of the history."""
    network = decoder.network
    decoder.append(network.embed(prompt(name), rows))
    chooser = TokenChooser(
        prompt(name), 668, penalties=penalties or PenaltySettings(), sampling=GREEDY
    )
    made = []
    for _ in range(limit):
        logits = decoder.logits.clone()
        scores = chooser.scores(logits)
        token = chooser.choose(logits)
        made.append(Step(int(token), logits, scores))
        decoder.append(decoder.network.embed_token(token))
    decoder.rewind(decoder.length - 1)
    return made


def generate(decoder: Decoder, name: str, rows, limit: int = 24, **options) -> list[int]:
    decoder.append(decoder.network.embed(prompt(name), rows))
    options = {"stop": (), "reference_quirks": True, **options}
    return list(decoder.generate(prompt(name), limit=limit, **options))


def check(made: list[Step], name: str, case: str) -> None:
    numbers = golden("covo/generate")
    assert [step.token for step in made] == tokens(case)
    assert error(made[0].logits, numbers[f"{name}_prefill_logits_last"]) < TOLERANCE
    assert error(torch.stack([s.logits for s in made]), numbers[f"{name}_logits"]) < TOLERANCE
    if f"{name}_scores" in numbers:
        scores = torch.stack([step.scores for step in made])
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
    decoder = Decoder(network, 400)
    check(steps(decoder, "r1", heard["short"]), "r1", "round1")
    assert decoder.length == 313
    check(steps(decoder, "r2", heard["turn2"]), "r2", "round2")
    assert decoder.length == 365


def test_two_turns_generated(network, heard):
    decoder = Decoder(network, 400)
    assert generate(decoder, "r1", heard["short"]) == tokens("round1")
    assert decoder.length == 313
    assert generate(decoder, "r2", heard["turn2"]) == tokens("round2")
    assert decoder.length == 365


def test_a_turn_of_31_seconds(network, heard):
    check(steps(Decoder(network, 600), "long", heard["long"], limit=8), "long", "long")


@pytest.mark.parametrize(
    ("case", "penalties"),
    [
        ("nopenalty", PenaltySettings(1.0, 1.0)),
        ("reponly", PenaltySettings(1.05, 1.0)),
        ("windowonly", PenaltySettings(1.0, 1.05)),
    ],
)
def test_each_penalty_alone(network, heard, case, penalties):
    decoder = Decoder(network, 400)
    assert generate(decoder, "r1", heard["short"], penalties=penalties) == tokens(case)


def test_penalties_by_hand():
    rules = RepetitionPenalties(PenaltySettings(2.0, 3.0, window=2), torch.tensor([0, 1, 1]), 5)
    assert rules(torch.tensor([6.0, 6.0, 6.0, -6.0, 0.0])).tolist() == [3.0, 1.0, 6.0, -6.0, 0.0]
    rules.add(torch.tensor([3]))
    assert rules(torch.tensor([6.0, 6.0, 6.0, -6.0, 0.0])).tolist() == [3.0, 1.0, 6.0, -36.0, 0.0]


@pytest.mark.parametrize("given", [0, 3, 8, 20])
def test_the_window_slides_over_prompt_and_reply(given):
    ids = torch.randint(0, 12, (given + 30,), generator=torch.Generator().manual_seed(given))
    rules = RepetitionPenalties(PenaltySettings(1.0, 2.0), ids[:given], 12)
    for end in range(given, len(ids)):
        last = set(ids[max(0, end - 8) : end].tolist())
        expected = [0.5 if index in last else 1.0 for index in range(12)]
        assert rules(torch.ones(12)).tolist() == expected
        rules.add(ids[end : end + 1])


def test_the_end_token_ends_the_reply(network, heard):
    decoder = Decoder(network, 400)
    assert generate(decoder, "r1", heard["short"], stop=(407,)) == tokens("eos_case")
    assert decoder.length == 296


def test_with_the_reference_s_rounded_spectrogram(network, turns):
    numbers = golden("covo/generate")
    rounded = TurnFeatures(turns["short"].log_mels.bfloat16().float(), turns["short"].rows)
    rows = network.hear(rounded)
    theirs = golden("covo/features_short")["adapter_out_melbf16_seg0"][: rounded.placeholders]
    assert error(rows, theirs) < TOLERANCE
    made = steps(Decoder(network, 400), "r1", rows)
    assert [step.token for step in made] == tokens("melbf16")
    assert error(made[0].logits, numbers["r1_melbf16_prefill_logits_last"]) < TOLERANCE


def test_the_last_token_belongs_to_the_history(network, heard):
    decoder = Decoder(network, 400)
    first = generate(decoder, "r1", heard["short"], reference_quirks=False)
    assert decoder.length == 314
    decoder.append(network.embed(prompt("r2"), heard["turn2"]))

    afresh = Decoder(network, 400)
    afresh.append(network.embed(prompt("r1"), heard["short"]))
    afresh.append(network.embed(torch.tensor(first)))
    afresh.append(network.embed(prompt("r2"), heard["turn2"]))
    assert error(decoder.logits, afresh.logits) < TOLERANCE
    assert error(decoder.logits, golden("covo/generate")["r2_prefill_logits_last"]) > 0.1


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
        ([1, 535, 535], torch.zeros(1, 64), "2 audio placeholders, but there are 1"),
        ([1, 535], None, "1 audio placeholders, but there are 0"),
    ],
)
def test_wrong_prompts(network, ids, rows, message):
    with pytest.raises(NetworkInputError, match=message):
        network.embed(torch.tensor(ids, dtype=torch.long), rows)
