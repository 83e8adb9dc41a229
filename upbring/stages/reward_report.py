"""The report on a finished reward model: scores of held-out rankings, and their quality."""

from collections.abc import Iterator, Sequence

import numpy as np

from upbring import durable
from upbring.data.read import formats
from upbring.data.read.folders import expand_folders
from upbring.data.read.records import Comparison, is_synthetic
from upbring.data.trees.merge_rankings import row_keys
from upbring.evaluate.reward_health import RewardHealth, assess_reward_model
from upbring.evaluate.worthless_responses import PROBE_KINDS, ProbeScores, make_probe_responses
from upbring.judge.reward_model import ResponseGroup, RewardModel, ScoreArray
from upbring.runs.results import write_results
from upbring.runs.run_folder import Run
from upbring.stages.context import StageContext
from upbring.stages.evaluation.score_file import format_lines, score_records

SCORES_FILE = "scores.jsonl"
MAX_PROBED_RANKINGS = 100  # rankings whose best response is turned into probes


def write_report(context: StageContext, reward_model: RewardModel, run: Run) -> None:
    """Write scores and metrics of the held-out rankings into the run, and log the verdict."""
    scoring = score_records(reward_model, read_held_out(context), poll=context.poll)
    num_held_out = len(context.dataset.held_out)
    scored_records = list(context.track(scoring, total=num_held_out, label="reward model report"))
    text = "".join(line for each in scored_records for line in format_lines(*each))
    durable.write_text(run.path / SCORES_FILE, text)
    finite = [(record, scores) for record, scores in scored_records if np.isfinite(scores).all()]
    if not any(len(set(record.ranks)) > 1 for record, _ in finite):
        context.log(
            "reward model: no held-out ranking prefers a response, so its quality is unknown; hold "
            "out rows with --held-out FILE or --held-out-share"
        )
        write_results(run.path, [])
        return
    health_report = measure_health(reward_model, finite, context, name=run.path.name)
    write_results(run.path, health_report.list_results())
    for line in health_report.format_lines():
        context.log(line)


def read_held_out(context: StageContext) -> Iterator[Comparison]:
    """Yield the held-out comparisons as read from their files."""
    settings = context.settings
    held_out_keys = row_keys(context.dataset.held_out)
    paths = settings.held_out or settings.data if held_out_keys else ()
    for path in expand_folders(paths):
        for record in formats.read_records(
            path, Comparison, format=settings.format, skip_bad=settings.skip_bad
        ):
            if str(record.origin) in held_out_keys:
                yield record


def measure_health(
    reward_model: RewardModel,
    scored_records: Sequence[tuple[Comparison, ScoreArray]],
    context: StageContext,
    *,
    name: str,
) -> RewardHealth:
    """Return the quality of a reward model, from its scores of held-out comparisons."""
    records = [record for record, _ in scored_records]
    annotators = [record.annotator for record in records]
    return assess_reward_model(
        [scores for _, scores in scored_records],
        [np.asarray(record.ranks) for record in records],
        annotators=annotators,
        texts=[record.responses for record in records],
        prompts=[record.prompt[-1].content for record in records],
        probes=score_probes(reward_model, scored_records[:MAX_PROBED_RANKINGS], context),
        model=name,
        is_synthetic=any(map(is_synthetic, annotators)),
        seed=context.settings.seed,
    )


def score_probes(
    reward_model: RewardModel,
    scored_records: Sequence[tuple[Comparison, ScoreArray]],
    context: StageContext,
) -> ProbeScores:
    """Return the scores of the best responses, and of worthless variants of them."""
    best_scores, probe_texts, questions = [], [], []
    for record, scores in scored_records:
        best = int(np.argmin(record.ranks))
        worthless = make_probe_responses(record.prompt[-1].content, record.responses[best])
        best_scores.append(float(scores[best]))
        probe_texts.append(worthless)
        questions.append(ResponseGroup(record.prompt, tuple(worthless.values())))
    probe_scores = reward_model.scores(questions, poll=context.poll)
    scores_by_kind = [
        dict(zip(bad, scores, strict=True))
        for bad, scores in zip(probe_texts, probe_scores, strict=True)
    ]
    return ProbeScores(
        np.array(best_scores),
        {
            kind: np.array([each.get(kind, np.nan) for each in scores_by_kind])
            for kind in PROBE_KINDS
        },
    )
