"""People as the judges of an evaluation: what they open, and where their votes are read.

    upbring evaluate A B --suite preference --data prompts.jsonl --judge votes:votes.jsonl

    evaluation/
      pairs.jsonl   prompt and the answers to it that differ; which model said what is not told
      rank.html     the page in which people rank them

The order of the answers is a draw of (seed, prompt) alone. While there is no file of votes, only
the answers are evaluated; with it the same command reads it.
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
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.collection.collect import RANKING_PAGE_FILE
from upbring.stages.collection.ranking_page import render_ranking_page

VOTES_PREFIX = "votes:"
MIN_MODELS, MAX_MODELS = 2, MAX_RANKED  # models whose answers are ranked together
PAIRS_FILE = "pairs.jsonl"


def is_human_judge(judge: str | None) -> bool:
    """Tell whether people judge, by how the judge is named."""
    return judge is not None and judge.startswith(VOTES_PREFIX)


def load_votes(settings: EvaluateSettings, models: Sequence[str]) -> Votes | None:
    """Return people's votes on models of these names; none if nobody has voted yet."""
    if not MIN_MODELS <= len(models) <= MAX_MODELS:
        raise InputError(
            f"judge: people compare {MIN_MODELS} to {MAX_MODELS} models, and {len(models)} are given; name "
            "others, or another judge"
        )
    path = _votes_path(settings)
    return read_votes(path, models=models) if path.exists() else None


def votes_waiting_text(settings: EvaluateSettings) -> str | None:
    """Return what people are to do, if their votes are waited for."""
    if not is_human_judge(settings.judge) or _votes_path(settings).exists():
        return None
    return (
        f"{settings.to}: waits for people; open {settings.to / RANKING_PAGE_FILE} in a browser, rank the "
        f"answers, save the file as {_votes_path(settings)} (of several people, a folder of that name "
        "with all their files), and run the same command again"
    )


def write_voting_page(settings: EvaluateSettings, answers: ModelAnswers) -> int:
    """Write the page in which people compare what was said; return how many prompts it has."""
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
    """Return how many votes count; refuse votes of which none does."""
    num_other_prompts, num_other_answers = votes.count_unmatched(answers.prompts, answers.texts)
    num_valid = len(votes.votes) - num_other_prompts - num_other_answers
    reason = f"{num_other_prompts} are about other prompts, {num_other_answers} about answers that no model gives now"
    if num_valid == 0:
        raise InputError(
            f"{votes.path}: none of its {len(votes.votes)} votes counts: {reason}; give the "
            f"--data that was voted on, or rank the answers of {settings.to / RANKING_PAGE_FILE} anew"
        )
    ignored_note = f"; {reason}" if num_other_prompts or num_other_answers else ""
    return f"{votes.path}: {num_valid} votes count{ignored_note}"


def _shuffle_distinct(prompt: Dialogue, texts: Sequence[str], *, seed: int) -> list[str]:
    """Return the answers that differ, in an order that tells nothing of who gave them."""
    distinct = sorted({text.strip(): text for text in texts}.items())
    order = counter_rng.permutation(
        counter_rng.key(seed, "sides", format_prompt(prompt)), len(distinct)
    ).tolist()
    return [distinct[index][1] for index in order]


def _votes_path(settings: EvaluateSettings) -> Path:
    assert settings.judge is not None, "asked where people judge"
    file_name = settings.judge.removeprefix(VOTES_PREFIX).strip()
    if not file_name:
        raise InputError(f"judge: {VOTES_PREFIX} names no file; write {VOTES_PREFIX}votes.jsonl")
    return Path(file_name)
