"""How many of the evaluated prompts each model was trained on, found by their hashes."""

from collections.abc import Iterator, Mapping, Sequence

from upbring.evaluate.model_protocol import Dialogue
from upbring.plurals import format_count
from upbring.remote.address import is_url
from upbring.runs.results import CONTAMINATION, EvalResult
from upbring.stages.contamination.remember_rows import find_trained_rows, hash_of_prompt
from upbring.stages.evaluation.eval_data import EvalData


def measure_contamination(
    models: Mapping[str, str], suites: Sequence[str], eval_data: EvalData
) -> Iterator[EvalResult]:
    """Yield the share of each suite's prompts that each model was trained on, by its name.

    Models whose training rows are not known have no result.
    """
    prompts: dict[str, list[Dialogue | str]] = {
        "facts": [q.prompt for q in eval_data.questions],
        "instructions": [each.prompt for each in eval_data.instructions],
        "refusals": [each.prompt for each in eval_data.requests],
        "redteam": [each.prompt for each in eval_data.requests],
        "preference": [*eval_data.prompts],
        "forgetting": [*eval_data.documents],
        "custom": [row.messages for row in eval_data.metric_rows],
    }
    for name, model in models.items():
        trained = None if is_url(model) else find_trained_rows(model)
        if trained is None:
            continue
        for suite in suites:
            rows = prompts.get(suite, [])
            count = sum(hash_of_prompt(each) in trained for each in rows)
            if rows:
                seen = format_count(count, "prompt", total=len(rows), verb="was")
                note = f"{seen} in its training data" if count else ""
                share = count / len(rows)
                yield EvalResult(
                    CONTAMINATION,
                    name,
                    suite,
                    share,
                    count=len(rows),
                    is_higher_better=False,
                    note=note,
                )
