"""All that an evaluation asks, from the user's files or from the nursery."""

from collections.abc import Mapping
from dataclasses import dataclass

from upbring.evaluate import eval_files
from upbring.evaluate.facts import Question
from upbring.evaluate.instructions import Instructed
from upbring.evaluate.memorization import Canary
from upbring.evaluate.model_protocol import Dialogue
from upbring.evaluate.refusals import Requested
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.evaluation.toyworld_data import Gold, gold


@dataclass(frozen=True)
class Sheet:
    """All that is asked, by what it is."""

    questions: tuple[Question, ...] = ()
    instructions: tuple[Instructed, ...] = ()
    requests: tuple[Requested, ...] = ()
    canaries: tuple[Canary, ...] = ()
    documents: tuple[str, ...] = ()
    prompts: tuple[Dialogue, ...] = ()
    topics: Mapping[str, tuple[Dialogue, ...]] | None = None
    gold: Gold | None = None  # unless the data is the user's


def sheet_of(settings: EvaluateSettings) -> Sheet:
    """Return what the files of the settings ask, or else the nursery."""
    if not settings.data:
        own = gold(seed=settings.seed, most=settings.most)
        return Sheet(
            own.questions,
            (),
            own.requests,
            own.canaries,
            own.documents,
            own.prompts,
            own.topics,
            own,
        )
    asked = [eval_files.read(path, most=settings.most) for path in settings.data]
    topics: dict[str, tuple[Dialogue, ...]] = {}
    for each in asked:
        for name, prompts in each.topics.items():
            topics[name] = topics.get(name, ()) + prompts
    return Sheet(
        tuple(q for each in asked for q in each.questions),
        tuple(i for each in asked for i in each.instructions),
        tuple(r for each in asked for r in each.requests),
        tuple(c for each in asked for c in each.canaries),
        tuple(d for each in asked for d in each.documents),
        tuple(p for each in asked for p in each.prompts),
        topics,
    )


def has_rows(suite: str, sheet: Sheet, num_models: int, *, is_wished: bool) -> bool:
    """Whether there is something to ask; unless wished, whether the data is meant for the suite."""
    found = {
        "facts": bool(sheet.questions),
        "instructions": bool(sheet.instructions) or sheet.gold is not None,
        "refusals": bool(sheet.requests),
        "forgetting": bool(sheet.documents),
        "memorisation": bool(sheet.canaries),
        "preference": bool(sheet.prompts) and num_models > 1,
        "harness": False,  # which brings its own
    }
    if not is_wished:
        return found[suite]
    more = {
        "forgetting": bool(sheet.questions or sheet.topics),
        "memorisation": bool(sheet.documents),
        "preference": bool(sheet.prompts),
    }
    return found[suite] or more.get(suite, False)
