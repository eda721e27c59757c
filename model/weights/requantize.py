"""Rewrite a GGUF file of Q4_1 weights as one of Q8_0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def as_q8_0(source: Path, target: Path) -> None:
    """Write the GGUF file ``source`` to ``target`` with its Q4_1 weights in Q8_0.

    llama.cpp has quick kernels for Q8_0 and none for Q4_1. The weights hardly change: each is off
    by about 1/254 of the largest of its 32 at most. The metadata are kept byte by byte, and the
    same source always gives the same target. Raises: OSError, ValueError for another kind of file.
    """
    from gguf import GGMLQuantizationType as Kind
    from gguf import GGUFReader
    from gguf.quants import dequantize, quantize

    reader = GGUFReader(source, "c")  # what is written to its fields stays in memory
    arrays: list[NDArray[np.uint8]] = []
    end = 0
    for tensor in reader.tensors:
        *_, kind, begin = tensor.field.parts
        data = tensor.data
        if tensor.tensor_type == Kind.Q4_1:
            data = quantize(dequantize(data, Kind.Q4_1), Kind.Q8_0)
            kind[0] = Kind.Q8_0
        begin[0] = end
        raw = np.frombuffer(data.tobytes(), np.uint8)
        arrays.append(np.pad(raw, (0, -len(raw) % reader.alignment)))
        end += len(arrays[-1])
    with target.open("wb") as out:
        for array in (reader.data[: reader.data_offset], *arrays):
            out.write(array.tobytes())
