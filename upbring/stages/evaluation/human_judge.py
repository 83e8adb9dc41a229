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
from upbring.data.read.format_readers import MOST_RANKED
from upbring.errors import InputError
from upbring.evaluate.human_votes import Votes, read_votes
from upbring.evaluate.model_protocol import Dialogue, spoken
from upbring.evaluate.preference import Said
from upbring.maths import counter_rng
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.collection.collect import PAGE
from upbring.stages.collection.ranking_page import ranking_page

SIGN = "votes:"
FEWEST, MOST = 2, MOST_RANKED  # models whose answers are ranked together
PAIRS = "pairs.jsonl"


def is_by_people(judge: str | None) -> bool:
    """Tell whether people judge, by how the judge is named."""
    return judge is not None and judge.startswith(SIGN)


def votes_of(settings: EvaluateSettings, models: Sequence[str]) -> Votes | None:
    """Return people's votes on models of these names; none if nobody has voted yet."""
    if not FEWEST <= len(models) <= MOST:
        raise InputError(
            f"judge: people compare {FEWEST} to {MOST} models, and {len(models)} are given; name "
            "others, or another judge"
        )
    path = _path(settings)
    return read_votes(path, models=models) if path.exists() else None


def awaited(settings: EvaluateSettings) -> str | None:
    """Return what people are to do, if their votes are waited for."""
    if not is_by_people(settings.judge) or _path(settings).exists():
        return None
    return (
        f"{settings.to}: waits for people; open {settings.to / PAGE} in a browser, rank the "
        f"answers, save the file as {_path(settings)} (of several people, a folder of that name "
        "with all their files), and run the same command again"
    )


def hand_out(settings: EvaluateSettings, said: Said) -> int:
    """Write the page in which people compare what was said; return how many prompts it has."""
    rows = [
        {
            "prompt": [{"role": m.role, "content": m.content} for m in prompt],
            "responses": _mixed(prompt, texts, seed=settings.seed),
        }
        for prompt, *texts in zip(said.prompts, *said.texts.values(), strict=True)
        if len({text.strip() for text in texts}) > 1
    ]
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    durable.write_text(settings.to / PAIRS, "".join(lines))
    durable.write_text(settings.to / PAGE, ranking_page(rows, file=PAIRS))
    return len(rows)


def counted(settings: EvaluateSettings, said: Said, votes: Votes) -> str:
    """Return how many votes count; refuse votes of which none does."""
    others, unsaid = votes.strangers(said.prompts, said.texts)
    count = len(votes.given) - others - unsaid
    why = f"{others} are about other prompts, {unsaid} about answers that no model gives now"
    if count == 0:
        raise InputError(
            f"{votes.path}: none of its {len(votes.given)} votes counts: {why}; give the "
            f"--data that was voted on, or rank the answers of {settings.to / PAGE} anew"
        )
    left = f"; {why}" if others or unsaid else ""
    return f"{votes.path}: {count} votes count{left}"


def _mixed(prompt: Dialogue, texts: Sequence[str], *, seed: int) -> list[str]:
    """Return the answers that differ, in an order that tells nothing of who gave them."""
    different = sorted({text.strip(): text for text in texts}.items())
    places = counter_rng.order(
        counter_rng.key(seed, "sides", spoken(prompt)), len(different)
    ).tolist()
    return [different[place][1] for place in places]


def _path(settings: EvaluateSettings) -> Path:
    assert settings.judge is not None, "asked where people judge"
    named = settings.judge.removeprefix(SIGN).strip()
    if not named:
        raise InputError(f"judge: {SIGN} names no file; write {SIGN}votes.jsonl")
    return Path(named)
