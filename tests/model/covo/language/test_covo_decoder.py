"""The decoder's history: pieces, going back, stopping, the capacity, and what waits for a GPU."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from functools import cache

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from torch import Tensor

from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import Precision
from model.covo.language import attention, backbone, decoder, stepping
from model.covo.language.decoder import Decoder
from model.covo.language.network import CovoNetwork
from model.covo.language.sampling import (
    GREEDY,
    PenaltySettings,
    SamplingSettings,
    TokenChooser,
)
from model.covo.language.stepping import TokenRead, attended_length, attended_lengths
from model.covo.loading.checkpoint import load_network
from model.errors import NetworkInputError
from tests.fakes.nothing_waits import NothingWaits
from tests.model.covo.golden_covo import FOLDER, TOLERANCE, error, network_folder

VOCABULARY, HIDDEN = 668, 64
PROMPT = torch.arange(7, 67)


def started(network: CovoNetwork, ids: Tensor = PROMPT, capacity: int = 200) -> Decoder:
    made = Decoder(network, capacity)
    made.append(network.embed(ids))
    return made


def ids_of(tokens: list[int]) -> Tensor:
    return torch.tensor(tokens, dtype=torch.long)


def test_appended_in_pieces_equals_in_one(network, monkeypatch):
    whole = started(network, torch.arange(100, 700) % 500, capacity=700)
    monkeypatch.setattr(decoder, "PREFILL_ROWS", 64)
    rows = network.embed(torch.arange(100, 700) % 500)
    pieces = Decoder(network, 700)
    for piece in rows.split([1, 1, 17, 200, 1, 380]):
        pieces.append(piece)
    assert pieces.length == whole.length == 600
    assert error(pieces.logits, whole.logits) < TOLERANCE


def test_equal_to_the_library_s_own_forward_merged_or_not(network, tmp_path):
    published = load_network(network_folder(tmp_path / "model"), merge=False)
    ids = torch.arange(100, 700) % 500
    with torch.inference_mode():
        theirs = published.llm(input_ids=ids[None]).logits[0, -1]
    assert error(started(network, ids, 700).logits, theirs) < TOLERANCE
    assert error(started(published, ids, 700).logits, theirs) < TOLERANCE


def test_a_few_rows_are_a_step_and_equal_a_prefill(network):
    ids = torch.arange(100, 700) % 500
    few = Decoder(network, 700, step_rows=4)
    for piece in network.embed(ids).split([40, 4, 1, 3, 548, 2, 2]):
        few.append(piece)
    assert error(few.logits, started(network, ids, 700).logits) < TOLERANCE
    other = few.copy()
    for one in (few, other):
        one.append(network.embed(ids[:3]))
    assert torch.equal(few.logits, other.logits)


@pytest.mark.parametrize("kept", [60, 64, 10])
def test_going_back_equals_a_history_computed_afresh(network, kept):
    went_on = started(network)
    said = list(went_on.generate(PROMPT, stop=(), limit=9))
    went_on.append(network.embed(torch.arange(300, 350)))
    went_on.rewind(kept)
    assert went_on.length == kept
    went_on.append(network.embed(torch.arange(400, 420)))

    history = torch.cat((PROMPT, ids_of(said), torch.arange(300, 350)))[:kept]
    afresh = started(network, torch.cat((history, torch.arange(400, 420))))
    assert error(went_on.logits, afresh.logits) < TOLERANCE
    assert list(went_on.generate(PROMPT, stop=(), limit=12)) == list(
        afresh.generate(PROMPT, stop=(), limit=12)
    )


def test_a_reply_can_be_made_again(network):
    again = started(network)
    first = list(again.generate(PROMPT, stop=(), limit=9))
    again.rewind(len(PROMPT) - 1)
    again.append(network.embed(PROMPT[-1:]))
    assert list(again.generate(PROMPT, stop=(), limit=9)) == first


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("spoken", [1, 5])
def test_the_history_holds_what_was_yielded_when_the_caller_stops(network, spoken, ahead):
    stopped = started(network)
    stopped._on_gpu = ahead  # then the next step is under way when a token is given out
    tokens = stopped.generate(PROMPT, stop=())
    said = list(itertools.islice(tokens, spoken))
    assert stopped.length == len(PROMPT) + spoken
    stopped.append(network.embed(ids_of([514])))
    afresh = started(network, torch.cat((PROMPT, ids_of([*said, 514]))))
    assert error(stopped.logits, afresh.logits) < TOLERANCE
    with pytest.raises(NetworkInputError, match="changed while"):
        next(tokens)


def test_two_replies_at_once_are_refused(network):
    shared = started(network)
    first, second = (shared.generate(PROMPT, stop=()) for _ in range(2))
    next(first)
    next(second)
    with pytest.raises(NetworkInputError, match="changed while"):
        next(first)


def test_a_failed_append_leaves_the_history_as_it_was(network, monkeypatch):
    shaken = started(network)
    said = list(shaken.generate(PROMPT, stop=(), limit=3))

    def out_of_memory(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("no room for the workspace")

    with monkeypatch.context() as patch:
        patch.setattr(decoder, "run_backbone", out_of_memory)
        with pytest.raises(torch.OutOfMemoryError):
            shaken.append(network.embed(torch.arange(30)))
    assert shaken.length == len(PROMPT) + 3
    prompt = torch.cat((PROMPT, ids_of(said)))
    whole = list(started(network).generate(PROMPT, stop=(), limit=9))
    assert said + list(shaken.generate(prompt, stop=(), limit=6)) == whole


def test_generation_goes_on_behind_a_limit(network):
    whole = list(started(network).generate(PROMPT, stop=(), limit=12))
    halves = started(network)
    first = list(halves.generate(PROMPT, stop=(), limit=5))
    prompt = torch.cat((PROMPT, ids_of(first)))
    assert first + list(halves.generate(prompt, stop=(), limit=7)) == whole


def test_a_full_history_is_an_error_and_stays_usable(network):
    full = started(network, capacity=63)
    logits = full.logits.clone()
    with pytest.raises(NetworkInputError, match=r"4 more tokens do not fit.*60.*capacity is 63"):
        full.append(network.embed(torch.arange(4)))
    assert full.length == 60
    assert torch.equal(full.logits, logits)
    said = []
    with pytest.raises(NetworkInputError, match=r"1 more tokens do not fit.*63"):
        said.extend(full.generate(PROMPT, stop=()))
    assert full.length == 63
    with pytest.raises(NetworkInputError, match="do not fit"):
        full.append(full.network.embed_token(torch.tensor([1])))
    full.rewind(60)
    full.append(network.embed(ids_of([1, 2])))
    afresh = started(network, torch.cat((PROMPT, ids_of([1, 2]))))
    assert error(full.logits, afresh.logits) < TOLERANCE


def test_nothing_to_continue_from(network):
    empty = Decoder(network, 10)
    with pytest.raises(NetworkInputError, match="append to it first"):
        empty.generate(PROMPT, stop=())
    cut = started(network)
    cut.rewind(20)
    with pytest.raises(NetworkInputError, match="append to it first"):
        cut.generate(PROMPT, stop=())
    with pytest.raises(NetworkInputError, match="cannot rewind to 21 tokens: the history has 20"):
        cut.rewind(21)


@pytest.mark.parametrize("shape", [(0, HIDDEN), (3, HIDDEN + 1), (HIDDEN,)])
def test_wrong_embeddings(network, shape):
    with pytest.raises(NetworkInputError, match="embeddings must have the shape"):
        Decoder(network, 10).append(torch.zeros(shape))


def test_only_what_is_allowed_is_generated(network):
    allowed = torch.zeros(VOCABULARY, dtype=torch.bool)
    allowed[:540] = True
    free = list(started(network).generate(PROMPT, stop=(), limit=40))
    text = list(started(network).generate(PROMPT, stop=(), limit=40, allowed=allowed))
    assert max(text) < 540 <= max(free)
    sampling = SamplingSettings(temperature=2.0, seed=3)
    drawn = started(network).generate(PROMPT, stop=(), limit=40, allowed=allowed, sampling=sampling)
    assert max(drawn) < 540
    with pytest.raises(NetworkInputError, match="a mask of 668 ids with at least one set"):
        started(network).generate(PROMPT, stop=(), allowed=torch.zeros_like(allowed))


def test_one_seed_gives_one_reply(network):
    def reply(seed: int) -> list[int]:
        sampling = SamplingSettings(temperature=1.0, top_p=0.9, top_k=50, seed=seed)
        torch.rand(3)  # somebody else draws from the global generator
        return list(started(network).generate(PROMPT, stop=(), limit=20, sampling=sampling))

    assert reply(1) == reply(1)
    assert reply(1) != reply(2)


def test_attended_lengths_grow_in_powers_of_two():
    lengths = [attended_length(length, 20_000) for length in (1, 512, 513, 4096, 4097, 17_000)]
    assert lengths == [512, 512, 1024, 4096, 8192, 20_000]
    assert attended_lengths(5000) == [512, 1024, 2048, 4096, 5000]
    assert attended_lengths(100) == [attended_length(5, 100)] == [100]


def test_what_lies_behind_the_history_is_not_attended_to(network):
    clean, dirty = started(network), started(network)
    dirty.append(network.embed(torch.arange(100, 200)))
    dirty.rewind(len(PROMPT))
    for one in (clean, dirty):
        one.append(network.embed(ids_of([5])))
    assert torch.equal(clean.logits, dirty.logits)


def test_in_half_precision_it_stays_near(tmp_path):
    folder = network_folder(tmp_path / "model")
    single = started(load_network(folder))
    half = started(load_network(folder, precision=Precision.BF16))
    for token in ids_of([3, 600, 7]).split(1):
        single.append(single.network.embed_token(token))
        half.append(half.network.embed_token(token))
    assert half.logits.dtype == torch.float32
    assert 0 < error(half.logits, single.logits) < 0.15


class FakeGraphs:
    """Stands for torch.cuda: a graph keeps the calls that were made while it was captured."""

    def __init__(self) -> None:
        self.log: list[object] = []
        self.capturing: list[tuple[int, int]] | None = None
        self.CUDAGraph = lambda: FakeGraph(self)

    def step(self, run: Callable[[int, int], None]) -> Callable[[int, int], None]:
        def recorded(*size: int) -> None:
            if self.capturing is None:
                self.log.append(("run", size))
                run(*size)
            else:
                self.capturing.append(size)
            self.run = run

        return recorded

    @contextmanager
    def graph(self, graph: FakeGraph, *, pool: str, stream: FakeGraphs, capture_error_mode: str):
        assert (pool, capture_error_mode) == ("pool", "thread_local")
        assert stream is self
        self.capturing = graph.calls
        yield
        self.capturing = None
        self.log.append(("captured", *graph.calls))

    def device(self, _: object) -> nullcontext[None]:
        return nullcontext()

    def graph_pool_handle(self) -> str:
        return "pool"

    def current_stream(self, _: object) -> FakeGraphs:
        return self


class FakeGraph:
    def __init__(self, cuda: FakeGraphs) -> None:
        self.calls: list[tuple[int, int]] = []
        self._cuda = cuda

    def replay(self) -> None:
        for size in self.calls:
            self._cuda.log.append(("replayed", size))
            self._cuda.run(*size)


def test_a_decoder_is_freed_with_its_graphs_when_nobody_has_it(network, monkeypatch):
    """Its cache, and perhaps the network, would else be on the card until Python collects."""
    monkeypatch.setattr(stepping.torch, "cuda", FakeGraphs())
    decoder = Decoder(network, 600)
    decoder._graphs = stepping.StepGraphs(torch.device("cpu"))
    decoder.append(network.embed(torch.arange(1)))
    gone = weakref.ref(decoder)
    gc.disable()
    try:
        del decoder
        assert gone() is None
    finally:
        gc.enable()


def test_steps_are_captured_once_per_length_and_replayed(network, monkeypatch):
    expected = started(network, torch.arange(510) % 500, capacity=1400)
    said = list(expected.generate(PROMPT, stop=(), limit=6))

    cuda = FakeGraphs()
    monkeypatch.setattr(stepping.torch, "cuda", cuda)
    captured = Decoder(network, 1400, step_rows=2)
    captured._graphs = stepping.StepGraphs(torch.device("cpu"))
    monkeypatch.setattr(captured, "_step", cuda.step(captured._step))
    captured._on_gpu = True
    monkeypatch.setattr(decoder, "TokenRead", lambda _: TokenRead(torch.device("cpu")))
    parts: list[tuple[int, int]] = []
    captured.warm_up(lambda done, total: parts.append((done, total)))
    sizes = [(rows, attended) for rows in (1, 2) for attended in (512, 1024, 1400)]
    assert cuda.log == [
        event
        for size in sizes
        for event in [("run", size)] * stepping.WARM_UPS + [("captured", size)]
    ]
    assert parts == [(done, 13) for done in range(1, 14)]  # and seven prefills

    cuda.log.clear()
    captured.append(network.embed(torch.arange(510) % 500))
    assert list(captured.generate(PROMPT, stop=(), limit=6)) == said
    assert cuda.log == [("replayed", (1, 512))] * 2 + [("replayed", (1, 1024))] * 4
    cuda.log.clear()
    captured.append(network.embed(torch.arange(2)))
    expected.append(network.embed(torch.arange(2)))
    assert cuda.log == [("replayed", (2, 1024))]
    assert error(captured.logits, expected.logits) < TOLERANCE
    with pytest.raises(NetworkInputError, match="before anything is appended"):
        captured.warm_up()


class FakeStreams:
    """Stands for torch.cuda: each thread's stream, and who waits for whom."""

    def __init__(self) -> None:
        self.log: list[object] = []
        self.now: FakeStream = FakeStream(self, "usual", 0)

    def current_stream(self, _: torch.device) -> FakeStream:
        return self.now

    def Stream(self, index: int, *, priority: int) -> FakeStream:
        return FakeStream(self, f"urgent on {index}", priority)

    @contextmanager
    def stream(self, stream: FakeStream):
        before, self.now = self.now, stream
        try:
            yield
        finally:
            self.now = before


class FakeStream:
    device_index = 3

    def __init__(self, cuda: FakeStreams, name: str, priority: int) -> None:
        self._cuda, self.name, self.priority = cuda, name, priority

    def wait_stream(self, other: FakeStream) -> None:
        self._cuda.log.append((self.name, "waits for", other.name))


def test_decoding_is_queued_to_an_urgent_stream_in_order(monkeypatch):
    cuda, device = FakeStreams(), torch.device("cuda:3")
    monkeypatch.setattr(stepping.torch, "cuda", cuda)
    monkeypatch.setattr(stepping, "_urgent_stream", cache(stepping._urgent_stream.__wrapped__))
    into = ("urgent on 3", "waits for", "usual")

    def decode() -> None:
        with stepping.decode_stream(device):
            assert (cuda.now.name, cuda.now.priority, cuda.log) == ("urgent on 3", -1, [into])
            with stepping.decode_stream(device):  # nothing to wait for
                assert (cuda.now.name, cuda.log) == ("urgent on 3", [into])
            raise KeyError

    with pytest.raises(KeyError):
        decode()
    assert cuda.log == [into, ("usual", "waits for", "urgent on 3")]
    with stepping.decode_stream(torch.device("cpu")):
        assert len(cuda.log) == 2


class FakeEvents:
    """Stands for torch.cuda: keeps on which stream, and so on which device, an event was put."""

    def __init__(self) -> None:
        self.recorded: list[object] = []

    def Event(self) -> FakeEvents:
        return self

    def current_stream(self, device: torch.device | None = None) -> object:
        return f"the stream of {device}"

    def record(self, stream: object = None) -> None:
        self.recorded.append(stream)

    def synchronize(self) -> None:
        """A CPU has copied by now."""


def test_a_token_is_waited_for_on_its_own_device(monkeypatch):
    cuda, zeros = FakeEvents(), torch.zeros
    monkeypatch.setattr(torch, "cuda", cuda)
    monkeypatch.setattr(
        torch, "zeros", lambda *shape, dtype, pin_memory: zeros(*shape, dtype=dtype)
    )
    read = TokenRead(torch.device("cuda:1"))
    read.start(torch.tensor([7]))
    assert read.finish() == 7
    assert cuda.recorded == ["the stream of cuda:1"]


def flash_by_hand(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    queries_end: Tensor,
    keys_end: Tensor,
    longest_query: int,
    longest_key: int,
    dropout: float,
    causal: bool,
    probabilities: bool,
    *,
    seqused_k: Tensor | None,
) -> tuple[Tensor]:
    """What aten's _flash_attention_forward is documented to compute."""
    assert queries_end.dtype == keys_end.dtype == torch.int32
    assert (int(queries_end[-1]), longest_key) == (len(query), len(keys))
    assert longest_query == int(queries_end.diff().max())
    used = keys_end.diff() if seqused_k is None else seqused_k
    assert used.dtype == torch.int32
    out = torch.empty_like(query)
    for n, count in enumerate(used.tolist()):
        mine = slice(int(queries_end[n]), int(queries_end[n + 1]))
        seen = slice(int(keys_end[n]), int(keys_end[n]) + count)
        out[mine] = attended_by_hand(query[mine], keys[seen], values[seen], causal)
    return (out,)


def attended_by_hand(query: Tensor, keys: Tensor, values: Tensor, causal: bool) -> Tensor:
    groups = query.shape[1] // keys.shape[1]
    keys, values = (rows.repeat_interleave(groups, 1) for rows in (keys, values))
    scores = torch.einsum("qhd,khd->hqk", query, keys) / query.shape[2] ** 0.5
    if causal:
        seen = torch.ones(len(query), len(keys), dtype=torch.bool).tril(len(keys) - len(query))
        scores = scores.masked_fill(~seen, -torch.inf)
    return torch.einsum("hqk,khd->qhd", scores.softmax(-1), values)


def test_flash_attention_is_asked_for_the_same(network, monkeypatch):
    usual = started(network)
    said = list(usual.generate(PROMPT, stop=(), limit=9))
    monkeypatch.setattr(decoder, "flash_available", lambda *_: True)
    monkeypatch.setattr(torch.ops.aten, "_flash_attention_forward", flash_by_hand)
    monkeypatch.setattr(decoder, "PREFILL_ROWS", 25)
    flash = Decoder(network, 200, step_rows=3)
    for rows in network.embed(PROMPT).split([2, 50, 3, 5]):
        flash.append(rows)
    assert list(flash.generate(PROMPT, stop=(), limit=9)) == said
    assert error(flash.logits, usual.logits) < TOLERANCE


@pytest.fixture
def step_on_meta(monkeypatch):
    """Makes a function that takes two steps: a chosen token, and a row from elsewhere."""

    def make(flash: bool, sampling: SamplingSettings):
        monkeypatch.setattr(decoder, "flash_available", lambda *_: flash)
        # The meta device has no generators.
        monkeypatch.setattr(torch, "Generator", lambda _: FakeGenerator())
        with torch.device("meta"):
            network = CovoNetwork(CovoConfig.read(FOLDER / "covo/config.json")).bfloat16()
            prompt, row = torch.arange(5), torch.zeros(1, HIDDEN)
            allowed = torch.ones(VOCABULARY, dtype=torch.bool)
            made = Decoder(network, 4096)
            made.append(torch.zeros(5, HIDDEN))
        chooser = TokenChooser(prompt, VOCABULARY, penalties=PenaltySettings(), sampling=sampling)

        def step() -> None:
            with NothingWaits():
                made.append(made.network.embed_token(chooser.choose(made.logits, allowed)))
                made.append(row)

        return made, step

    return make


class FakeGenerator:
    def manual_seed(self, seed: int) -> None:
        """The global one is used."""


SAMPLED = SamplingSettings(temperature=0.5, top_p=0.9, top_k=50)


@pytest.mark.parametrize("flash", [False, True])
@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED])
def test_a_step_does_not_wait_for_the_device(step_on_meta, flash, sampling):
    made, step = step_on_meta(flash, sampling)
    step()
    assert made.length == 7


@pytest.mark.parametrize(
    "wait",
    [Tensor.item, Tensor.cpu, Tensor.nonzero, lambda token: token + torch.ones(1), bool],
)
def test_waiting_in_a_step_would_be_noticed(step_on_meta, monkeypatch, wait):
    made, step = step_on_meta(False, GREEDY)
    usual = made.network.embed_token
    monkeypatch.setattr(made.network, "embed_token", lambda token: (wait(token), usual(token))[1])
    with pytest.raises(RuntimeError):
        step()


def test_the_cache_s_size_is_what_the_config_says(network):
    config = network.config.backbone
    kept = Decoder(network, 100)._cache._rows
    assert config.kv_bytes(100, itemsize=4) == kept.numel() * kept.itemsize


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16])
@pytest.mark.parametrize("sampling", [GREEDY, SamplingSettings(temperature=1.0, top_k=50)])
def test_graph_and_eager_give_the_same(tmp_path, precision, sampling):
    network = load_network(network_folder(tmp_path / "model"), device="cuda", precision=precision)
    said, logits = [], []
    for graph in (True, False):
        made = Decoder(network, 1500, graph=graph, step_rows=2)
        with stepping.decode_stream(network.device):
            made.warm_up()
            made.append(network.embed(torch.arange(490)))
            for two in torch.arange(300, 320).split(2):
                made.append(network.embed(two))
            said.append(list(made.generate(PROMPT, stop=(), limit=600, sampling=sampling)))
        logits.append(made.logits.clone())
    assert said[0] == said[1]
    assert error(*logits) < (TOLERANCE if precision is Precision.FP32 else 0.1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16])
@pytest.mark.parametrize("change", ["two rows", "no flash", "unmerged", "no triton"])
def test_on_a_gpu_every_way_gives_the_same_logits(tmp_path, monkeypatch, precision, change):
    """Steps of two rows against prefill, fused attention against SDPA, merged layers against the
    published ones, Triton's kernels against FlashAttention and torch's operations."""
    folder, logits = network_folder(tmp_path / "model"), []
    monkeypatch.setattr(decoder, "PREFILL_ROWS", 128)
    ids = torch.arange(604) % 500
    for changed in (False, True):
        if changed and change == "no flash":
            monkeypatch.setattr(decoder, "flash_available", lambda *_: False)
        if changed and change == "no triton":
            for module in (attention, backbone):
                monkeypatch.setattr(module, "triton_works", lambda _: False)
        merge = not changed or change != "unmerged"
        network = load_network(folder, device="cuda", precision=precision, merge=merge)
        made = Decoder(network, 1500, step_rows=2 if changed and change == "two rows" else 1)
        for rows in network.embed(ids).split([600, 2, 2]):
            made.append(rows)
        made.append(made.network.embed_token(torch.tensor([3], device="cuda")))
        logits.append(made.logits.clone())
    difference = float((logits[0] - logits[1]).norm() / logits[0].norm())
    assert difference < (1e-4 if precision is Precision.FP32 else 2e-2)
