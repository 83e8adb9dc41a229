"""People as the judge of an evaluation: the page that they open, and their votes.

    upbring evaluate A B --suite preference --data prompts.jsonl --judge votes:votes.jsonl

    evaluation/
      pairs.jsonl   prompts with the distinct answers to each, without the models' names
      rank.html     the page on which people rank them

The order of the answers depends only on (seed, prompt). While the file of votes does not exist, the
models only answer; once it exists, the same command reads it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from upbring import durable
from upbring.data.read.format_readers import MAX_RANKED
from upbring.errors import InputError
from upbring.evaluate.human_votes import Votes, read_votes
from upbring.evaluate.model_protocol import Dialogue, format_prompt
from upbring.evaluate.preference import ModelAnswers
from upbring.maths import counter_rng
from upbring.plurals import format_count
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.collection.ranking_page import RANKING_PAGE_FILE, render_ranking_page

VOTES_PREFIX = "votes:"
MIN_MODELS, MAX_MODELS = 2, MAX_RANKED  # models whose answers are ranked together
PAIRS_FILE = "pairs.jsonl"


def is_human_judge(judge: str | None) -> bool:
    """Whether people judge, from the name of the judge."""
    return judge is not None and judge.startswith(VOTES_PREFIX)


def load_votes(settings: EvaluateSettings, models: Sequence[str]) -> Votes | None:
    """Return people's votes on models of these names; None if there are none yet."""
    if not MIN_MODELS <= len(models) <= MAX_MODELS:
        raise InputError(
            f"judge: people compare {MIN_MODELS} to {MAX_MODELS} models, and {len(models)} are "
            "given; change the models, or use another judge"
        )
    path = _votes_path(settings)
    return read_votes(path, models=models) if path.exists() else None


def votes_waiting_text(settings: EvaluateSettings) -> str | None:
    """Return what people must do, if their votes are missing."""
    if not is_human_judge(settings.judge) or (path := _votes_path(settings)).exists():
        return None
    return (
        f"{settings.to}: waiting for people; open {settings.to / RANKING_PAGE_FILE} in a browser, "
        f"rank the answers, save the file as {path} (for several people, a folder of that name "
        "with all their files), and run the same command again"
    )


def write_voting_page(settings: EvaluateSettings, answers: ModelAnswers) -> int:
    """Write the page on which people compare the answers; return its number of prompts."""
    rows = [
        {
            "prompt": [{"role": m.role, "content": m.content} for m in prompt],
            "responses": _shuffle_distinct(prompt, texts, seed=settings.seed),
        }
        for prompt, *texts in zip(answers.prompts, *answers.texts.values(), strict=True)
        if len({text.strip() for text in texts}) > 1
    ]
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    durable.write_text(settings.to / PAIRS_FILE, "".join(lines))
    durable.write_text(
        settings.to / RANKING_PAGE_FILE, render_ranking_page(rows, file_name=PAIRS_FILE)
    )
    return len(rows)


def check_votes(settings: EvaluateSettings, answers: ModelAnswers, votes: Votes) -> str:
    """Return how many votes count, as text; raise if none does."""
    num_other_prompts, num_other_answers = votes.count_unmatched(answers.prompts, answers.texts)
    num_valid = len(votes.votes) - num_other_prompts - num_other_answers
    reason = (
        f"{format_count(num_other_prompts, 'vote', verb='is')} about other prompts, "
        f"{num_other_answers} about answers that no model gives now"
    )
    if num_valid == 0:
        all_votes = format_count(len(votes.votes), "vote")
        raise InputError(
            f"{votes.path}: none of its {all_votes} is valid: {reason}; "
            "use the --data that was voted on, or rank the answers of "
            f"{settings.to / RANKING_PAGE_FILE} again"
        )
    ignored_note = f"; {reason}" if num_other_prompts or num_other_answers else ""
    return f"{votes.path}: {format_count(num_valid, 'valid vote')}{ignored_note}"


def _shuffle_distinct(prompt: Dialogue, texts: Sequence[str], *, seed: int) -> list[str]:
    """Return the distinct answers, in an order that does not depend on the models."""
    distinct = sorted({text.strip(): text for text in texts}.items())
    order = counter_rng.permutation(
        counter_rng.key(seed, "sides", format_prompt(prompt)), len(distinct)
    ).tolist()
    return [distinct[index][1] for index in order]


def _votes_path(settings: EvaluateSettings) -> Path:
    assert settings.judge is not None, "only called if people judge"
    file_name = settings.judge.removeprefix(VOTES_PREFIX).strip()
    if not file_name:
        raise InputError(f"judge: {VOTES_PREFIX} without a file; write {VOTES_PREFIX}votes.jsonl")
    return Path(file_name)
