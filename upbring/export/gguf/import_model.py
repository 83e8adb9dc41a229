"""`upbring import`: convert a GGUF file, then check the folder by the text that it generates."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from upbring import durable
from upbring.data.chat.chat import Chat
from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.read.records import Message
from upbring.errors import InputError, UpbringError
from upbring.export.export_merged import DTYPES
from upbring.export.gguf.compare import PROMPTS, compare_with_llama_cpp, probe_prompts
from upbring.export.gguf.llama_cpp import is_installed
from upbring.model.gguf.convert import Converted, convert
from upbring.model.load import load
from upbring.model.sampling import Request, StopConditions, sample
from upbring.plurals import format_count
from upbring.runs.find_model import is_gguf
from upbring.settings.commands.export import ImportSettings
from upbring.settings.sampling import SampleSettings
from upbring.tracking import Track, no_tracking

QUESTION = "What is the capital of France?"
GREEDY = SampleSettings(temperature=0, max_tokens=32)


def import_model(
    settings: ImportSettings, *, log: Callable[[str], None], track: Track = no_tracking
) -> None:
    """Convert a file and log what was verified; a folder that fails is deleted."""
    path, target = settings.file, settings.to
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of a GGUF file")
    if not is_gguf(path):
        raise InputError(f"{path}: is no GGUF file; a folder needs no import")
    if target.exists():
        raise InputError(f"{target}: already exists; choose another --to")
    with durable.explain_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    dtype = DTYPES[settings.dtype]
    check = partial(_check, path, dtype=dtype, target=target, log=log)
    convert(path, target, dtype=dtype, check=check, track=track)


def _check(
    path: Path,
    folder: Path,
    converted: Converted,
    *,
    dtype: torch.dtype,
    target: Path,
    log: Callable[[str], None],
) -> None:
    """Generate a text with the converted model, and compare it with llama.cpp where that can be."""
    weights = format_count(converted.num_weights, "weight")
    template = "with its chat template" if converted.has_template else "without a chat template"
    log(
        f"{target}: {converted.architecture}, {weights} (stored as "
        f"{converted.types}), tokenizer {template}"
    )
    loaded = load(str(folder), device=torch.device("cpu"), compute_dtype=dtype, log=log)
    assert loaded.tokenizer is not None, "the tokenizer was written"
    prompt, tokens, stops = _probe(loaded.tokenizer)
    (response,) = sample(
        loaded.model,
        [Request(tokens, (0,))],
        GREEDY,
        stopping=StopConditions(stop_token_ids=frozenset(stops)),
    )
    log(f"greedy text after {prompt!r}: {loaded.tokenizer.decode(response.tokens)!r}")
    if not is_installed():
        log("not compared with llama.cpp, because xllamacpp is not installed")
        return
    comparison = compare_with_llama_cpp(path, loaded.model, loaded.tokenizer)
    log(comparison.describe())
    if comparison.different_text is not None:
        raise UpbringError(
            f"{path}: {comparison.different_text!r} has other tokens in llama.cpp, so nothing was "
            "written; use the model's safetensors files, and please report this"
        )


def _probe(tokenizer: Tokenizer) -> tuple[str, list[int], tuple[int, ...]]:
    """Return a prompt, its tokens and what ends the response: a question if there is a template."""
    if tokenizer.chat_template is None:
        (tokens, *_) = probe_prompts(tokenizer)
        return PROMPTS[0], tokens, ()
    chat = Chat(tokenizer, tokenizer.chat_template)
    return QUESTION, chat.encode_prompt((Message("user", QUESTION),)), chat.stop_token_ids
