"""Preferences from a real model's own judgments, and from those of another model that is served.

    python bench/judging.py --model ./smollm2 --served ./gemma-assistant --data ./data --to out

Per judge: how well it agrees with people's rankings of hh-rlhf (`--gold` of `upbring
constitution`), comparisons about unseen prompts by the default principles, and DPO on them. A judge
that is found too weak is used nevertheless, to show what its labels do. Before and after: XSTest in
both directions, and a reward model trained on people's rankings compares the answers.

`--data` is the folder of `upbring init --case assistant --data`; `--served` is a model or a run.
A second call with the same folder repeats nothing.
"""

import argparse
import socket
import sys
from pathlib import Path

from results import Figure, add_record_flag, record
from serve import server

import upbring as ub
from upbring.pipeline.case_data import make_case_files
from upbring.runs.results import EvalResult, read_results

QUESTION = "evidence on real models"
JUDGED = {
    "judge/agreement": "agrees with people's rankings",
    "judge/flip_rate": "changes its choice with the order",
    "judge/first_position": "chooses the first response",
    "judge/self_preference": "prefers its own responses by",
}
EVALUATED = ("over_refusal", "harmful_refusal", "win_rate")


def main() -> None:
    """Judge, train, evaluate, and print or record the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--served", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--prompts", type=int, default=100, help="that responses are sampled to")
    parser.add_argument("--steps", type=int, default=60, help="of the reward model, at most")
    add_record_flag(parser)
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    for name, text in make_case_files("assistant", given.data).items():
        (given.to / name).write_text(text, encoding="utf-8")
    found = [*judge_and_train(given, "itself", None)]
    port = free_port()
    words = [sys.executable, "-m", "upbring", "serve", str(given.served), "--port", str(port)]
    with server(words, port, given.to / "server.log"):
        found += judge_and_train(given, "served", f"http://127.0.0.1:{port}/v1")
    found += evaluate(given)
    for each in found:
        print(f"{each.metric}: {each.value} ({each.low} … {each.high}) {each.unit}, n = {each.n}")
    if given.record:
        record(found)


def judge_and_train(given: argparse.Namespace, name: str, judge: str | None) -> list[Figure]:
    """Make comparisons with a judge, train DPO on them, and return the judge's figures."""
    labels = ub.constitution(
        given.model,
        [given.to / "prompts.jsonl", given.to / "held_out_prompts.jsonl"],
        judge=judge,
        gold=given.to / "judge_preferences.jsonl",
        allow_weak_judge=True,
        limit=given.prompts,
        max_tokens=64,
        to=given.to / f"labels-{name}",
    )
    if not (given.to / "runs" / name / "model").is_dir():
        ub.dpo(
            given.model,
            labels / "comparisons.jsonl",
            learning_rate=5e-5,
            runs=given.to / "runs",
            name=name,
        )
    results = {each.name: each for each in read_results(labels)}
    who = {"itself": "the model itself", "served": f"{given.served.name}, served"}[name]
    return [
        figure(given, results[key], f"judge {who}: {what}")
        for key, what in JUDGED.items()
        if key in results
    ]


def evaluate(given: argparse.Namespace) -> list[Figure]:
    """Return refusals and win rates before and after; the reward model learned from people."""
    runs = given.to / "runs"
    if not (runs / "reward" / "model").is_dir():
        ub.reward_model(
            given.model,
            given.to / "preferences.jsonl",
            steps=given.steps,
            learning_rate=2e-4,
            runs=runs,
            name="reward",
        )
    ub.evaluate(
        [given.model, str(runs / "itself"), str(runs / "served")],
        data=[given.to / "held_out_prompts.jsonl", given.to / "xstest.jsonl"],
        suite="refusals,preference",
        judge=str(runs / "reward"),
        max_tokens=64,
        to=given.to / "evaluation",
    )
    found = []
    for each in read_results(given.to / "evaluation"):
        if each.name in EVALUATED and each.value is not None:
            against = "" if each.against is None else f", against {title(given, each.against)}"
            found.append(figure(given, each, f"{each.name}, {title(given, each.model)}{against}"))
    return found


def title(given: argparse.Namespace, model: str) -> str:
    """Return how a model of the comparison is named in figures."""
    return "before" if model == given.model else f"judge {Path(model).name}"


def figure(given: argparse.Namespace, result: EvalResult, metric: str) -> Figure:
    """Return a result as a figure, in per cent."""
    value, low, high = (
        None if number is None else round(100 * number, 1)
        for number in (result.value, result.low, result.high)
    )
    assert value is not None, f"{result.name} was not measured"
    return Figure(
        question=QUESTION,
        metric=metric,
        value=value,
        low=low,
        high=high,
        n=result.count,
        unit="%",
        model=f"constitutional DPO, {Path(given.model).name}",
    )


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    main()
