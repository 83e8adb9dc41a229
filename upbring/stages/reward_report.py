"""What a finished reward model thinks of held-out rankings: scores, and whether to trust them."""

from collections.abc import Iterator, Sequence

import numpy as np

from upbring import durable
from upbring.data.read import formats
from upbring.data.read.records import Comparison, is_synthetic
from upbring.data.trees.merge_rankings import keys
from upbring.evaluate.reward_health import Health, health
from upbring.evaluate.worthless_responses import KINDS, Probes, probe_answers
from upbring.judge.reward_model import Question, RewardModel, Scores
from upbring.runs.results import write_results
from upbring.runs.run_folder import Run
from upbring.stages.context import Cast
from upbring.stages.score_file import lines, scored

SCORES = "scores.jsonl"
MOST_PROBED = 100  # rankings whose best response is made worthless


def report(cast: Cast, judge: RewardModel, run: Run) -> None:
    """Write scores and numbers of the held-out rankings into the run, and tell the verdict."""
    judged = list(scored(judge, held_out(cast), poll=cast.poll))
    written = "".join(line for each in judged for line in lines(*each))
    durable.write_text(run.path / SCORES, written)
    known = [(record, scores) for record, scores in judged if np.isfinite(scores).all()]
    if not any(len(set(record.ranks)) > 1 for record, _ in known):
        cast.say(
            "reward model: no held-out ranking prefers an answer, so nothing is known of how good "
            "it is; hold some out by --held-out FILE or --held-out-share"
        )
        write_results(run.path, [])
        return
    found = examined(judge, known, cast, name=run.path.name)
    write_results(run.path, found.measured())
    for line in found.lines():
        cast.say(line)


def held_out(cast: Cast) -> Iterator[Comparison]:
    """Yield the held-out comparisons as they stand in their files."""
    settings = cast.settings
    chosen = keys(cast.dataset.held_out)
    for path in settings.held_out or settings.data if chosen else ():
        for record in formats.read(
            path, Comparison, format=settings.format, skip_bad=settings.skip_bad
        ):
            if str(record.origin) in chosen:
                yield record


def examined(
    judge: RewardModel,
    judged: Sequence[tuple[Comparison, Scores]],
    cast: Cast,
    *,
    name: str,
) -> Health:
    """Return how healthy a reward model is by its scores of held-out comparisons."""
    records = [record for record, _ in judged]
    annotators = [record.annotator for record in records]
    return health(
        [scores for _, scores in judged],
        [np.asarray(record.ranks) for record in records],
        annotators=annotators,
        texts=[record.responses for record in records],
        prompts=[record.prompt[-1].content for record in records],
        probes=probed(judge, judged[:MOST_PROBED], cast),
        model=name,
        is_synthetic=any(map(is_synthetic, annotators)),
        seed=cast.settings.seed,
    )


def probed(judge: RewardModel, judged: Sequence[tuple[Comparison, Scores]], cast: Cast) -> Probes:
    """Return the scores of the best responses, and of what was made of them."""
    good, made, questions = [], [], []
    for record, scores in judged:
        best = int(np.argmin(record.ranks))
        bad = probe_answers(record.prompt[-1].content, record.responses[best])
        good.append(float(scores[best]))
        made.append(bad)
        questions.append(Question(record.prompt, tuple(bad.values())))
    found = judge.scores(questions, poll=cast.poll)
    by_kind = [dict(zip(bad, scores, strict=True)) for bad, scores in zip(made, found, strict=True)]
    return Probes(
        np.array(good),
        {kind: np.array([each.get(kind, np.nan) for each in by_kind]) for kind in KINDS},
    )
