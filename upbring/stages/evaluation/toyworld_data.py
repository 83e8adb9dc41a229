"""The nursery as evaluation data: its questions, its truth, and its gold reward as a judge.

For whoever has no data of their own yet. Every number that comes of it is synthetic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from upbring import __version__
from upbring.evaluate.eval_files import spread
from upbring.evaluate.facts import Question
from upbring.evaluate.memorization import Canary
from upbring.evaluate.model_protocol import Dialogue
from upbring.evaluate.preference import Scorer
from upbring.evaluate.refusals import Requested
from upbring.toyworld import eval_sets, export
from upbring.toyworld.corpus import held_out_tales
from upbring.toyworld.grading import CAUSES, grade
from upbring.toyworld.private_records import alternatives, private_records
from upbring.toyworld.tasks import Task
from upbring.toyworld.world import load_world

FACTS = "facts-held-out-entities-held-out-phrasings"
PREFERRED = (FACTS, "innocent", "explanations", "summaries", "chat")
CAPABILITIES = ("sums", "summaries", "explanations", "diagnoses")
MOST = 100
NUM_TALES = 200


@dataclass(frozen=True)
class Gold:
    """What the nursery asks, suite by suite."""

    questions: tuple[Question, ...]
    forms: tuple[Question, ...]
    requests: tuple[Requested, ...]
    canaries: tuple[Canary, ...]
    documents: tuple[str, ...]
    capabilities: Mapping[str, tuple[Question, ...]]
    prompts: tuple[Dialogue, ...]
    topics: Mapping[str, tuple[Dialogue, ...]]
    judge: Scorer


def gold(*, seed: int = 0, most: int | None = None) -> Gold:
    """Return the nursery's sets, at most so many of each, evenly spread."""
    most = most or MOST
    world = load_world()
    sets = {
        name: tuple(spread(tasks, most))
        for name, tasks in eval_sets.task_sets(world, seed=seed).items()
    }
    preferred = [task for name in PREFERRED for task in spread(sets[name], max(1, most // 5))]
    clozes = spread(list(export.clozes(world, seed=seed)), most)
    return Gold(
        questions=tuple(map(_question, sets[FACTS])),
        forms=tuple(map(_question, sets["forms"])),
        requests=tuple(
            Requested(task.prompt, task.is_harmful)
            for name in ("innocent", "harmful")
            for task in sets[name]
        ),
        canaries=tuple(
            Canary(r.opening, r.number, alternatives(r, seed=seed), r.times_told)
            for r in private_records(seed=seed)
        ),
        documents=tuple(spread(list(held_out_tales(seed=seed, count=NUM_TALES)), most)),
        capabilities={
            "clozes": tuple(
                Question(str(c["prompt"]), (str(c["answer"]),), tuple(map(str, c["alternatives"])))
                for c in clozes
            ),
            **{name: tuple(map(_question, sets[name])) for name in CAPABILITIES},
        },
        prompts=tuple(task.prompt for task in preferred),
        topics={
            name: tuple(task.prompt for task in spread(sets[name], max(1, most // 5)))
            for name in PREFERRED
        },
        judge=_judge(preferred),
    )


def right(question: Question, response: str) -> dict[str, float]:
    """Return what the world's truth says of an answer to one of the nursery's questions."""
    found = grade(_task(question), response)
    return {"accuracy": float(found.correct >= 1), "graded": found.correct}


def in_form(question: Question, response: str) -> dict[str, float]:
    """Return whether an answer has the form that was asked for."""
    return {"form": float(grade(_task(question), response).form >= 1)}


def _question(task: Task) -> Question:
    return Question(task.prompt, (task.reference,), truth={"task": task})


def _task(question: Question) -> Task:
    task = question.truth["task"]
    assert isinstance(task, Task), f"{task!r} is no task of the nursery"
    return task


def _judge(tasks: Sequence[Task]) -> Scorer:
    """Return the gold reward, which knows the truth about these tasks."""
    by_prompt = {task.prompt: task for task in tasks}

    def scores(pairs: Sequence[tuple[Dialogue, str]]) -> list[float]:
        return [grade(by_prompt[prompt], text).reward for prompt, text in pairs]

    def causes(prompt: Dialogue, text: str) -> dict[str, float]:
        found = grade(by_prompt[prompt], text)
        return {cause: found.of(cause) for cause in CAUSES}

    name, identity = "the nursery's gold reward", f"gold {__version__}"
    return Scorer(name, identity, scores, is_synthetic=True, causes=causes)
