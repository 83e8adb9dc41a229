"""`upbring evaluate`, put together: models one after the other, every suite, one folder of results.

At most one model is in memory. Each in its turn answers all that the suites ask of it alone; the
answers lie in the journal then, and the suites are measured from there. Only drift asks the first
model once more, about what the others said.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from upbring import durable
from upbring.errors import InputError, Interrupted, nearest, shown
from upbring.evaluate.answer_cache import Journal
from upbring.evaluate.endpoint import Endpoint, is_url
from upbring.evaluate.harness import Harness, check
from upbring.evaluate.human_votes import Votes
from upbring.evaluate.model_protocol import Subject
from upbring.evaluate.preference import Comparer, Judge, Scorer, answered
from upbring.interruption import Interruption
from upbring.runs.results import ANSWERS, Measured, read_results, write_results
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.evaluation.eval_data import Sheet, has_rows, sheet_of
from upbring.stages.evaluation.human_judge import counted, hand_out, is_by_people, votes_of
from upbring.stages.evaluation.models import Notice, Resident
from upbring.stages.evaluation.suites import SUITES, WANTED, Bench

Scores = Callable[[str], Scorer]  # from the name of a reward model to a judge
READING = frozenset({"forgetting", "memorisation"})  # which need log-probabilities


def evaluate(
    settings: EvaluateSettings,
    *,
    notice: Notice,
    scores: Scores | None = None,
    names: Sequence[str] | None = None,
) -> list[Measured]:
    """Measure the models and write the folder; return every number.

    `names` are what the models are called in the results, if not as they were given.
    """
    is_alone = wishes(settings) == ["harness"]  # it brings its own questions
    sheet = Sheet() if is_alone else sheet_of(settings)
    suites = suites_of(settings, sheet)
    called = list(names or settings.models)
    if twice := next((n for n in called if called.count(n) > 1), None):
        raise InputError(f"models: {twice} is given twice; give each once")
    judge = judge_of(settings, sheet, scores, called)
    with durable.explained(settings.to):
        settings.to.mkdir(parents=True, exist_ok=True)
    with durable.lock(settings.to), Interruption() as interruption:

        def poll() -> None:
            if interruption.is_requested:
                raise Interrupted(
                    f"stopped; the answers so far lie in {settings.to / ANSWERS}, and the same "
                    "command goes on from there",
                    signal_number=interruption.signal_number or 2,
                )

        journal = Journal(
            settings.to / ANSWERS,
            poll=poll,
            progress=lambda what, done: notice(f"{what}: {done} answered"),
        )
        place = Resident(settings, notice=notice, poll=poll)
        subjects = [place.subject(m, n) for m, n in zip(settings.models, called, strict=True)]
        asked = Harness(settings.tasks, settings.most, settings.seed) if settings.tasks else None
        bench = Bench(sheet, journal, None, settings.seed, called[0], asked, settings.drawn)
        for subject in subjects:  # each model is loaded once, and answers all suites
            for suite in suites:
                SUITES[suite]([subject], bench)
        place.leave()  # the judge may be a model, too
        bench = replace(bench, judge=judge)
        if "preference" in suites and is_by_people(settings.judge):
            _meet(settings, subjects, bench, notice=notice)
        found = [number for suite in suites for number in SUITES[suite](subjects, bench)]
        journal.finish()
        kept = [n for n in read_results(settings.to) if n.suite not in suites]
        write_results(settings.to, [*kept, *found])
    return found


def suites_of(settings: EvaluateSettings, sheet: Sheet) -> list[str]:
    """Return the suites that are asked for, or else those that the data is for."""
    files = ", ".join(map(str, settings.data))
    count = len(settings.models)
    wished = wishes(settings)
    for name in wished:
        if name != "harness" and not has_rows(name, sheet, count, is_wished=True):
            raise InputError(f"{files}: no row is for the suite {name}; {WANTED[name]}")
    if wished:
        return wished
    found = [name for name in SUITES if has_rows(name, sheet, count, is_wished=False)]
    found += ["harness"] * bool(settings.tasks)
    if any(map(is_url, settings.models)):
        found = [name for name in found if name not in READING]
    if not found:
        raise InputError(f"{files}: no row is for any suite of these models; name one with --suite")
    return found


def wishes(settings: EvaluateSettings) -> list[str]:
    """Return the suites that are named, each once, or say which is none.

    Tasks without a suite or data mean the harness alone.
    """
    named = [part.strip() for text in settings.suite for part in text.split(",") if part.strip()]
    for name in named:
        if name == "reward_health":
            raise InputError("suite: reward_health is measured by `upbring reward`; leave it out")
        if name not in SUITES:
            near = nearest(name, SUITES)
            todo = f"did you mean {near}?" if near else f"there are {', '.join(SUITES)}"
            raise InputError(f"suite: {shown(name)} is no suite; {todo}")
    if settings.tasks and not named and not settings.data:
        named = ["harness"]
    if settings.tasks and named and "harness" not in named:
        raise InputError("tasks: are for the suite harness, which is not named; add it to --suite")
    if settings.tasks or "harness" in named:
        check(settings.tasks)
    return list(dict.fromkeys(named))


def judge_of(
    settings: EvaluateSettings, sheet: Sheet, scores: Scores | None, called: Sequence[str] = ()
) -> Judge | None:
    """Return who judges preferences, if anybody does."""
    if settings.judge is None:
        return sheet.gold.judge if sheet.gold else None
    if is_by_people(settings.judge):
        return votes_of(settings, called)
    if is_url(settings.judge):
        endpoint = Endpoint(settings.judge, settings.max_tokens, settings.judge)
        return Comparer(endpoint.name, endpoint.identity, endpoint.prefers)
    if scores is None:
        raise InputError(
            f"judge: {settings.judge} is no URL, and reward models cannot judge here; "
            "give the URL of an endpoint"
        )
    return scores(settings.judge)


def _meet(
    settings: EvaluateSettings, subjects: Sequence[Subject], bench: Bench, *, notice: Notice
) -> None:
    """Let people see what was said, and count the votes that they have given."""
    seed = bench.seed if bench.is_drawn else None
    said = answered(subjects, bench.sheet.prompts, journal=bench.journal, seed=seed)
    count = hand_out(settings, said)
    if isinstance(bench.judge, Votes):
        notice(counted(settings, said, bench.judge))
    elif not count:
        notice("people have nothing to vote on: the models give the same answer to every prompt")
