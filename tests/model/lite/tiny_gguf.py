"""Writes a GGUF file of a few kilobytes whose model says what it was told to."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

_WIDTH = 64
_UNKNOWN, _CONTROL, _OWN, _BYTE = 2, 3, 4, 6
_END = "</s>"

CALL = '<tool_call>\n{"name": "lamp", "arguments": {"state": "on"}}\n</tool_call>'
TOOL_TEMPLATE = (
    "{%- if tools %}<|system|>{%- for tool in tools %}{{ tool | tojson }}\n{% endfor %}</s>"
    "{% endif -%}"
    "{%- for m in messages %}<|{{ m.role }}|>{{ m.content }}"
    "{%- for c in m.tool_calls or [] %}"
    '<tool_call>\n{"name": "{{ c.function.name }}", "arguments": '
    "{{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}</s>{% endfor %}"
    "{%- if add_generation_prompt %}"
    "{% if messages[-1].role == 'tool' %}<|told|>{% else %}<|ask|>{% endif %}{% endif %}"
)
"""Begins a reply with another token once a tool has answered, since the model sees only the last
one."""
PLAIN_TEMPLATE = (
    "{%- for m in messages %}<|{{ m.role }}|>{{ m.content }}</s>{% endfor %}"
    "{%- if add_generation_prompt %}<|told|>{% endif %}"
)
SAYS = {"<|ask|>": CALL, CALL: _END, "<|told|>": "It is on.", "It is on.": _END}


def write_tiny(path: Path, template: str, says: Mapping[str, str] = SAYS) -> Path:
    """Write a model that says after each token the one that ``says`` has for it."""
    own = list(dict.fromkeys(word for pair in says.items() for word in pair if word != _END))
    tokens = ["<unk>", "<s>", _END, *own, *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [_UNKNOWN, _CONTROL, _CONTROL, *(_OWN for _ in own), *(_BYTE for _ in range(256))]
    count = len(tokens)
    embedding = np.zeros((count, _WIDTH), np.float32)
    embedding[np.arange(count), np.minimum(np.arange(count), _WIDTH - 1)] = 1.0
    output = np.zeros((count, _WIDTH), np.float32)
    for before, after in says.items():
        output[tokens.index(after), tokens.index(before)] = 10.0
    square = np.zeros((_WIDTH, _WIDTH), np.float32)
    ones = np.ones(_WIDTH, np.float32)
    tensors = {
        "token_embd.weight": embedding,
        "output.weight": output,
        "output_norm.weight": ones,
        "blk.0.attn_norm.weight": ones,
        "blk.0.ffn_norm.weight": ones,
        **{f"blk.0.attn_{name}.weight": square for name in ("q", "k", "v", "output")},
        **{f"blk.0.ffn_{name}.weight": square for name in ("gate", "up", "down")},
    }
    facts = {
        "general.architecture": _text("llama"),
        "llama.context_length": _number(512),
        "llama.embedding_length": _number(_WIDTH),
        "llama.feed_forward_length": _number(_WIDTH),
        "llama.block_count": _number(1),
        "llama.attention.head_count": _number(1),
        "llama.attention.layer_norm_rms_epsilon": struct.pack("<If", 6, 1e-5),
        "tokenizer.ggml.model": _text("llama"),
        "tokenizer.ggml.tokens": _list(8, [_words(token) for token in tokens]),
        "tokenizer.ggml.scores": _list(6, [struct.pack("<f", 0.0)] * count),
        "tokenizer.ggml.token_type": _list(5, [struct.pack("<i", kind) for kind in kinds]),
        "tokenizer.ggml.bos_token_id": _number(1),
        "tokenizer.ggml.eos_token_id": _number(2),
        "tokenizer.ggml.add_bos_token": struct.pack("<I?", 7, False),
        "tokenizer.ggml.add_space_prefix": struct.pack("<I?", 7, False),
        "tokenizer.chat_template": _text(template),
    }
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(facts))
    head += b"".join(_words(name) + value for name, value in facts.items())
    body = b""
    for name, tensor in tensors.items():
        shape = tensor.shape[::-1]
        head += _words(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", 0, len(body))
        body += _padded(tensor.tobytes())
    path.write_bytes(_padded(head) + body)
    return path


def _words(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _text(text: str) -> bytes:
    return struct.pack("<I", 8) + _words(text)


def _number(value: int) -> bytes:
    return struct.pack("<II", 4, value)


def _list(kind: int, values: Sequence[bytes]) -> bytes:
    return struct.pack("<IIQ", 9, kind, len(values)) + b"".join(values)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 32)
