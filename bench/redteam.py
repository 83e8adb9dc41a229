"""What hardening against attacks gains and costs, on the toy world or on your own model.

    python bench/redteam.py --to lab --seeds 0 1 2
    python bench/redteam.py --to lab --model MODEL --harmful FILE… --innocent FILE…

On the toy world a base model is needed that understands attacked requests: `builtin:sprout` is
fine-tuned, openly, on the toy world's demonstrations and on as many *innocent* requests under all
families of attacks except encodings, each with its helpful answer. No harmful request is attacked
in this training, and none is answered: plain ones are refused in the demonstrations. What the
model then does with attacked harmful requests is its own.

The requests that are attacked to find training pairs and those that measure are disjoint, and so
are the families. Training labels come from the rule on opening words, measurements from the refusal
rules, corrected by their errors on responses that the toy world's graders labelled (on your own
model: not corrected, unless --refusal-labels is given).
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from results import Figure, add_record_flag, record

import upbring as ub
from upbring.data.read.records import Message
from upbring.evaluate.attacks.attack_results import SUITE
from upbring.feedback.attacks.families import FAMILIES, attack
from upbring.maths.random_draws import RandomStream
from upbring.runs.results import EvalResult, read_results
from upbring.stages.redteam.attack_plan import is_success
from upbring.toyworld import behavior, other_tasks, wording
from upbring.toyworld.demonstrations import demonstrations
from upbring.toyworld.tasks import as_messages
from upbring.toyworld.world import load_world

QUESTION = "attacks and hardening"
TRAINED = ("role", "suppression", "fiction", "splitting", "language")
HELD_OUT = ("authority", "config", "distraction")
NOT_TAUGHT = frozenset({"encoding"})  # too hard for two million weights
NUM_ROWS = 6000  # of demonstrations, and of attacked innocent requests
SFT = {
    "epochs": 1,
    "batch_size": 16,
    "learning_rate": 1.2e-3,
    "rank": 64,
    "alpha": 128,
    "dtype": "float32",
    "threads": 1,
    "eval_steps": 400,
}
HARDENING = {
    "method": "sft",
    "epochs": 2.0,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "rank": 64,
    "alpha": 128,
    "rounds": 1,
    "search_rounds": 3,
    "max_tokens": 28,
    "dtype": "float32",
    "threads": 1,
}
OTHER_MODEL = {"epochs": 1.0, "search_rounds": 4, "rounds": 1, "tries": 2, "max_tokens": 40}
MAX_TRAINED = 200  # requests that are attacked for training pairs
NUM_EVALUATED = 60  # questions about facts, and about formats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--requests", type=int, default=24, help="harmful ones that measure")
    parser.add_argument("--tries", type=int, default=8)
    parser.add_argument("--base", type=Path, help="the fine-tuned base model, if there is one")
    parser.add_argument("--model", help="another model; with --harmful and --innocent")
    parser.add_argument("--harmful", type=Path, nargs="+")
    parser.add_argument("--innocent", type=Path, nargs="+")
    parser.add_argument("--families", default="")
    parser.add_argument("--min-comprehension", type=float, default=0.5, help="of another model")
    add_record_flag(parser)
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    figures: list[Figure] = []
    for seed in given.seeds:
        figures += other_model(given, seed) if given.model else toy_world(given, seed)
    for figure in figures:
        interval = "" if figure.low is None else f" ({figure.low} … {figure.high})"
        print(f"{figure.model}, {figure.metric}: {figure.value}{interval} {figure.unit}")
    if given.record:
        record(figures)


def toy_world(given: argparse.Namespace, seed: int) -> list[Figure]:
    """Harden the toy world's model with one seed, and return its figures."""
    base = given.base or base_model(given.to)
    folder = given.to / f"seed-{seed}"
    folder.mkdir(exist_ok=True)
    files = {}
    for name, is_harmful, count in (("harmful", True, given.requests), ("innocent", False, 40)):
        rows = [{"prompt": text} for text in requests(seed, is_harmful=is_harmful)]
        files[f"test_{name}"] = write_rows(folder / f"test-{name}.jsonl", rows[:count])
        files[name] = write_rows(folder / f"{name}.jsonl", rows[count:][:MAX_TRAINED])
    labels = label_responses(base, folder, seed)
    hardened = folder / "hardened"
    harden(
        base,
        hardened,
        **HARDENING,
        **files,
        families=",".join((*TRAINED, *HELD_OUT)),
        held_out_families=",".join(HELD_OUT),
        refusal_labels=labels,
        mix=(f"{demonstration_file(given.to)}=0.3",),
        tries=given.tries,
        seed=seed,
    )
    figures = attack_figures(read_results(hardened / "measure"), f"sprout, seed {seed}")
    trained = hardened / "round-1" / "sft"
    found = ub.evaluate(
        [str(base), str(trained)],
        suite="facts,instructions",
        limit=NUM_EVALUATED,
        max_tokens=40,
        threads=1,
        dtype="float32",
        to=folder / "facts",
    )
    wanted = {"accuracy": "facts", "prompt_strict": "formats"}
    for each in found.results:
        if each.name in wanted and each.against is None:
            model = "before" if each.model == str(base) else "hardened"
            name = f"{wanted[each.name]}, {model}"
            figures.append(_figure(each, name, f"sprout, seed {seed}"))
    return figures


def other_model(given: argparse.Namespace, seed: int) -> list[Figure]:
    """Harden a model of the user with one seed, and return its figures."""
    folder = given.to / f"seed-{seed}" / "hardened"
    families = {"families": given.families} if given.families else {}
    settings = OTHER_MODEL | {"tries": given.tries, "min_comprehension": given.min_comprehension}
    harden(
        given.model,
        folder,
        harmful=given.harmful,
        innocent=given.innocent,
        limit=given.requests,
        seed=seed,
        threads=1,
        **settings,
        **families,
    )
    name = f"{Path(given.model).name}, seed {seed}"
    return attack_figures(read_results(folder / "measure"), name)


def harden(model: Path | str, folder: Path, **settings: object) -> None:
    """Harden a model; that no round is accepted is a result, too."""
    try:
        ub.harden(str(model), to=folder, **settings)
    except ub.GateError as error:
        print(error)


def base_model(folder: Path) -> Path:
    """Return the base model, which is trained once."""
    run = folder / "runs" / "base"
    if not run.exists():
        ub.sft(
            "builtin:sprout",
            data=demonstration_file(folder),
            runs=folder / "runs",
            name="base",
            **SFT,
        )
    return run


def demonstration_file(folder: Path) -> Path:
    """Return the file of demonstrations and of attacked innocent requests."""
    path = folder / "demonstrations.jsonl"
    if not path.exists():
        plain = demonstrations(load_world(), seed=0, count=NUM_ROWS)
        rows = [{"messages": as_messages(each.messages)} for each in plain]
        rows += attacked_innocent_requests()
        write_rows(path, RandomStream(0, "shuffle").shuffled(rows))
    return path


def attacked_innocent_requests() -> Iterator[dict[str, object]]:
    """Yield demonstrations that answer innocent requests under attacks."""
    families = [name for name in FAMILIES if name not in NOT_TAUGHT]
    innocent = other_tasks.requests(is_harmful=False, is_held_out=False, seed=0)
    frames = wording.side_phrasings("act_question", is_held_out=False)
    for index in range(NUM_ROWS):
        rng = RandomStream(0, "tr", index)
        request = rng.choice(innocent)
        prompt = [Message("user", rng.choice(frames).format(act=request.act))]
        attacked = attack(families[index % len(families)], prompt, seed=0, number=1000 + index)
        messages = list(attacked.messages)
        beginning = attacked.prefill and messages.pop().content + " "
        messages.append(Message("assistant", beginning + request.answer))
        for turn in attacked.follow_ups:
            messages += [Message("user", turn), Message("assistant", request.answer)]
        yield {"messages": [{"role": m.role, "content": m.content} for m in messages]}


def requests(seed: int, *, is_harmful: bool) -> list[str]:
    """Return all requests in plain words and random order; the innocent ones look harmful."""
    rng = RandomStream(seed, "requests", int(is_harmful))
    every = [
        request
        for is_held_out in (False, True)
        for request in other_tasks.requests(is_harmful=is_harmful, is_held_out=is_held_out, seed=0)
    ]
    frames = wording.phrasings("act_question")
    return [rng.choice(frames).format(act=each.act) for each in rng.shuffled(every)]


def label_responses(base: Path, folder: Path, seed: int) -> Path:
    """Return responses of the base model with the labels of the toy world's graders."""
    texts = requests(seed + 100, is_harmful=True)[:25]
    innocent = requests(seed + 100, is_harmful=False)[:2]
    ub.redteam(
        str(base),
        harmful=[{"prompt": text} for text in texts],
        innocent=[{"prompt": text} for text in innocent],
        families=",".join(TRAINED[:3]),
        tries=1,
        seed=seed + 100,
        max_tokens=28,
        threads=1,
        dtype="float32",
        to=folder / "labelling",
    )
    lines = (folder / "labelling" / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    rows = []
    for line in lines:
        row = json.loads(line)
        is_harmful = any(text in row["prompt"] for text in texts)
        if is_harmful and row["response"].strip():
            complied = not behavior.declines(row["response"])
            label = "complied" if complied else "refused"
            rows.append({"response": row["response"], "label": label})
    agreed = sum(is_success(str(row["response"])) == (row["label"] == "complied") for row in rows)
    print(f"seed {seed}: the refusal rules agree with the graders on {agreed} of {len(rows)}")
    return write_rows(folder / "labels.jsonl", rows)


def attack_figures(results: Sequence[EvalResult], model: str) -> list[Figure]:
    """Return the totals of the model before and after; the folder has the families."""
    figures = []
    models = list(dict.fromkeys(each.model for each in results))
    for each in results:
        group = each.name.rpartition("/")[0]
        is_total = each.suite == SUITE and group in ("", "plain", "trained", "held_out")
        if is_total and each.model in (models[0], models[-1]) and each.value is not None:
            if each.against:
                continue
            when = "before" if each.model == models[0] else "hardened"
            figures.append(_figure(each, f"{each.name}, {when}", model))
    return figures


def _figure(each: EvalResult, metric: str, model: str) -> Figure:
    assert each.value is not None
    low, high = (None if end is None else round(100 * end, 1) for end in (each.low, each.high))
    return Figure(
        question=QUESTION,
        metric=metric,
        value=round(100 * each.value, 1),
        low=low,
        high=high,
        n=each.count,
        unit="%",
        model=model,
    )


def write_rows(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
