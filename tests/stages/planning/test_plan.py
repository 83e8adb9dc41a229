import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests import small
from tests.conftest import trials
from tests.preferences import make_rankings
from tests.rewarded import make_reward
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import Resolved, resolve
from upbring.stages.context import StageContext
from upbring.stages.planning.dry_model import make_dry_run_context
from upbring.stages.planning.plan import (
    Plan,
    format_memory,
    format_time,
    measure_time,
    plan,
    savings,
)
from upbring.stages.planning.speed_probe import TimeEstimate
from upbring.stages.registry import find_method, load_settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    small.make_model(folder / "m")
    small.make_demonstrations(folder / "d.jsonl")
    return folder


def sft_settings(home: Path, **more: object) -> Resolved[SftSettings]:
    values = {"model": str(home / "m"), "data": (home / "d.jsonl",), "threads": 1, **more}
    return Resolved(SftSettings.model_validate({"dtype": "float32", **values}), {})


@pytest.fixture
def cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPBRING_CACHE", str(home / "cache"))


def made(home: Path, **more: object) -> Plan:
    return plan(
        make_dry_run_context("sft", sft_settings(home, **more), log=lambda _: None), baseline=10**8
    )


@pytest.mark.usefixtures("cache")
def test_rows_and_steps_are_those_of_the_run(home: Path) -> None:
    found = made(home)
    # 40 rows, 2 of them held out; 3 epochs of 38 rows, 8 a step: ⌈114 / 8⌉
    assert found.time_workload.steps == 15
    assert found.time_workload.evaluations == 16  # at 0, then every step of 15 // 10 = 1
    assert found.memory_workload.micro_batches == 1
    assert 0 < found.memory_workload.train_rows < found.memory_workload.train_tokens < 8 * 100
    assert 0 < found.time_workload.eval_rows < found.time_workload.eval_tokens


@pytest.mark.usefixtures("cache")
def test_larger_micro_batches_take_more_memory(home: Path) -> None:
    sizes = [
        made(home, micro_batch_tokens=count).memory.phases["training"] for count in (64, 128, 1024)
    ]
    activations = [phase["activations"] for phase in sizes]
    assert activations == sorted(activations)
    assert activations[0] < activations[-1]


@pytest.mark.usefixtures("cache")
def test_time_is_that_of_steps_and_evaluations(home: Path) -> None:
    context = make_dry_run_context("sft", sft_settings(home), log=lambda _: None)
    found = measure_time(context, plan(context, baseline=0), max_seconds=0.1)
    assert found.step > 0
    assert found.evaluation > 0
    assert found.total == pytest.approx(15 * found.step + 16 * found.evaluation)


@pytest.mark.usefixtures("cache")
def test_the_time_line_reports_the_load_that_it_was_measured_at(home: Path) -> None:
    planned = made(home)
    idle = TimeEstimate(step=1.0, evaluation=2.0, total=47.0)
    assert format_time(planned, idle).endswith("; without reading and saving")
    busy = format_time(planned, replace(idle, other_load=0.5))
    assert busy.endswith(
        "; other programs used 50 % of the cores during the measurement, and this is for that load"
    )
    assert "unknown load" in format_time(planned, replace(idle, other_load=None))


@pytest.mark.usefixtures("cache")
def test_memory_is_formatted_on_a_line(home: Path) -> None:
    line = format_memory(made(home))
    assert line.startswith("memory: about ")
    assert "\n" not in line
    short = replace(made(home), available_bytes=1000)
    assert "of 1.0 kB: more than available" in format_memory(short)


def of(home: Path, method: str, **flags: object) -> StageContext:
    """Return the stage context of a method without a model in memory."""
    words = {"model": str(home / "m"), "threads": "1", "dtype": "float32", **flags}
    kind = load_settings(find_method(method))
    return make_dry_run_context(
        method, resolve(kind, section=method, file=None, flags=words), log=lambda _: None
    )


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("method", ["ppo", "grpo", "rloo"])
def test_on_policy_methods_are_planned(home: Path, method: str) -> None:
    (home / "p.jsonl").write_text('{"prompt": "What is red?"}\n' * 40)
    if not (home / "r").exists():
        make_reward(home / "m", home / "r")
    context = of(
        home, method, prompts=[str(home / "p.jsonl")], reward_model=[str(home / "r")], steps="6"
    )
    made = plan(context, baseline=0)
    time = measure_time(context, made, max_seconds=0.05)
    assert "KV cache" in made.memory.phases["sampling"]
    assert format_time(made, time).startswith("time: about ")
    # a policy, a value and a reward; or a policy and a reward
    assert (
        made.memory.constant["adapters"]
        == (3 if method == "ppo" else 2) * made.memory_profile.adapter_bytes
    )


def start(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program, and require that it succeeds."""
    done = subprocess.run(
        [sys.executable, "-m", "upbring", *words],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT), "UPBRING_CACHE": str(home / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def peak(home: Path, *words: str) -> tuple[float, float]:
    """Return the memory that was planned for a run, and the peak of that run, in bytes."""
    planned = start(home, "plan", *words).stdout
    line = next(line for line in planned.splitlines() if line.startswith("memory: about "))
    number, unit = line.split()[2:4]
    ran = start(home, *words).stderr
    assert "memory: about " not in ran  # only `upbring plan` computes it
    run = max((home / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
    costs = json.loads((run / "environment.json").read_text())
    return float(number) * {"MB": 1e6, "GB": 1e9}[unit], costs["peak_memory_bytes"]


@pytest.mark.skipif(sys.platform != "linux", reason="the plan counts what glibc takes")
@pytest.mark.parametrize(
    ("method", "model"),
    [("reward", "m"), ("dpo", "m"), ("reward", "builtin:sprout"), ("dpo", "builtin:sprout")][
        : trials(1, 4)
    ],
)
def test_preferences_take_the_planned_memory(home: Path, method: str, model: str) -> None:
    make_rankings(home / "r.jsonl")
    words = ("--threads", "1", "--dtype", "float32", "--steps", "4")
    planned, found = peak(home, method, "r.jsonl", "--model", model, *words)
    assert planned == pytest.approx(found, rel=0.2)


@pytest.mark.usefixtures("cache")
def test_savings_are_listed_in_order_and_are_realized(home: Path) -> None:
    found = made(home)
    flags = [change.split()[0].rstrip(":") for change in savings(found)]
    assert flags == ["--micro-batch-tokens", "--gradient-checkpointing", "--dtype", "--rank"]
    checkpointing = next(c for c in savings(found) if c.startswith("--gradient"))
    predicted = float(checkpointing.split("about ")[1].split(" MB")[0])
    true = found.memory.total - made(home, gradient_checkpointing=True).memory.total
    assert predicted == pytest.approx(true / 1e6, rel=0.4)
    assert "--tune lora" in "".join(savings(made(home, tune="full")))


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory by RLIMIT_AS")
def test_out_of_memory_gives_advice_and_keeps_the_checkpoint(home: Path) -> None:
    small.make_demonstrations(home / "many.jsonl", 2200)
    words = ["--model", "m", "--tune", "full", "--batch-size", "2000", "--micro-batch-tokens"]
    more = [
        "200000",
        "--steps",
        "2",
        "--sample-tokens",
        "1",
        "--dtype",
        "float32",
        "--name",
        "full",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.stages.planning.cramped", "sft", "many.jsonl", *words, *more],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT), "UPBRING_CACHE": str(home / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "out of memory: this run needs about " in done.stderr, done.stderr
    message = done.stderr[done.stderr.index("out of memory: this run needs about ") :].splitlines()
    assert message[1].startswith("  --micro-batch-tokens ")
    assert all(" less" in line for line in message[1:-1])
    assert message[-1] == (
        "the checkpoint of step 0 is kept; with more memory, resume with `upbring resume runs/full`"
    )
    assert (home / "runs" / "full" / "checkpoints" / "step-0" / "manifest.json").is_file()
