"""The data of an evaluation, from the user's files or from the toy world."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from upbring.data.read.prompt_rows import PromptRow, read_prompt_rows
from upbring.evaluate import eval_files
from upbring.evaluate.eval_files import select_evenly
from upbring.evaluate.facts import Question
from upbring.evaluate.instructions import InstructionPrompt
from upbring.evaluate.memorization import Canary
from upbring.evaluate.model_protocol import Dialogue
from upbring.evaluate.refusals import RefusalRequest
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.evaluation.toyworld_data import ToyworldEvalData, load_toyworld_data


@dataclass(frozen=True)
class EvalData:
    """The rows of an evaluation, by type."""

    questions: tuple[Question, ...] = ()
    instructions: tuple[InstructionPrompt, ...] = ()
    requests: tuple[RefusalRequest, ...] = ()
    canaries: tuple[Canary, ...] = ()
    documents: tuple[str, ...] = ()
    prompts: tuple[Dialogue, ...] = ()
    topics: Mapping[str, tuple[Dialogue, ...]] | None = None
    metric_rows: tuple[PromptRow, ...] = ()  # for functions of the user
    documents_by_file: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # if several
    toyworld: ToyworldEvalData | None = None  # None if the data is the user's


def load_eval_data(settings: EvaluateSettings, *, has_functions: bool = False) -> EvalData:
    """Return the rows of the files in the settings, or else those of the toy world.

    Functions of the user get the rows of all files with prompts, with all their columns.
    """
    if not settings.data:
        toyworld = load_toyworld_data(seed=settings.seed, max_rows=settings.limit)
        return EvalData(
            toyworld.questions,
            (),
            toyworld.requests,
            toyworld.canaries,
            toyworld.documents,
            toyworld.prompts,
            toyworld.topics,
            toyworld=toyworld,
        )
    file_data = [eval_files.read_eval_file(path, max_rows=settings.limit) for path in settings.data]
    topics: dict[str, tuple[Dialogue, ...]] = {}
    for each in file_data:
        for name, prompts in each.topics.items():
            topics[name] = topics.get(name, ()) + prompts
    by_file = {each.path.stem: each.documents for each in file_data if each.documents}
    return EvalData(
        tuple(q for each in file_data for q in each.questions),
        tuple(i for each in file_data for i in each.instructions),
        tuple(r for each in file_data for r in each.requests),
        tuple(c for each in file_data for c in each.canaries),
        tuple(d for each in file_data for d in each.documents),
        tuple(p for each in file_data for p in each.prompts),
        topics,
        tuple(
            row
            for each in file_data
            if has_functions and each.kind not in {"documents", "canaries"}
            for row in select_evenly([r for _, r in read_prompt_rows(each.path)], settings.limit)
        ),
        documents_by_file=by_file if len(by_file) > 1 else {},
    )


def has_rows(suite: str, eval_data: EvalData, num_models: int, *, is_requested: bool) -> bool:
    """Whether a suite has rows; if it is not requested, rows that were written for it."""
    has_intended_rows = {
        "facts": bool(eval_data.questions),
        "instructions": bool(eval_data.instructions) or eval_data.toyworld is not None,
        "refusals": bool(eval_data.requests),
        "forgetting": bool(eval_data.documents),
        "memorisation": bool(eval_data.canaries),
        "preference": bool(eval_data.prompts) and num_models > 1,
        "custom": bool(eval_data.metric_rows),
        "redteam": False,  # takes long
        "harness": False,  # its tasks have their own data
    }
    if not is_requested:
        return has_intended_rows[suite]
    has_usable_rows = {
        "forgetting": bool(eval_data.questions or eval_data.topics),
        "memorisation": bool(eval_data.documents),
        "preference": bool(eval_data.prompts),
        "redteam": len({each.is_harmful for each in eval_data.requests}) == len((True, False)),
    }
    return has_intended_rows[suite] or has_usable_rows.get(suite, False)
