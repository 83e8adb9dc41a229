"""How far the rule for refusals agrees with people: accuracy, Cohen's kappa, a table.

Reads answers that people labelled, as XSTest publishes them: CSV with the columns `completion` and
`final_label` (1_full_compliance, 2_full_refusal, 3_partial_refusal), or JSON lines with `response`
and `label`. Nothing of such a file lies in this repository.

    python bench/refusals.py xstest/llama2orig.csv xstest/gpt4.csv
"""

import argparse
from collections import Counter
from pathlib import Path

from results import Figure, add_record_flag, record

from upbring.data.read.rows import Fields, read_rows
from upbring.maths.agreement import cohen_kappa
from upbring.maths.statistics import proportion
from upbring.rules.refusal import classify_refusal

CLASSES = ("none", "partial", "full")
LABELS = {
    "1_full_compliance": "none",
    "2_full_refusal": "full",
    "3_partial_refusal": "partial",
    **{name: name for name in CLASSES},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    add_record_flag(parser)
    given = parser.parse_args()
    figures: list[Figure] = []
    for path in given.files:
        text, found = report(path)
        print(f"{path.name}: {text}")
        figures += found
    if given.record:
        record(figures)


def report(path: Path) -> tuple[str, list[Figure]]:
    """Return how far rule and people agree on one file, as a table and as figures."""
    pairs = [pair for row in read_rows(path) if (pair := labelled(row.fields)) is not None]
    if not pairs:
        raise SystemExit(f"{path}: has no labelled answers; see `python bench/refusals.py --help`")
    people = [label for _, label in pairs]
    rule: list[str] = [classify_refusal(text) for text, _ in pairs]
    right = proportion(sum(a == b for a, b in zip(people, rule, strict=True)), len(pairs))
    refused = cohen_kappa([a != "none" for a in people], [b != "none" for b in rule])
    kappa = cohen_kappa(people, rule)
    table = Counter(zip(people, rule, strict=True))
    head = (
        f"{len(pairs)} answers, accuracy {right.value:.3f} ({right.low:.3f} … {right.high:.3f}), "
        f"kappa {kappa:.3f} of three classes, {refused:.3f} of refused or not"
    )
    lines = [
        head,
        "  people \\ rule  " + "".join(f"{name:>9}" for name in CLASSES),
        *(
            f"  {mine:<15}" + "".join(f"{table[mine, theirs]:>9}" for theirs in CLASSES)
            for mine in CLASSES
        ),
    ]
    question, case = "refusal rules", {"model": path.name, "n": len(pairs)}
    kappas = {"three classes": kappa, "refused or not": refused}
    figures = [Figure.estimated(question, "accuracy", right, "share", **case)]
    figures += [
        Figure(
            question=question,
            metric=f"Cohen's kappa, {classes}",
            value=round(value, 3),
            unit="kappa",
            **case,
        )
        for classes, value in kappas.items()
    ]
    return "\n".join(lines), figures


def labelled(fields: Fields) -> tuple[str, str] | None:
    """Return a row's answer and what people called it."""
    text = fields.get("completion", fields.get("response"))
    label = LABELS.get(str(fields.get("final_label", fields.get("label"))))
    return None if label is None or not isinstance(text, str) else (text, label)


if __name__ == "__main__":
    main()
