"""What `upbring plan` says beside what `upbring sft` takes, on shapes that nothing was fitted to.

Each case is planned and run in processes of their own. Memory is the peak that the system saw; time
is that from the first evaluation to the last record, saving included.

    python bench/plan.py --case llama-lora qwen2-lora gpt2-full
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from shapes import lengths, write_demonstrations, write_tokenizer
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PretrainedConfig,
    Qwen2Config,
)

_IDS = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1}
SHAPES: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(
        hidden_size=320,
        intermediate_size=864,
        num_hidden_layers=10,
        num_attention_heads=5,
        num_key_value_heads=5,
        vocab_size=12_288,
        max_position_embeddings=1024,
        **_IDS,
    ),
    "qwen2": Qwen2Config(
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=12,
        num_attention_heads=8,
        num_key_value_heads=2,
        vocab_size=32_768,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        **_IDS,
    ),
    "gpt2": GPT2Config(n_embd=512, n_layer=5, n_head=8, n_positions=1024, vocab_size=8192, **_IDS),
}
CASES = {
    "llama-lora": ("llama", ["--tune", "lora", "--precision", "float32"]),
    "llama-full": ("llama", ["--tune", "full", "--precision", "float32"]),
    "llama-bfloat16": ("llama", ["--tune", "lora", "--precision", "bfloat16"]),
    "qwen2-lora": ("qwen2", ["--tune", "lora", "--precision", "float32"]),
    "qwen2-full-bfloat16": ("qwen2", ["--tune", "full", "--precision", "bfloat16"]),
    "qwen2-checkpointing": (
        "qwen2",
        ["--tune", "lora", "--precision", "float32", "--gradient-checkpointing"],
    ),
    "gpt2-lora": ("gpt2", ["--tune", "lora", "--precision", "float32"]),
    "gpt2-full": ("gpt2", ["--tune", "full", "--precision", "float32"]),
}
STEPS, EXAMPLES = 8, 200
MOST_MEMORY, MOST_TIME = 0.2, 1.5  # how far off a plan may be


@dataclass(frozen=True)
class Taken:
    """Bytes at the peak, and seconds of steps and evaluations."""

    memory: float
    seconds: float


def words(folder: Path, shape: str, options: list[str], threads: int | None) -> list[str]:
    """Return the words behind `upbring sft` or `upbring plan sft`."""
    threads_too = [] if threads is None else ["--threads", str(threads)]
    return [
        *(str(folder / f"{shape}.jsonl"), "--model", str(folder / shape)),
        *("--steps", str(STEPS), "--evaluate-every", str(STEPS), "--save-every", str(STEPS)),
        *options,
        *threads_too,
    ]


def prepare(folder: Path, shape: str) -> None:
    """Write a model of random weights and rows that it can read."""
    config = SHAPES[shape]
    if not (folder / shape).is_dir():
        AutoModelForCausalLM.from_config(config).save_pretrained(folder / shape)
        write_tokenizer(folder / shape, config.vocab_size)
        write_demonstrations(folder / f"{shape}.jsonl", lengths(EXAMPLES), config.vocab_size)


def predict(given: list[str]) -> Taken:
    """Return what the plan says, in this process."""
    from upbring import durable  # noqa: PLC0415 -- only the process that plans needs it
    from upbring.cli.flags import parse  # noqa: PLC0415 -- as above
    from upbring.recipe.plan import plan, timed  # noqa: PLC0415 -- as above
    from upbring.recipe.rehearsal import bytes_of, rehearsed  # noqa: PLC0415 -- as above
    from upbring.settings.resolve import resolve  # noqa: PLC0415 -- as above
    from upbring.settings.table import imported, verbs  # noqa: PLC0415 -- as above

    call = parse(verbs()["sft"], given)
    assert call is not None, "no help was asked for"
    kind = imported(verbs()["sft"].settings)
    resolved = resolve(kind, section="sft", file=call.file, flags=call.flags)
    cast = rehearsed("sft", resolved, notice=lambda _: None)
    before = durable.memory_bytes() or 0
    made = plan(cast, before=before, file=bytes_of(cast.loaded.base))
    time = timed(cast, made)
    print(json.dumps(made.memory.parts | {"phase": made.memory.phase}), file=sys.stderr)
    total = time.total - time.evaluation  # the first evaluation is where the watch starts
    return Taken(made.memory.total, total)


def taken(command: list[str], folder: Path) -> Taken:
    """Return what a run takes."""
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE)
    assert process.stderr is not None, "it is a pipe"
    told = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(told.decode())
    run = max((folder / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    times = [json.loads(line)["time"] for line in lines]
    return Taken(usage.ru_maxrss * 1024, float(times[-1]) - float(times[0]))


def compared(case: str, folder: Path, threads: int | None) -> bool:
    """Print a row of the table; return whether the plan was near enough."""
    shape, options = CASES[case]
    prepare(folder, shape)
    given = words(folder, shape, options, threads)
    planned = subprocess.run(
        [sys.executable, __file__, "--predict", *given], check=True, stdout=subprocess.PIPE
    )
    said = Taken(**json.loads(planned.stdout))
    found = taken([sys.executable, "-m", "upbring", "sft", *given], folder)
    memory, time = said.memory / found.memory, said.seconds / found.seconds
    row = f"{said.memory / 1e6:,.0f} | {found.memory / 1e6:,.0f} | {memory:.2f}"
    print(f"| {case} | {row} | {said.seconds:.1f} | {found.seconds:.1f} | {time:.2f} |", flush=True)
    return abs(memory - 1) <= MOST_MEMORY and 1 / MOST_TIME <= time <= MOST_TIME


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--threads", type=int, help="unset: all")
    given = parser.parse_args()
    print("| case | planned MB | taken MB | ratio | planned s | taken s | ratio |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["UPBRING_CACHE"] = f"{scratch}/cache"
        near = [compared(case, Path(scratch), given.threads) for case in given.case]
    sys.exit(0 if all(near) else "a plan was too far off")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--predict"]:
        print(json.dumps(asdict(predict(sys.argv[2:]))))
    else:
        main()
