"""The numbers of a recipe that ran on a real model, as a page of docs/evidence and as figures.

    python bench/evidence.py runs/recipe-1 --model google/gemma-3-270m --to docs/evidence/gemma.md

The folder is that of `upbring run`, with its `report.json`. The page shows the numbers of the
evaluation with their intervals (not those of single kinds of instructions, nor most changes), how
good the judges are, the gates, and what each stage cost. It quotes the answers to the recipe's own
questions, and no text of the data sets.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from results import Figure, add_record_flag, record

from upbring.report.texts import RESULT_TITLES, format_number, title

QUESTION = "evidence on real models"
DETAILS = ("strict", "loose")  # of single kinds of instructions
SHOWN_CHARACTERS = 200  # of an answer
CODE = "````"  # around an answer, which may have Markdown of its own
Row = Mapping[str, Any]


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("folder", type=Path, help="a folder of `upbring run`")
    reading.add_argument("--model", required=True, help="the base model's public name")
    reading.add_argument("--to", type=Path, required=True, help="the page to write")
    add_record_flag(reading)
    given = reading.parse_args()
    file = given.folder / "report.json"
    if not file.is_file():
        sys.exit(f"{file}: does not exist; run the recipe first")
    report = json.loads(file.read_text(encoding="utf-8"))
    asked = json.loads((given.folder / "asked.json").read_text(encoding="utf-8"))
    environment = next((given.folder / "stages").glob("*/environment.json"))
    where = json.loads(environment.read_text(encoding="utf-8"))  # the machine of the run
    given.to.parent.mkdir(parents=True, exist_ok=True)
    given.to.write_text(page(report, given.model, asked=asked, where=where), encoding="utf-8")
    if given.record:
        record(list(figures(report, given.model)))


def page(report: Row, model: str, *, asked: Row, where: Row) -> str:
    """Return the page."""
    lines = [
        f"# {model}",
        "",
        f"`upbring run` on {where['processor']}, {where['usable_cores']} cores.",
        "Each number has its 95 % interval. Written by `bench/evidence.py` from `report.json`.",
        "",
        *_table(["number", *report["models"]], _number_rows(report)),
        "",
        *[f"- {text}" for text in _judges(report)],
        "",
        "## Gates",
        "",
        *_table(["gate", "model", "value", "result"], _gate_rows(report)),
        "",
        "## Cost",
        "",
        *_table(["stage", "steps", "time", "peak memory", "weights trained"], _cost_rows(report)),
        "",
        "## Answers",
        "",
        "Greedy, to the recipe's own questions; cut after 200 characters.",
        "",
        *_answer_lines(asked),
    ]
    return "\n".join(lines).rstrip() + "\n"


def figures(report: Row, model: str) -> Iterator[Figure]:
    """Yield every measured number."""
    for each in filter(_is_shown, report["results"]):
        if each["value"] is None:
            continue
        is_share = each["unit"] == "share"
        parts = [each["value"], each["low"], each["high"]]
        scaled = [x if x is None else round(x * (100 if is_share else 1), 3) for x in parts]
        value, low, high = scaled
        yield Figure(
            question=QUESTION,
            metric=f"{each['suite']}: {_name(each)}",
            value=value,
            low=low,
            high=high,
            unit="%" if is_share else each["unit"],
            n=each["count"] or None,
            model=f"{model}, {each['model']}",
        )


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _is_shown(result: Row) -> bool:
    name = result["name"]
    is_change = name.endswith("_change") and not name.endswith("perplexity_change")
    return not (is_change or name.startswith(DETAILS))


def _name(result: Row) -> str:
    against = f" against {result['against']}" if result["against"] else ""
    return f"{title(result['name'], RESULT_TITLES)}{against}"


def _number_rows(report: Row) -> Iterator[Sequence[str]]:
    """Yield a row for each number about the models of the evaluation."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for each in filter(_is_shown, report["results"]):
        cells.setdefault((each["suite"], _name(each)), {})[each["model"]] = _cell(each)
    for (suite, name), by_model in cells.items():
        if any(model in by_model for model in report["models"]):
            yield [f"{suite}: {name}", *(by_model.get(m, "") for m in report["models"])]


def _cell(result: Row) -> str:
    if result["value"] is None:
        return "not measured"
    texts = [
        format_number(x, result["unit"])
        for x in (result["value"], result["low"], result["high"])
        if x is not None
    ]
    if result["too_few"]:
        return f"{texts[0]} (n = {result['too_few']}: too few to say)"
    return texts[0] if len(texts) == 1 else f"{texts[0]} ({texts[1]} … {texts[2]})"


def _judges(report: Row) -> Iterator[str]:
    for each in report["reward_models"]:
        yield f"{each['name']}: {each['verdict']}; {each['detail']}"


def _gate_rows(report: Row) -> Iterator[Sequence[str]]:
    for each in report["gates"]:
        result = {True: "passed", False: "failed", None: "not measured"}[each["passed"]]
        interval = [each["value"], each["low"], each["high"]]
        text = " … ".join(f"{x:.3g}" for x in interval[1:] if x is not None)
        value = "" if interval[0] is None else f"{interval[0]:.3g} ({text})"
        yield [f"`{each['name']}: {each['condition']}`", each["model"], value, result]


def _cost_rows(report: Row) -> Iterator[Sequence[str]]:
    for each in report["costs"]:
        seconds = each["wall_seconds"] or each["seconds"]
        peak = each["peak_memory_bytes"]
        share = each["share"]
        yield [
            each["stage"],
            f"{each['steps']:,}",
            f"{seconds / 60:.0f} min",
            "" if peak is None else f"{peak / 1e9:.1f} GB",
            "" if share is None else f"{100 * share:.2f} %",
        ]


def _answer_lines(asked: Row) -> Iterator[str]:
    """Yield each answer; the key of a model is its name and a hash."""
    for key, answers in asked.items():
        for question, answer in answers.items():
            shown = " ".join(answer.split())
            cut = shown if len(shown) <= SHOWN_CHARACTERS else shown[:SHOWN_CHARACTERS] + "…"
            yield f"- `{key.split()[0]}`, {question} {CODE} {cut} {CODE}"


if __name__ == "__main__":
    main()
