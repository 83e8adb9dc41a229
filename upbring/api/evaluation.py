"""The result of an evaluation: numbers with intervals, which print as a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from upbring.errors import InputError, nearest
from upbring.runs.results import EvalResult


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Numbers about models, each with its 95 % confidence interval; prints as a table."""

    results: tuple[EvalResult, ...]
    models: tuple[str, ...]
    path: Path  # the folder with results.json and answers.jsonl

    def get(self, name: str, *, model: object = None, suite: str | None = None) -> EvalResult:
        """Return one number by its name, such as `accuracy`; `model` defaults to the last one."""
        wanted = self.models[-1] if model is None else str(model)
        found = [
            each
            for each in self.results
            if each.name == name and each.model == wanted and suite in {None, each.suite}
        ]
        if len(found) == 1:
            return found[0]
        if found:
            suites = ", ".join(sorted({each.suite for each in found}))
            raise InputError(f"name: {name} is in several suites ({suites}); give suite too")
        names = sorted({each.name for each in self.results if each.model == wanted})
        suggestion = nearest(name, names)
        hint = f"did you mean {suggestion}?" if suggestion else f"there are {', '.join(names)}"
        raise InputError(f"name: no number {name} of {wanted}; {hint}")

    def to_dict(self) -> dict[str, list[dict[str, object]]]:
        """Return `{"results": [...]}` with a dict per number, ready for `pandas.DataFrame`."""
        return {"results": [asdict(each) for each in self.results]}

    def __str__(self) -> str:
        from upbring.stages.evaluation.scorecard import scorecard_text  # noqa: PLC0415 -- torch

        return scorecard_text(self.results, self.models)

    def __repr__(self) -> str:
        return str(self)


def make_evaluation(results: Sequence[EvalResult], models: Sequence[str], path: Path) -> Evaluation:
    """Return the evaluation with its folder as an absolute path."""
    return Evaluation(tuple(results), tuple(models), path.absolute())
