"""GGUF files: import, export in each format, and how far llama.cpp agrees with upbring.

Each file is imported, and the imported model is exported in each format. Of each export: processor
time to write and to read again, size, texts of 200 with equal tokens, greedy continuations of 8
with equal tokens (up to a step whose two best tokens are closer than 0.05 nats), differences of the
ten best log-probabilities at each step. Needs the packages gguf and xllamacpp.

    python bench/gguf_files.py SmolLM2-135M=smollm2.gguf Gemma-3-270M=gemma3.gguf --record
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from results import Figure, add_record_flag, record, rounded

from upbring.export.gguf.chat_metadata import chat_metadata
from upbring.export.gguf.compare import LlamaCppComparison, compare_with_llama_cpp
from upbring.export.gguf.read_back import check_file
from upbring.export.gguf.write_file import FileContent, Format, write_file
from upbring.export.gguf.write_tokenizer import tokenizer_metadata
from upbring.model.gguf.convert import convert
from upbring.model.load import LoadedModel, load

QUESTION = "GGUF import and export"
FORMATS: tuple[Format, ...] = ("float32", "float16", "bfloat16", "q8_0")


@dataclass
class Timed:
    """A value and the processor time that it took, of all threads."""

    value: object
    seconds: float


def timed(function: Callable[[], object]) -> Timed:
    began = time.process_time()
    value = function()
    return Timed(value, time.process_time() - began)


def agreement(found: LlamaCppComparison, **case: str) -> Iterator[Figure]:
    """Yield the figures of one comparison."""
    values = (
        ("texts with equal tokens in llama.cpp", found.equal_texts, found.num_texts, "of 200"),
        ("greedy continuations equal in llama.cpp", found.equal_prompts, found.num_prompts, "of 8"),
        ("largest difference of a log-probability", found.max_difference, None, "nats"),
        ("mean difference of a log-probability", found.mean_difference, None, "nats"),
    )
    for metric, value, n, unit in values:
        number = rounded(value) if n is None else value
        yield Figure(question=QUESTION, metric=metric, value=number, n=n, unit=unit, **case)


def seconds(metric: str, value: float, **case: str) -> Figure:
    return Figure(question=QUESTION, metric=metric, value=rounded(value), unit="s", **case)


def export_figures(loaded: LoadedModel, name: str, dtype: Format, path: Path) -> Iterator[Figure]:
    """Write a file, check it, compare it with llama.cpp, and yield the figures."""
    assert loaded.tokenizer is not None
    tokenizer = loaded.tokenizer
    content = FileContent(
        network=loaded.model.network,
        tokenizer=tokenizer_metadata(tokenizer, loaded.model.vocab_size, name=name),
        chat=chat_metadata(loaded),
        format=dtype,
        general={"name": name},
        name=name,
    )
    case = {"model": name, "precision": dtype}
    yield seconds("processor time, write", timed(lambda: write_file(path, content)).seconds, **case)
    yield seconds(
        "processor time, read again",
        timed(lambda: check_file(path, content, tokenizer)).seconds,
        **case,
    )
    size = path.stat().st_size / 1e6
    yield Figure(question=QUESTION, metric="size", value=rounded(size), unit="MB", **case)
    found = compare_with_llama_cpp(path, loaded.model, tokenizer)
    print(f"{name}, {dtype}: {found.describe()}", flush=True)
    yield from agreement(found, **case)
    path.unlink()


def measure(name: str, file: Path, formats: tuple[Format, ...], home: Path) -> Iterator[Figure]:
    """Import a file, export it in each format, and yield the figures."""
    folder = home / name
    importing = timed(lambda: convert(file, folder)).seconds
    loaded = load(
        str(folder), device=torch.device("cpu"), compute_dtype=torch.float32, log=lambda _: None
    )
    assert loaded.tokenizer is not None
    yield seconds("processor time, import", importing, model=name, precision="as imported")
    found = compare_with_llama_cpp(file, loaded.model, loaded.tokenizer)
    print(f"{name}, as imported: {found.describe()}", flush=True)
    yield from agreement(found, model=name, precision="as imported")
    for dtype in formats:
        yield from export_figures(loaded, name, dtype, home / f"{name}-{dtype}.gguf")


def main() -> None:
    """Measure and print; with --record, append the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", metavar="NAME=FILE.gguf")
    parser.add_argument("--formats", nargs="+", default=FORMATS, choices=FORMATS)
    parser.add_argument("--threads", type=int, default=2)
    add_record_flag(parser)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as home:
        for each in given.files:
            name, _, file = each.partition("=")
            figures += measure(name, Path(file), tuple(given.formats), Path(home))
    for figure in figures:
        print(f"{figure.model}, {figure.precision}: {figure.metric} {figure.value} {figure.unit}")
    if given.record:
        record(figures, threads=given.threads)


if __name__ == "__main__":
    main()
