"""What `upbring plan` says beside what a run takes, on shapes that nothing was fitted to.

Each case is planned and run in processes of their own. Memory is the peak that the system saw; time
is that from the first evaluation to the last record, saving included. The plan's two seconds of
trying come right before the run, so that both meet the same machine.

    python bench/plan.py --case sft-lora reward ppo
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from against_trl import TUNES
from results import Figure, add_record_flag, record
from shapes import LONGEST, lengths, write_demonstrations, write_tokenizer
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
)

_IDS = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1}
SHAPES: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(
        hidden_size=448,
        intermediate_size=1216,
        num_hidden_layers=7,
        num_attention_heads=7,
        num_key_value_heads=7,
        vocab_size=10_240,
        max_position_embeddings=1024,
        **_IDS,
    ),
    "qwen2": Qwen2Config(
        hidden_size=384,
        intermediate_size=1536,
        num_hidden_layers=14,
        num_attention_heads=6,
        num_key_value_heads=2,
        vocab_size=24_576,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        **_IDS,
    ),
    "gpt2": GPT2Config(n_embd=576, n_layer=6, n_head=9, n_positions=1024, vocab_size=6144, **_IDS),
    "deep": GPT2Config(n_embd=320, n_layer=13, n_head=5, n_positions=1024, vocab_size=7168, **_IDS),
    "mistral": MistralConfig(
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=9,
        num_attention_heads=6,
        num_key_value_heads=3,
        vocab_size=9216,
        max_position_embeddings=1024,
        **_IDS,
    ),
    "narrow": LlamaConfig(
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=18,
        num_attention_heads=4,
        num_key_value_heads=4,
        vocab_size=5120,
        max_position_embeddings=1024,
        **_IDS,
    ),
}
LORA, FULL = ("--tune", "lora"), ("--tune", "full")
FLOAT32, BFLOAT16 = ("--dtype", "float32"), ("--dtype", "bfloat16")
RECOMPUTED = ("--gradient-checkpointing",)
ANSWERS = ("--max-response-length", "64", "--batch-size", "16", "--update-epochs", "2")


@dataclass(frozen=True)
class Case:
    """A verb, a shape, and the flags that are on trial."""

    verb: str
    shape: str
    options: tuple[str, ...]


CASES = {
    "sft-lora": Case("sft", "llama", (*LORA, *FLOAT32)),
    "sft-lora-gpt2": Case("sft", "gpt2", (*LORA, *FLOAT32)),
    "sft-full": Case("sft", "gpt2", (*FULL, *FLOAT32)),
    "sft-full-llama": Case("sft", "llama", (*FULL, *FLOAT32)),
    "sft-bfloat16": Case("sft", "qwen2", (*LORA, *BFLOAT16)),
    "sft-full-bfloat16": Case("sft", "llama", (*FULL, *BFLOAT16)),
    "sft-full-bfloat16-qwen2": Case("sft", "qwen2", (*FULL, *BFLOAT16)),
    "sft-checkpointing": Case("sft", "mistral", (*LORA, *FLOAT32, *RECOMPUTED)),
    "sft-checkpointing-deep": Case("sft", "deep", (*LORA, *FLOAT32, *RECOMPUTED)),
    "sft-checkpointing-narrow": Case("sft", "narrow", (*LORA, *FLOAT32, *RECOMPUTED)),
    "reward": Case("reward", "llama", (*LORA, *FLOAT32)),
    "reward-qwen2": Case("reward", "qwen2", (*LORA, *FLOAT32)),
    "dpo": Case("dpo", "llama", (*LORA, *FLOAT32)),
    "dpo-gpt2": Case("dpo", "gpt2", (*LORA, *FLOAT32)),
    "ppo": Case("ppo", "llama", (*LORA, *FLOAT32, *ANSWERS)),
    "ppo-bfloat16": Case("ppo", "qwen2", (*LORA, *BFLOAT16, *ANSWERS)),
    "ppo-full": Case("ppo", "llama", (*FULL, *FLOAT32, *ANSWERS)),
    "grpo": Case(
        "grpo", "llama", (*LORA, *FLOAT32, "--max-response-length", "64", "--num-generations", "4")
    ),
}
STEPS, EXAMPLES = 8, 200
MOST_MEMORY, MOST_TIME = 0.2, 1.5  # how far off a plan may be


@dataclass(frozen=True)
class Taken:
    """Bytes at the peak, and seconds of steps and evaluations."""

    memory: float
    seconds: float


def words(folder: Path, case: Case, threads: int | None) -> list[str]:
    """Return the words of a run: its verb, its files and its flags."""
    threads_too = [] if threads is None else ["--threads", str(threads)]
    kinds = {"sft": "rows", "reward": "pairs", "dpo": "pairs"}
    file = folder / f"{case.shape}-{kinds.get(case.verb, 'rows')}.jsonl"
    judged = () if case.verb in kinds else ("--reward-model", str(rewarding(folder, case.shape)))
    return [
        *(case.verb, str(file), "--model", str(folder / case.shape)),
        *("--steps", str(STEPS), "--eval-steps", str(STEPS), "--save-steps", str(STEPS)),
        *(*judged, *case.options, *threads_too),
    ]


def prepare(folder: Path, shape: str) -> None:
    """Write a model of random weights, and demonstrations and preferences that it can read."""
    config = SHAPES[shape]
    if (folder / shape).is_dir():
        return
    AutoModelForCausalLM.from_config(config).save_pretrained(folder / shape)
    write_tokenizer(folder / shape, config.vocab_size)
    rows = folder / f"{shape}-rows.jsonl"
    write_demonstrations(rows, lengths(EXAMPLES), config.vocab_size)
    lines = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    pairs = [
        {"prompt": a["prompt"], "chosen": a["completion"], "rejected": b["completion"]}
        for a, b in pairwise(lines)
        if len(json.dumps([a["prompt"], b["completion"]]).split()) < LONGEST
    ]
    text = "".join(json.dumps(pair) + "\n" for pair in pairs)
    (folder / f"{shape}-pairs.jsonl").write_text(text, encoding="utf-8")


def rewarding(folder: Path, shape: str) -> Path:
    """Return a reward model on a shape's weights, trained for a step where there is none yet."""
    run = folder / "judges" / shape
    if not run.is_dir():
        pairs, few = folder / f"{shape}-pairs.jsonl", ("--steps", "1", "--held-out-share", "0.02")
        to = ("--runs", str(run.parent), "--name", shape, "--dtype", "float32")
        command = [sys.executable, "-m", "upbring", "reward", str(pairs)]
        subprocess.run(
            [*command, "--model", str(folder / shape), *few, *to],
            check=True,
            stderr=subprocess.DEVNULL,
        )
    return run


def predict(given: list[str]) -> Taken:
    """Return what the plan says, in this process."""
    from upbring import durable  # noqa: PLC0415 -- only the process that plans needs it
    from upbring.cli.command_table import commands  # noqa: PLC0415 -- as above
    from upbring.cli.flags import parse_flags  # noqa: PLC0415 -- as above
    from upbring.settings.resolve import resolve  # noqa: PLC0415 -- as above
    from upbring.stages.planning.dry_model import make_dry_run_context  # noqa: PLC0415 -- as above
    from upbring.stages.planning.plan import measure_time, plan  # noqa: PLC0415 -- as above

    verb, *rest = given
    call = parse_flags(commands()[verb], rest)
    assert call is not None, "no help was asked for"
    kind = commands()[verb].load_settings()
    resolved = resolve(kind, section=verb, file=call.settings_file, flags=call.flags)
    cast = make_dry_run_context(verb, resolved, log=lambda _: None)
    before = durable.process_memory_bytes()
    made = plan(cast, baseline=before)
    time = measure_time(cast, made)
    print(json.dumps(made.memory.peak_parts | {"phase": made.memory.peak_phase}), file=sys.stderr)
    total = time.total - time.setup - time.evaluation  # the first evaluation starts the watch
    return Taken(made.memory.total, total)


def taken(command: list[str], folder: Path) -> Taken:
    """Return what a run takes."""
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE)
    assert process.stderr is not None, "it is a pipe"
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(errors.decode())
    run = max((folder / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    times = [json.loads(line)["time"] for line in lines]
    return Taken(usage.ru_maxrss * 1024, float(times[-1]) - float(times[0]))


def compared(name: str, folder: Path, threads: int | None) -> tuple[float, float]:
    """Print a row of the table; return the planned memory and time, divided by the measured."""
    case = CASES[name]
    prepare(folder, case.shape)
    given = words(folder, case, threads)
    planned = subprocess.run(
        [sys.executable, __file__, "--predict", *given], check=True, stdout=subprocess.PIPE
    )
    said = Taken(**json.loads(planned.stdout))
    found = taken([sys.executable, "-m", "upbring", *given], folder)
    memory, time = said.memory / found.memory, said.seconds / found.seconds
    row = f"{said.memory / 1e6:,.0f} | {found.memory / 1e6:,.0f} | {memory:.2f}"
    print(f"| {name} | {row} | {said.seconds:.1f} | {found.seconds:.1f} | {time:.2f} |", flush=True)
    return memory, time


def is_near(memory: float, time: float) -> tuple[bool, bool]:
    """Return whether the plan of memory and that of time were near enough."""
    return abs(memory - 1) <= MOST_MEMORY, 1 / MOST_TIME <= time <= MOST_TIME


def recorded(found: dict[str, tuple[float, float]]) -> list[Figure]:
    """Return the ratios of all cases, and in how many the plan was near enough."""
    question, figures = "planning accuracy", list[Figure]()
    for name, ratios in found.items():
        case, precision = CASES[name], CASES[name].options[3]
        is_recomputed = RECOMPUTED[0] in case.options
        tune = "gradient checkpointing" if is_recomputed else TUNES[case.options[1]]
        figures += [
            Figure(
                question=question,
                metric=f"planned / measured {what}",
                value=round(ratio, 3),
                unit="ratio",
                model=f"{case.verb}, {tune}, {case.shape}",
                precision=precision,
            )
            for what, ratio in zip(("memory", "time"), ratios, strict=True)
        ]
    near = [is_near(*ratios) for ratios in found.values()]
    low, high = 1 - MOST_MEMORY, 1 + MOST_MEMORY
    targets = (f"memory within {low:g} to {high:g}", f"time within a factor of {MOST_TIME:g}")
    return figures + [
        Figure(
            question=question,
            metric=f"cases with planned {target}",
            value=sum(each),
            unit=f"of {len(near)}",
            n=len(near),
        )
        for target, each in zip(targets, zip(*near, strict=True), strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--threads", type=int, help="unset: all")
    add_record_flag(parser)
    given = parser.parse_args()
    print("| case | planned MB | taken MB | ratio | planned s | taken s | ratio |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["UPBRING_CACHE"] = f"{scratch}/cache"
        found = {case: compared(case, Path(scratch), given.threads) for case in given.case}
    if given.record:
        record(recorded(found), threads=given.threads)
    near = (all(is_near(*ratios)) for ratios in found.values())
    sys.exit(0 if all(near) else "a plan was too far off")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--predict"]:
        print(json.dumps(asdict(predict(sys.argv[2:]))))
    else:
        main()
