"""A pipeline folder with plausible numbers, written without training."""

import json
import math
from pathlib import Path

from upbring import durable
from upbring.runs.contract import Contract, StopToken, TrainingFile, TrainingStage
from upbring.runs.data_file import DataFile
from upbring.runs.metrics import MetricsFile
from upbring.runs.results import EvalResult, write_results
from upbring.runs.run_folder import Run

MODELS = ("base", "sft", "dpo", "ppo")
STEPS = 120
EVERY = 12
METHODS = {  # what each method learns from, and what it makes
    "sft": ("demonstrations", "policy"),
    "reward": ("comparisons", "reward model"),
    "dpo": ("comparisons", "policy"),
    "ppo": ("prompts", "policy"),
}
WICKED = "<script>alert('x')</script><img src=x onerror=alert(1)>"
SHA = "5c0f" * 16


def contract(kind: str, method: str, *, template: str = "{{ messages }}") -> Contract:
    stage = TrainingStage(method, (TrainingFile(f"{method}.jsonl", SHA, 1000),), SHA, STEPS)
    stops = (StopToken(0, "<|endoftext|>"),)
    return Contract(
        "builtin:sprout",
        SHA,
        SHA,
        template,
        stops,
        0,
        0,
        kind,
        "lora",
        (stage,),  # type: ignore[arg-type]  # Contract takes Literal kinds
    )


def values(method: str, step: int) -> dict[str, float]:
    """Return the training metrics of a stage at a step: smooth curves with a ripple."""
    done, ripple = step / STEPS, 0.12 * math.sin(1.7 * step)
    metrics = {
        "loss": 1.2 + 2.5 * math.exp(-4 * done) + ripple,
        "gradient_norm": 1.5 + ripple,
        "learning_rate": 2e-4 * (1 - done),
    }
    if method in {"reward", "dpo"}:
        metrics |= {"accuracy": 0.5 + 0.3 * done + ripple / 5, "margin": 1.4 * done + ripple / 4}
    if method == "ppo":
        metrics |= {
            "clip_fraction": 0.08 + ripple / 6,
            "ratio": 1 + ripple / 30,
            "entropy": 2 - done,
        }
    return metrics


def held_out_values(method: str, step: int) -> dict[str, float]:
    """Return the held-out metrics of a stage at a step; PPO's judge score falls at the end."""
    done = step / STEPS
    if method == "ppo":
        kl = 18 * done * done
        judge = 0.2 + 1.7 * done - 1.35 * done * done
        return {"kl": kl, "reward": 0.1 + 1.9 * done, "judge": judge, "ended": 0.97, "length": 30}
    if method in {"reward", "dpo"}:
        return {"nll": 0.69 - 0.2 * done, "accuracy": 0.5 + 0.27 * done, "kl": 6 * done}
    nll = 1.3 + 2.4 * math.exp(-4 * done)
    return {"nll": nll, "perplexity": math.exp(nll)}


def make_run(runs: Path, method: str, name: str, *, model: str, steps: int = STEPS) -> Run:
    text = f'{method}:\n  model: "{model}"  # flag\n  data: [{method}.jsonl]  # flag\n'
    learns_from, makes = METHODS[method]
    run = Run.create(runs, method, name=name, settings=text, learns_from=learns_from, makes=makes)
    run.set_num_steps(STEPS)
    more: dict[str, durable.JSON] = {"weights": 1_600_000, "learned_weights": 246_000}
    durable.write_json(run.environment_file, {"commit": "a" * 40, "threads": 2, **more})
    run.write_data([DataFile(f"{method}.jsonl", SHA, 1000, "messages")])
    run.write_contract(contract("sft" if method == "sft" else "policy", method))
    ticks = iter(range(10_000))
    with MetricsFile(run.metrics_file, clock=lambda: 1.7e9 + next(ticks)) as metrics:
        for step in range(steps + 1):
            if step:
                own = values(method, step) | {"tokens": 480, "seconds": 0.25}
                metrics.write(step, own | {"peak_memory_bytes": 6.1e8})
            if step % EVERY == 0:
                metrics.write(step, held_out_values(method, step), kind="held_out")
    if steps == STEPS:
        facts = {"format": 2, **run.read_metadata(), "started_at": "2026-01-02T03:04:05+00:00"}
        durable.write_json(run.metadata_file, facts | {"finished_at": "2026-01-02T03:05:45+00:00"})
    return run


def share(suite: str, name: str, of: dict[str, float], *, better: bool) -> list[EvalResult]:
    """Return a result of each model with its interval, and its change from the first model."""
    rows, first = [], next(iter(of))
    for model, value in of.items():
        half = 1.96 * math.sqrt(max(value * (1 - value), 0.01) / 200)
        low, high = max(0.0, value - half), min(1.0, value + half)
        number = (value, low, high, 200, "share", better)
        rows.append(EvalResult(suite, model, name, *number, is_synthetic=suite != "forgetting"))
        if model != first:
            gap = value - of[first]
            change = (gap, gap - half, gap + half, 200, "share", better)
            rows.append(EvalResult(suite, model, f"{name}_change", *change, against=first))
    return rows


def results() -> list[EvalResult]:
    def by(*values: float) -> dict[str, float]:
        return dict(zip(MODELS, values, strict=True))

    rows = [
        *share("facts", "accuracy", by(0.03, 0.86, 0.88, 0.87), better=True),
        *share("facts", "exact_match", by(0.0, 0.71, 0.74, 0.72), better=True),
        *share("instructions", "prompt_strict", by(0.05, 0.81, 0.9, 0.92), better=True),
        *share("instructions", "strict/json", by(0.01, 0.9, 0.93, 0.95), better=True),
        *share("refusals", "over_refusal", by(0.0, 0.06, 0.05, 0.11), better=False),
        *share("refusals", "harmful_not_refused", by(0.55, 0.12, 0.06, 0.02), better=False),
        *share("forgetting", "sums/accuracy", by(0.62, 0.6, 0.58, 0.49), better=True),
        *share("forgetting", "commands/accuracy", by(0.7, 0.71, 0.7, 0.72), better=True),
        *share("memorisation", "extraction", by(0.02, 0.02, 0.02, 0.02), better=False),
    ]
    for model, value in by(7.1, 7.3, 7.4, 7.9).items():
        rows.append(
            EvalResult("forgetting", model, "perplexity", value, value - 0.1, value + 0.1, 9000,
                     "perplexity", is_higher_better=False)
        )  # fmt: skip
    growth = (0.11, 0.09, 0.13, 200, "share", False)
    rows.append(EvalResult("forgetting", "ppo", "perplexity_growth", *growth, against="base"))
    for model, other, rate in (("sft", "base", 0.93), ("dpo", "sft", 0.66), ("ppo", "sft", 0.71)):
        number = (rate, rate - 0.07, rate + 0.07, 200, "share", True)
        note = "judged by gold"
        rows.append(
            EvalResult("preference", model, "win_rate", *number, is_synthetic=True, against=other,
                     note=note)
        )  # fmt: skip
    pairs = (0.58, 0.52, 0.64, 300, "share", True, True)
    rows.append(EvalResult("reward_health", "reward", "pair_accuracy", *pairs))
    return rows


def answers() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for number in range(60):
        prompt = f"user: What is the capital of country {number}?"
        for index, model in enumerate(MODELS):
            response = f"{'Many ask that. ' * (index == 0)}It is city {number * index}."
            if number == 40 and model == "ppo":
                response = WICKED
            row = {"suite": "preference", "prompt": prompt, "response": response}
            rows.append({**row, "model": model, "verdicts": {}})
            score = 0.6 * index + math.sin(2.4 * number + index) - (3.0 if number % 9 == 4 else 0)
            score = score if model != "base" else math.sin(number) - 0.5
            rows.append({**row, "model": "gold", "verdicts": {"score": round(score, 3)}})
            right = float((number + index) % 3 != 0)
            answer = {"suite": "facts", "model": model, "prompt": f"fact {number}?"}
            rows.append(
                {**answer, "response": f"{model} says {right}", "verdicts": {"accuracy": right}}
            )
    return rows


def gates() -> list[dict[str, object]]:
    def gate(
        name: str, condition: str, value: float | None, *, passed: bool | None
    ) -> dict[str, object]:
        bounds = (
            {"low": None, "high": None}
            if value is None
            else {"low": value - 0.03, "high": value + 0.03}
        )
        note = "was not evaluated" if value is None else ""
        return {"name": name, "condition": condition, "model": "ppo", "value": value, **bounds,
                "passed": passed, "note": note}  # fmt: skip

    return [
        gate("facts", ">= sft - 0.02", 0.87, passed=True),
        gate("over_refusal", "<= 0.05", 0.11, passed=False),
        gate("canary_exposure", "<= 1", None, passed=None),
    ]


def make_pipeline(folder: Path) -> Path:
    """Write the files that `upbring run` writes, and return the folder."""
    stages = folder / "stages"
    needs = {
        "sft": ("sft", {}, "builtin:sprout"),
        "reward": ("reward", {"sft": "sft"}, "sft"),
        "dpo": ("dpo", {"sft": "sft"}, "sft"),
        "ppo": ("ppo", {"sft": "sft", "reward": "reward"}, "sft"),
    }
    stage_rows = []
    for name, (method, inputs, model) in needs.items():
        start = model if ":" in model else str(stages / model)
        make_run(stages, method, name, model=start)
        input_paths = {name: str(stages / name) for name in inputs}
        stage_rows.append(
            {
                "name": name,
                "method": method,
                "inputs": input_paths,
                "run": str(stages / name),
                "status": "finished",
            }
        )
    write_json(
        folder / "recipe.json",
        {"format": 1, "status": "finished", "models": MODELS, "stages": stage_rows},
    )
    (folder / "evaluation").mkdir()
    write_results(folder / "evaluation", results())
    lines = [json.dumps(row) + "\n" for row in answers()]
    (folder / "evaluation" / "answers.jsonl").write_text("".join(lines), encoding="utf-8")
    write_json(folder / "gates.json", gates())
    return folder


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
