"""Rotary scaling of Llama 3.1 and later: GGUF holds it as divisors of the frequencies.

The four numbers behind the divisors are not in the file. Those of the known models are tried, and
a file is rejected unless one set gives exactly its divisors.
"""

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from upbring.errors import InputError
from upbring.model.gguf.header import GgufFile

ROPE_TENSOR = "rope_freqs.weight"
ROUNDING = 1e-4  # relative, of divisors that another program computed in float32
_FACTORS = (8.0, 32.0, 16.0, 4.0, 2.0)
_ORIGINAL_LENGTHS = (8192, 4096, 2048, 16384, 32768)


def llama3_factors(rope: Mapping[str, Any], head_size: int) -> np.ndarray:
    """Return the divisors `[head size / 2]` of the frequencies, in float32."""
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    factor, original = float(rope["factor"]), float(rope["original_max_position_embeddings"])
    theta = float(rope["rope_theta"])
    divisors = []
    for dimension in range(0, head_size, 2):
        wavelength = 2 * math.pi * theta ** (dimension / head_size)
        smooth = (original / wavelength - low) / (high - low)
        share = min(max(smooth, 0.0), 1.0)  # of the unscaled frequency
        divisors.append(1 / ((1 - share) / factor + share))
    return np.array(divisors, dtype=np.float32)


def find_llama3_scaling(file: GgufFile, theta: float, head_size: int) -> dict[str, Any]:
    """Return the parameters whose divisors are those of the file."""
    found = file.values(ROPE_TENSOR)
    for factor, original in product(_FACTORS, _ORIGINAL_LENGTHS):
        rope = {
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": original,
        }
        divisors = llama3_factors({**rope, "rope_theta": theta}, head_size)
        if found.shape == divisors.shape and np.allclose(found, divisors, rtol=ROUNDING, atol=0):
            return rope
    raise InputError(
        f"{file.path}: its rotary scaling ({ROPE_TENSOR}) is none that upbring knows from Llama 3; "
        "use the model's safetensors files"
    )
