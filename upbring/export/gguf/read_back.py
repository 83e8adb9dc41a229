"""Checks a written GGUF file with the reader of the `gguf` package, against the model in memory.

Every name, shape and value is compared, and the tokenizer is rebuilt from the file and compared on
texts. This needs no llama.cpp; with it, `compare` also compares what it computes.
"""

import json
from pathlib import Path

import numpy as np
import tokenizers

from upbring.data.chat.tokenizer import Tokenizer
from upbring.errors import UpbringError
from upbring.export.gguf.probe_texts import probe_texts
from upbring.export.gguf.write_file import FileContent, rounding_limit
from upbring.model.gguf.header import read_header, require_gguf
from upbring.model.gguf.read_tokenizer import read_tokenizer


def check_file(path: Path, content: FileContent, tokenizer: Tokenizer) -> float:
    """Return the largest difference of a value; raise if a tensor or the tokenizer differs."""
    gguf = require_gguf()
    reader = gguf.GGUFReader(path)
    found = {tensor.name: tensor for tensor in reader.tensors}
    largest = 0.0
    for stored in content.tensors():
        tensor = found.pop(stored.name, None)
        shape = None if tensor is None else tuple(int(n) for n in reversed(tensor.shape))
        if shape != stored.values.shape:
            raise _failed(path, f"{stored.name} has the shape {shape}, not {stored.values.shape}")
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        difference = np.abs(values.astype(np.float32) - stored.values)
        if not bool((difference <= rounding_limit(stored.kind, stored.values)).all()):
            raise _failed(path, f"{stored.name} differs by {float(difference.max()):.2g}")
        largest = max(largest, float(difference.max()))
    if found:
        raise _failed(path, f"it has the unknown tensor {next(iter(found))}")
    _check_tokenizer(path, tokenizer)
    return largest


def _check_tokenizer(path: Path, tokenizer: Tokenizer) -> None:
    """Compare the tokenizer that the file describes on texts."""
    document = read_tokenizer(read_header(path)).tokenizer
    again = tokenizers.Tokenizer.from_str(json.dumps(document))
    texts = [*probe_texts(), *tokenizer.special_token_ids]
    encoded = again.encode_batch_fast(texts, add_special_tokens=False)
    for text, tokens, expected in zip(texts, encoded, tokenizer.encode_batch(texts), strict=True):
        if tokens.ids != expected:
            raise _failed(path, f"{text!r} has the tokens {tokens.ids[:8]}, not {expected[:8]}")


def _failed(path: Path, what: str) -> UpbringError:
    return UpbringError(
        f"{path.name}: the written file was read again, and {what}; the export was deleted, please "
        "report this"
    )
