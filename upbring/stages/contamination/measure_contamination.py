"""How many of the evaluated prompts each model was trained on, found by their hashes."""

from collections.abc import Iterator, Mapping, Sequence

from upbring.evaluate.endpoint import is_url
from upbring.evaluate.model_protocol import Dialogue
from upbring.runs.results import EvalResult
from upbring.stages.contamination.remember_rows import find_trained_rows, hash_of_prompt
from upbring.stages.evaluation.eval_data import EvalData

SUITE = "contamination"


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
        "preference": [*eval_data.prompts],
        "forgetting": [*eval_data.documents],
    }
    for name, model in models.items():
        trained = None if is_url(model) else find_trained_rows(model)
        if trained is None:
            continue
        for suite in suites:
            rows = prompts.get(suite, [])
            count = sum(hash_of_prompt(each) in trained for each in rows)
            if rows:
                note = f"{count} of {len(rows)} prompts were in its training data" if count else ""
                share = count / len(rows)
                yield EvalResult(
                    SUITE, name, suite, share, count=len(rows), is_higher_better=False, note=note
                )
