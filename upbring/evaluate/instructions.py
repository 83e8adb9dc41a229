"""The instructions suite: verifiable instructions with IFEval's protocol.

Zhou et al. 2023, arXiv 2311.07911: prompt-level and instruction-level accuracy, strict and loose.
Instructions that a rule cannot judge are excluded and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from upbring.data.read.records import Message
from upbring.durable import JSON
from upbring.evaluate.answer_cache import AnswerCache, CacheItem, add_verdicts, responses
from upbring.evaluate.model_protocol import EvaluatedModel
from upbring.evaluate.paired import share_results
from upbring.evaluate.to_results import to_result
from upbring.maths import statistics
from upbring.maths.statistics import FloatArray
from upbring.rules.instructions import Instruction, is_loosely_followed, is_strictly_followed
from upbring.runs.results import EvalResult

SUITE = "instructions"
CHECK_BY_MANNER = {"strict": is_strictly_followed, "loose": is_loosely_followed}
InstructionVerdicts = list[list[bool | None]]  # [prompt][instruction]; None: not judged


@dataclass(frozen=True, slots=True)
class InstructionPrompt:
    """A prompt and its instructions."""

    prompt: str
    instructions: tuple[Instruction, ...]


def measure_instructions(
    models: Sequence[EvaluatedModel],
    prompts: Sequence[InstructionPrompt],
    *,
    cache: AnswerCache,
) -> list[EvalResult]:
    """Return each model's prompt-level and instruction-level accuracy, strict and loose."""
    verdicts: dict[str, dict[str, InstructionVerdicts]] = {manner: {} for manner in CHECK_BY_MANNER}
    for model in models:
        for manner, model_verdicts in _check_answers(model, prompts, cache).items():
            verdicts[manner][model.name] = model_verdicts
    results = [
        number
        for manner in CHECK_BY_MANNER
        for number in _accuracy_results(manner, verdicts[manner])
    ]
    results += [
        n
        for name, model_verdicts in verdicts["strict"].items()
        for n in _kind_results(name, model_verdicts, prompts)
    ]
    return results


def _check_answers(
    model: EvaluatedModel, prompts: Sequence[InstructionPrompt], cache: AnswerCache
) -> dict[str, InstructionVerdicts]:
    items = [CacheItem(each.prompt) for each in prompts]

    def generate(indices: list[int]) -> list[dict[str, JSON]]:
        dialogues = [(Message("user", prompts[i].prompt),) for i in indices]
        return [{"response": text} for text in model.generate(dialogues)]

    rows = cache.get_or_compute(SUITE, model, items, compute=generate)
    verdicts_by_manner: dict[str, InstructionVerdicts] = {}
    for manner, is_followed in CHECK_BY_MANNER.items():
        verdicts_by_manner[manner] = [
            [is_followed(instruction, text) for instruction in each.instructions]
            for each, text in zip(prompts, responses(rows), strict=True)
        ]
    for row, each, *prompt_verdicts in zip(
        rows, prompts, *verdicts_by_manner.values(), strict=True
    ):
        named_verdicts = {
            f"{manner}/{instruction.kind}": None if verdict is None else float(verdict)
            for manner, verdicts in zip(CHECK_BY_MANNER, prompt_verdicts, strict=True)
            for instruction, verdict in zip(each.instructions, verdicts, strict=True)
        }
        add_verdicts([row], [named_verdicts])
    return verdicts_by_manner


def _accuracy_results(
    manner: str, verdicts_by_model: dict[str, InstructionVerdicts]
) -> list[EvalResult]:
    """Return the prompt-level and instruction-level accuracy."""
    by_prompt = {
        model: _prompt_accuracies(model_verdicts)
        for model, model_verdicts in verdicts_by_model.items()
    }
    results = list(share_results(_result_template(f"prompt_{manner}"), by_prompt))
    template = _result_template(f"instruction_{manner}")
    for model, verdicts in verdicts_by_model.items():
        judged = [[v for v in row if v is not None] for row in verdicts]
        num_followed = np.array([sum(row) for row in judged], np.float64)
        num_judged = np.array([len(row) for row in judged], np.float64)
        estimate = statistics.share_of_counts(num_followed, num_judged)
        num_left_out = sum(v is None for row in verdicts for v in row)
        note = f"{num_left_out} not judged" if num_left_out else ""
        model_template = EvalResult(
            SUITE, model, template.name, None, is_higher_better=True, note=note
        )
        results.append(to_result(estimate, model_template))
    return results


def _prompt_accuracies(verdicts: InstructionVerdicts) -> FloatArray:
    """Return 1 for each prompt whose judged instructions are all followed, else 0."""
    return np.array([float(False not in row) for row in verdicts if set(row) != {None}], np.float64)


def _kind_results(
    model: str, model_verdicts: InstructionVerdicts, prompts: Sequence[InstructionPrompt]
) -> list[EvalResult]:
    """Return the strict accuracy by kind of instruction."""
    verdicts: dict[str, list[bool]] = {}
    for row, each in zip(model_verdicts, prompts, strict=True):
        for verdict, instruction in zip(row, each.instructions, strict=True):
            if verdict is not None:
                verdicts.setdefault(instruction.kind, []).append(verdict)
    return [
        to_result(
            statistics.proportion(sum(kind_verdicts), len(kind_verdicts)),
            EvalResult(SUITE, model, f"strict/{kind}", None, is_higher_better=True),
        )
        for kind, kind_verdicts in sorted(verdicts.items())
    ]


def _result_template(name: str) -> EvalResult:
    return EvalResult(SUITE, "", name, None, is_higher_better=True)
