"""Rows that no judge labels: comparisons by people that are mixed in, and revised responses."""

from collections.abc import Sequence
from pathlib import Path

from upbring.data.read import formats
from upbring.data.read.records import Comparison, Message
from upbring.durable import JSON
from upbring.evaluate.eval_files import select_evenly
from upbring.feedback.principles import Constitution
from upbring.stages.feedback.candidates import Candidates
from upbring.stages.feedback.judge_check import best_and_worst


def human_rows(files: Sequence[Path], share: float, num_others: int) -> list[dict[str, JSON]]:
    """Return as many comparisons by people as make up a share of the result, if there are.

    Of a ranking, the best and the worst response are compared.
    """
    rows = [row for path in files for row in formats.read_records(path, Comparison)]
    wanted = round(num_others * share / (1 - share))
    return [_human_row(row) for row in (select_evenly(rows, wanted) if wanted else [])]


def _human_row(row: Comparison) -> dict[str, JSON]:
    best, worst = best_and_worst(row)
    found: dict[str, JSON] = {
        "prompt": to_dicts(row.prompt),
        "chosen": best,
        "rejected": worst,
        "annotator": row.annotator or "people",
        "provenance": {"source": "human", "row": str(row.origin)},
    }
    if row.probability is not None:
        found["probability"] = row.probability
    if row.weight is not None:
        found["weight"] = row.weight
    return found


def demonstration_row(
    candidates: Candidates, *, constitution: Constitution, model: str
) -> dict[str, JSON] | None:
    """Return the revised response as a demonstration; None if no round changed it."""
    if candidates.current == candidates.samples[0]:
        return None
    answer = Message("assistant", candidates.current)
    return {
        "messages": to_dicts((*candidates.prompt, answer)),
        "provenance": {
            "source": "revision",
            "model": model,
            "principles_sha256": constitution.sha256,
            "first_response": candidates.samples[0],
            "rounds": [
                {"principle": each.principle, "critique": each.critique, "revision": each.text}
                for each in candidates.revisions
            ],
        },
    }


def to_dicts(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Return messages as JSON."""
    return [{"role": m.role, "content": m.content} for m in messages]
