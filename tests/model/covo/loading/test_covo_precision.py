"""The network in every precision: its numbers, its bytes, and how it is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from safetensors.torch import save_file

from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import (
    SPEECH_AUTO,
    SPEECH_BF16,
    SPEECH_FP16,
    SPEECH_FP32,
    Precision,
    token2wav_precision,
)
from model.covo.config.sizes import TINY
from model.covo.language.decoder import Decoder
from model.covo.language.network import CovoNetwork
from model.covo.loading.checkpoint import load_network, load_token2wav
from model.covo.memory.plan import MemorySetting, plan_memory
from model.covo.products.integers import IntegerLinear
from model.errors import NetworkConfigError
from tests.model.covo.golden_covo import FOLDER, golden, network_folder, token2wav_folder

LANGUAGE_MODEL = ("blocks", "embedding", "head", "encoder", "adapter")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return network_folder(tmp_path_factory.mktemp("covo") / "model")


def prefill(network: CovoNetwork):
    """The logits behind the golden prompt, whose audio comes from the golden adapter."""
    numbers = golden("covo/generate")
    rows = golden("covo/features_short")["adapter_out_seg0"][:15]
    decoder = Decoder(network, 512)
    decoder.append(network.embed(numbers["r1_input_ids"][0].long(), rows))
    return decoder.logits


def held_bytes(*modules: torch.nn.Module) -> int:
    return sum(p.nbytes for module in modules for p in module.parameters())


def correlation(ours, theirs) -> float:
    return float(torch.corrcoef(torch.stack((ours, theirs)))[0, 1])


@pytest.mark.parametrize(
    ("precision", "least"),
    [("fp32", 0.999999), ("bf16", 0.9999), ("fp16", 0.9999), ("int8", 0.999), ("int4", 0.99)],
)
def test_logits_and_bytes(folder, precision, least):
    chosen = Precision(precision)
    seen: list[tuple[int, int]] = []
    network = load_network(
        folder, precision=chosen, progress=lambda done, total: seen.append((done, total))
    )
    logits = prefill(network)
    theirs = golden("covo/generate")["r1_prefill_logits_last"]
    assert least < correlation(logits, theirs)
    plan = plan_memory(TINY.covo, TINY.token2wav, MemorySetting(chosen), device="cpu")
    held = {
        "blocks": held_bytes(network.llm.model.layers, network.llm.model.norm),
        "embedding": held_bytes(network.llm.model.embed_tokens),
        "head": held_bytes(network.llm.lm_head),
        "encoder": held_bytes(network.encoder),
        "adapter": held_bytes(network.audio_adapter),
    }
    planned = {part: getattr(plan, part) for part in LANGUAGE_MODEL}
    assert planned == held
    assert all(before[0] < after[0] for before, after in pairwise(seen))
    assert seen[-1] == (sum(planned.values()),) * 2


def test_what_is_quantised_and_what_is_not(folder):
    network = load_network(folder, precision=Precision.INT8)
    integers = {n for n, m in network.named_modules() if isinstance(m, IntegerLinear)}
    linear = {n for n, m in network.llm.named_modules() if isinstance(m, torch.nn.Linear)}
    assert len(integers) == 2 * 4
    assert all(".layers." in name and name.startswith("llm.") for name in integers)
    assert linear == {"lm_head"}
    whole = {n: p for n, p in network.named_parameters() if n.rpartition(".")[0] not in integers}
    assert {p.dtype for p in whole.values()} == {torch.bfloat16}


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_replies_in_integers(folder, precision):
    network = load_network(folder, precision=Precision(precision))
    prompt = golden("covo/generate")["r2_input_ids"][0].long()
    rows = golden("covo/features_turn2")["adapter_out_seg0"][:7]
    decoder = Decoder(network, 512)
    decoder.append(network.embed(prompt, rows))
    said = list(decoder.generate(prompt, stop=(), limit=5))
    afresh = Decoder(network, 512)
    afresh.append(torch.cat((network.embed(prompt, rows), network.embed(torch.tensor(said)))))
    assert correlation(decoder.logits, afresh.logits) > 0.999


def test_precisions_that_do_not_exist():
    for name in ("int3", "bfloat16", ""):
        with pytest.raises(NetworkConfigError, match="there are: fp32, bf16, fp16, int8, int4"):
            Precision.named(name)
    with pytest.raises(NetworkConfigError, match="'int8'; there are: fp32, bf16, fp16"):
        token2wav_precision("int8", "cpu")
    assert token2wav_precision("fp16", "cpu") == SPEECH_FP16
    assert token2wav_precision("fp32", "cuda") == SPEECH_FP32  # no TF32 for who asks for fp32
    assert token2wav_precision("bf16", "cuda") == SPEECH_BF16
    assert token2wav_precision("auto", "cuda") == SPEECH_AUTO
    assert token2wav_precision("auto", "cpu") == SPEECH_FP32
    assert list(map(str, (SPEECH_AUTO, SPEECH_BF16))) == ["bf16 (vocoder fp32)", "bf16"]
    assert Precision.of_dtype("torch.float16") is Precision.FP16
    with pytest.raises(NetworkConfigError, match="'int8'; there are: float32, bfloat16, float16"):
        Precision.of_dtype("int8")


@pytest.mark.parametrize("precision", [SPEECH_FP16, SPEECH_AUTO], ids=str)
def test_token2wav_in_half_precision_is_as_planned(tmp_path, precision):
    token2wav = load_token2wav(token2wav_folder(tmp_path / "t2w"), precision=precision)
    plan = plan_memory(TINY.covo, TINY.token2wav, MemorySetting(token2wav=precision))
    assert held_bytes(token2wav) == plan.token2wav
    dtypes = [{p.dtype for p in part.parameters()} for part in token2wav.children()]
    wanted = (precision.flow, precision.vocoder)
    assert dtypes == [{getattr(torch, part.dtype)} for part in wanted]
    assert token2wav.wavegan.tf32 == precision.tf32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("precision", ["bf16", "int8", "int4"])
def test_on_a_gpu(folder, precision):
    chosen = Precision(precision)
    network = load_network(folder, device="cuda", precision=chosen)
    logits = prefill(network).cpu()
    assert correlation(logits, golden("covo/generate")["r1_prefill_logits_last"]) > 0.99
    plan = plan_memory(TINY.covo, TINY.token2wav, MemorySetting(chosen), device="cuda")
    assert held_bytes(network) == sum(getattr(plan, part) for part in LANGUAGE_MODEL)


def write_checkpoint(folder: Path, *, hidden: int, layers: int, shards: int) -> Path:
    """A network of zeros in bf16, in ``shards`` files."""
    values = json.loads((FOLDER / "covo/config.json").read_text())
    values["dtype"] = "bfloat16"
    values["llm_config"].update(
        hidden_size=hidden, num_hidden_layers=layers, intermediate_size=4 * hidden
    )
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(values))
    with torch.device("meta"):
        network = CovoNetwork(CovoConfig.read(folder / "config.json"))
    names = dict(network.named_parameters())
    for shard in range(shards):
        chosen = list(names)[shard * len(names) // shards : (shard + 1) * len(names) // shards]
        tensors = {name: torch.zeros(names[name].shape, dtype=torch.bfloat16) for name in chosen}
        save_file(tensors, folder / f"model-{shard + 1:05}-of-{shards:05}.safetensors")
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loading_holds_no_more_than_one_shard_on_top(tmp_path):
    """At its peak, mapped pages of the files included, in a process of its own."""
    folder = write_checkpoint(tmp_path / "model", hidden=768, layers=16, shards=8)
    result = subprocess.run(
        [sys.executable, "-m", "tests.fakes.load_in_process", str(folder), "bf16"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    measured = json.loads(result.stdout)
    assert measured["network"] > 4 * measured["shard"]
    # The code that loads and torch's own buffers are allowed 100 MB.
    assert measured["on_top"] < measured["shard"] + 100_000_000
