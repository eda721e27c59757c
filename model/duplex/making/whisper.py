"""Whisper base's encoder, of the embedded recogniser's weights, run like that of full duplex.

The weights are a file of CTranslate2: a list of variables with their names, shapes, types and
bytes. The projections of query, key and value are one matrix there.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from model.covo.config.network_config import EncoderConfig
from model.covo.config.sizes import network_size
from model.covo.language.encoder import AudioAdapter, whisper_encoder
from model.duplex.network.encoder import StreamingEncoder
from model.duplex.protocol.profile import default_profile
from model.errors import WeightsError

BASE = EncoderConfig(512, 6, 8, 2048, mels=80, positions=1500, scale_embedding=False)

_FORMAT = 6
_DTYPES = {0: np.float32, 4: np.float16}
"""CTranslate2's numbers of the types that the encoder has."""
_LAYER = {
    "self_attention/layer_norm": "self_attn_layer_norm",
    "self_attention/linear_1": "self_attn.out_proj",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
}
_PARTS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}


def read_whisper_encoder(
    path: Path, config: EncoderConfig = BASE, positions: int = 0
) -> WhisperEncoder:
    """Read the encoder from CTranslate2's ``model.bin`` at ``path``, in float32.

    ``positions``: frames of 20 ms that it hears in one piece; 0 for as many as it learnt. Raises:
    WeightsError.
    """
    held = _variables(path)
    tensors: dict[str, Tensor] = {}
    for name, values in held.items():
        if name.endswith("self_attention/linear_0/weight"):
            split = dict(zip("qkv", values.chunk(3), strict=True))
            for part, rows in split.items():
                tensors[f"{_layer(name)}.self_attn.{part}_proj.weight"] = rows
        elif name.endswith("self_attention/linear_0/bias"):
            query, _, value = values.chunk(3)  # a key's bias changes nothing, and is 0
            tensors[f"{_layer(name)}.self_attn.q_proj.bias"] = query
            tensors[f"{_layer(name)}.self_attn.v_proj.bias"] = value
        elif name == "position_encodings/encodings":
            tensors["embed_positions.weight"] = values[: positions or config.positions]
        else:
            place, _, kind = name.rpartition("/")
            if place.startswith("layer_") and place != "layer_norm":
                place = f"{_layer(name)}.{_LAYER.get(place.partition('/')[2], place)}"
            tensors[f"{place}.{_PARTS.get(kind, kind)}"] = values
    encoder = whisper_encoder(replace(config, positions=positions or config.positions))
    try:
        encoder.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{path} holds another encoder than Whisper base's: {error}") from error
    encoder.eval()
    return encoder


def causal_encoder(
    encoder: WhisperEncoder, chunk_ms: int, look_back: int, config: EncoderConfig = BASE
) -> StreamingEncoder:
    """Return ``encoder`` as it runs on a stream, in chunks of ``chunk_ms`` that see ``look_back``
    frames before them, without an adapter: its features come at 50 Hz."""
    covo = replace(network_size("tiny").covo, encoder=config, adapter_stages=0)
    profile = default_profile(covo)
    streaming = replace(
        profile.encoder, look_back=look_back, position_period=encoder.config.max_source_positions
    )
    profile = replace(profile, chunk_ms=chunk_ms, encoder=streaming)
    return StreamingEncoder(encoder, AudioAdapter(covo), profile)


def _layer(name: str) -> str:
    return f"layers.{name.partition('/')[0].removeprefix('layer_')}"


def _variables(path: Path) -> dict[str, Tensor]:
    """Return the encoder's weights by their names behind ``encoder/``."""
    found: dict[str, Tensor] = {}
    try:
        with path.open("rb") as file:
            if _number(file, "I") != _FORMAT or _text(file) != "WhisperSpec":
                raise WeightsError(f"{path} is no Whisper model of CTranslate2's format {_FORMAT}")
            _number(file, "I")  # the specification's revision
            for _ in range(_number(file, "I")):
                name = _text(file)
                shape = [_number(file, "I") for _ in range(_number(file, "B"))]
                dtype, size = _DTYPES.get(_number(file, "B")), _number(file, "I")
                if not name.startswith("encoder/") or dtype is None or not shape:
                    file.seek(size, 1)
                    continue
                values = np.frombuffer(file.read(size), dtype).reshape(shape)
                found[name.removeprefix("encoder/")] = torch.from_numpy(values.astype(np.float32))
    except (OSError, struct.error, ValueError) as error:
        raise WeightsError(f"cannot read {path}: {error}") from error
    return found


def _number(file: BinaryIO, kind: str) -> int:
    form = struct.Struct(f"<{kind}")
    value: int = form.unpack(file.read(form.size))[0]
    return value


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "H")).rstrip(b"\0").decode()
