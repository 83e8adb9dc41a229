"""The report on a finished reward model: scores of held-out rankings, and their quality.

Of many held-out rankings a random sample is scored. Worthless variants of the best response are
scored in the tree of their ranking, so that the prompt is computed once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from upbring import durable
from upbring.data.read import formats
from upbring.data.read.folders import expand_folders
from upbring.data.read.records import Comparison, is_synthetic
from upbring.data.trees.merge_rankings import row_keys
from upbring.evaluate.reward_health import RewardHealth, assess_reward_model
from upbring.evaluate.reward_statistics import VoteFigures
from upbring.evaluate.to_results import from_result
from upbring.evaluate.worthless_responses import PROBE_KINDS, ProbeScores, make_probe_responses
from upbring.judge.reward_model import ResponseGroup, ResponseScorer, ScoreArray
from upbring.maths import counter_rng
from upbring.plurals import format_count
from upbring.runs.data_file import DataFile
from upbring.runs.results import RESULTS, write_results
from upbring.runs.run_folder import Run
from upbring.runs.source_results import CONSENSUS, VOTES
from upbring.stages.context import StageContext
from upbring.stages.evaluation.score_file import format_lines

SCORES_FILE = "scores.jsonl"
MAX_RANKINGS = 200  # rankings that are scored
MAX_PROBED_RANKINGS = 100  # of these, rankings whose best response is turned into probes
RANKINGS_AT_ONCE = 16  # between two updates of the progress


@dataclass(frozen=True, slots=True)
class ScoredRanking:
    """A held-out ranking, the scores of its responses, and those of the probes by kind."""

    record: Comparison
    scores: ScoreArray
    probe_scores: Mapping[str, float]

    @property
    def best_score(self) -> float:
        """The score of the best response."""
        return float(self.scores[int(np.argmin(self.record.ranks))])


def write_report(context: StageContext, reward_model: ResponseScorer, run: Run) -> None:
    """Write scores and metrics of held-out rankings into the run, and log the verdict."""
    held_out = list(read_held_out(context))
    sample = sample_rankings(held_out, seed=context.settings.seed)
    scoring = score_rankings(reward_model, sample, context)
    scored = list(context.track(scoring, total=len(sample), label="reward model report"))
    text = "".join(line for each in scored for line in format_lines(each.record, each.scores))
    durable.write_text(run.path / SCORES_FILE, text)
    finite = [each for each in scored if np.isfinite(each.scores).all()]
    if not any(_has_preference(each.record) for each in finite):
        context.log(
            "reward model: no held-out ranking prefers a response, so its quality is unknown; hold "
            "out rows with --held-out FILE or --held-out-share"
        )
        write_results(run.path, [])
        return
    votes = find_vote_figures(context.dataset.files)
    health_report = measure_health(
        finite, seed=context.settings.seed, name=run.path.name, votes=votes
    )
    write_results(run.path, health_report.list_results())
    if run.model.is_dir():  # which may be copied alone
        write_results(run.model, health_report.list_results())
        durable.seal_more(run.model, [RESULTS])
    for line in health_report.format_lines():
        context.log(line)
    context.log(f"  measured on {_describe_sample(sample, held_out)}")
    context.log(f"  all numbers: {run.path / RESULTS}")


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


def sample_rankings(records: Sequence[Comparison], *, seed: int) -> list[Comparison]:
    """Return the rankings to score, in the order of the file."""
    order = counter_rng.permutation(counter_rng.key(seed, "reward report"), len(records))
    return [records[i] for i in sorted(order[:MAX_RANKINGS].tolist())]


def score_rankings(
    reward_model: ResponseScorer, records: Sequence[Comparison], context: StageContext
) -> Iterator[ScoredRanking]:
    """Yield each ranking with its scores; the first ones that prefer a response with probes."""
    num_probed = 0
    pending: list[tuple[Comparison, dict[str, str]]] = []
    for number, record in enumerate(records, start=1):
        is_probed = num_probed < MAX_PROBED_RANKINGS and _has_preference(record)
        num_probed += is_probed
        pending.append((record, _make_probes(record) if is_probed else {}))
        if len(pending) == RANKINGS_AT_ONCE or number == len(records):
            yield from _score_with_probes(reward_model, pending, context)
            pending = []


def _score_with_probes(
    reward_model: ResponseScorer,
    rankings: Sequence[tuple[Comparison, dict[str, str]]],
    context: StageContext,
) -> Iterator[ScoredRanking]:
    groups = [
        ResponseGroup(record.prompt, (*record.responses, *probes.values()))
        for record, probes in rankings
    ]
    all_scores = reward_model.scores(groups, poll=context.poll)
    for (record, probes), scores in zip(rankings, all_scores, strict=True):
        K = len(record.responses)
        probe_scores = dict(zip(probes, scores[K:].tolist(), strict=True))
        yield ScoredRanking(record, scores[:K], probe_scores)


def _make_probes(record: Comparison) -> dict[str, str]:
    best = int(np.argmin(record.ranks))
    return make_probe_responses(record.prompt[-1].content, record.responses[best])


def find_vote_figures(files: Sequence[DataFile]) -> VoteFigures | None:
    """Return how well people agree on the votes behind the held-out rows; None if it is unknown.

    With several such files, the first one with held-out rows of its own counts, or else the first.
    """
    for file in sorted(files, key=lambda each: each.purpose != "held_out"):
        found = {each.name: each for each in file.results if each.suite == VOTES}
        if "agreement" in found and "alpha" in found:
            votes, people = (int(found[name].value or 0) for name in ("votes", "annotators"))
            source = f"{format_count(votes, 'vote')} of {format_count(people, 'annotator')}"
            agreement, alpha = (from_result(found[name]) for name in ("agreement", "alpha"))
            is_consensus = found["agreement"].note == CONSENSUS
            return VoteFigures(agreement, alpha, source, is_consensus)
    return None


def measure_health(
    rankings: Sequence[ScoredRanking],
    *,
    seed: int,
    name: str,
    votes: VoteFigures | None = None,
) -> RewardHealth:
    """Return the quality of a reward model, from its scores of held-out rankings."""
    records = [each.record for each in rankings]
    annotators = [record.annotator for record in records]
    return assess_reward_model(
        [each.scores for each in rankings],
        [np.asarray(record.ranks) for record in records],
        annotators=annotators,
        texts=[record.responses for record in records],
        prompts=[record.prompt[-1].content for record in records],
        votes=votes,
        probes=collect_probe_scores([each for each in rankings if each.probe_scores]),
        model=name,
        is_synthetic=any(map(is_synthetic, annotators)),
        seed=seed,
    )


def collect_probe_scores(rankings: Sequence[ScoredRanking]) -> ProbeScores:
    """Return the scores of the best responses, and of worthless variants of them."""
    return ProbeScores(
        np.array([each.best_score for each in rankings]),
        {
            kind: np.array([each.probe_scores.get(kind, np.nan) for each in rankings])
            for kind in PROBE_KINDS
        },
    )


def _has_preference(record: Comparison) -> bool:
    return len(set(record.ranks)) > 1


def _describe_sample(sample: Sequence[Comparison], held_out: Sequence[Comparison]) -> str:
    """Return how many rankings were scored, and how many of them with probes."""
    num_probed = min(MAX_PROBED_RANKINGS, sum(map(_has_preference, sample)))
    probed = f"worthless responses on {num_probed:,} of them"
    rankings = format_count(len(sample), "held-out ranking", total=len(held_out))
    if len(sample) == len(held_out):
        return f"all {format_count(len(sample), 'held-out ranking')}, {probed}"
    return f"a random sample of {rankings}, {probed}"
