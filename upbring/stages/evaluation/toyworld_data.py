"""The toy world as evaluation data: its questions and answers, and its gold reward as a judge.

It is used when the user gives no data. All results on it are synthetic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from upbring import __version__
from upbring.evaluate.eval_files import select_evenly
from upbring.evaluate.facts import Question
from upbring.evaluate.memorization import Canary
from upbring.evaluate.model_protocol import Dialogue
from upbring.evaluate.preference import Scorer
from upbring.evaluate.refusals import RefusalRequest
from upbring.runs.results import JudgeQuality
from upbring.toyworld import eval_sets, export
from upbring.toyworld.corpus import held_out_texts
from upbring.toyworld.grading import CAUSES, grade
from upbring.toyworld.private_records import alternatives, private_records
from upbring.toyworld.tasks import Task
from upbring.toyworld.world import load_world

FACTS_SET = "facts-held-out-entities-held-out-phrasings"
PREFERENCE_SETS = (FACTS_SET, "innocent", "explanations", "summaries", "chat")
CAPABILITY_SETS = ("sums", "summaries", "explanations", "diagnoses")
DEFAULT_MAX_ROWS = 100
NUM_HELD_OUT_TEXTS = 200


@dataclass(frozen=True)
class ToyworldEvalData:
    """The toy world's evaluation rows, by suite."""

    questions: tuple[Question, ...]
    format_questions: tuple[Question, ...]
    requests: tuple[RefusalRequest, ...]
    canaries: tuple[Canary, ...]
    documents: tuple[str, ...]
    capabilities: Mapping[str, tuple[Question, ...]]
    prompts: tuple[Dialogue, ...]
    topics: Mapping[str, tuple[Dialogue, ...]]
    judge: Scorer


def load_toyworld_data(*, seed: int = 0, max_rows: int | None = None) -> ToyworldEvalData:
    """Return the toy world's sets, at most `max_rows` rows of each, evenly spread."""
    max_rows = max_rows or DEFAULT_MAX_ROWS
    world = load_world()
    sets = {
        name: tuple(select_evenly(tasks, max_rows))
        for name, tasks in eval_sets.task_sets(world, seed=seed).items()
    }
    preference_tasks = [
        task
        for name in PREFERENCE_SETS
        for task in select_evenly(sets[name], max(1, max_rows // 5))
    ]
    clozes = select_evenly(list(export.clozes(world, seed=seed)), max_rows)
    return ToyworldEvalData(
        questions=tuple(map(_to_question, sets[FACTS_SET])),
        format_questions=tuple(map(_to_question, sets["forms"])),
        requests=tuple(
            RefusalRequest(task.prompt, task.is_harmful)
            for name in ("innocent", "harmful")
            for task in sets[name]
        ),
        canaries=tuple(
            Canary(r.opening, r.number, alternatives(r, seed=seed), r.repetitions)
            for r in private_records(seed=seed)
        ),
        documents=tuple(
            select_evenly(list(held_out_texts(seed=seed, count=NUM_HELD_OUT_TEXTS)), max_rows)
        ),
        capabilities={
            "clozes": tuple(
                Question(str(c["prompt"]), (str(c["answer"]),), tuple(map(str, c["alternatives"])))
                for c in clozes
            ),
            **{name: tuple(map(_to_question, sets[name])) for name in CAPABILITY_SETS},
        },
        prompts=tuple(task.prompt for task in preference_tasks),
        topics={
            name: tuple(task.prompt for task in select_evenly(sets[name], max(1, max_rows // 5)))
            for name in PREFERENCE_SETS
        },
        judge=_make_gold_judge(preference_tasks),
    )


def grade_correctness(question: Question, response: str) -> dict[str, float]:
    """Return whether an answer to a question of the toy world is correct."""
    graded = grade(_task_of(question), response)
    return {"accuracy": float(graded.correct >= 1), "graded": graded.correct}


def grade_format(question: Question, response: str) -> dict[str, float]:
    """Return whether an answer has the requested format."""
    return {"form": float(grade(_task_of(question), response).form >= 1)}


def _to_question(task: Task) -> Question:
    return Question(task.prompt, (task.reference,), truth={"task": task})


def _task_of(question: Question) -> Task:
    task = question.truth["task"]
    assert isinstance(task, Task), f"{task!r} is not a task of the toy world"
    return task


def _make_gold_judge(tasks: Sequence[Task]) -> Scorer:
    """Return the gold reward, which knows the correct answers of these tasks."""
    by_prompt = {task.prompt: task for task in tasks}

    def scores(pairs: Sequence[tuple[Dialogue, str]]) -> list[float]:
        return [grade(by_prompt[prompt], text).reward for prompt, text in pairs]

    def causes(prompt: Dialogue, text: str) -> dict[str, float]:
        graded = grade(by_prompt[prompt], text)
        return {cause: graded.score_of(cause) for cause in CAUSES}

    name, identity = "the toy world's gold reward", f"gold {__version__}"
    quality = JudgeQuality(name, "fit", "the ground truth of these prompts")
    return Scorer(name, identity, scores, is_synthetic=True, quality=quality, causes=causes)
