"""Votes to training rows: for `reward`, `dpo`, `kto` and `sft`, in formats that `upbring` reads.

    rows         each vote                               all votes on an item together
    reward, dpo  a ranking with ties and its annotator   each pair, with the share of votes
    kto                                                  the best response is good, the worst bad
    sft          each written response with its author

Rows are in the order of the items and votes, so that the same votes give the same bytes. What is
left out is counted by reason. Nothing that an annotator flags as private data is written.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

from upbring.data.read.records import Message
from upbring.votes.counted_votes import (
    ItemVotes,
    agreed_places,
    exported_name,
    flagged_responses,
    preference_share,
    says_all_bad,
    vote_agreement,
)

Purpose = Literal["reward", "dpo", "kto", "sft"]
RowUse = Literal["votes", "consensus"]
JsonRow = dict[str, Any]
DIGITS = 6  # of shares and weights in the file


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What to write: for which method, each vote or all together, and from which agreement on."""

    purpose: Purpose
    use: RowUse
    min_agreement: float | None = None


@dataclass(slots=True)
class TrainingRows:
    """The rows, and how many items or votes were left out, by reason."""

    rows: list[JsonRow] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def to_jsonl(self) -> str:
        """Return the rows as lines of JSON."""
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows)


def make_training_rows(items: Sequence[ItemVotes], options: ExportOptions) -> TrainingRows:
    """Return the rows of all items that pass the options."""
    found = TrainingRows()
    make = _maker(options)
    for votes in items:
        reason = _reason_to_leave_out(votes, options)
        if reason:
            found.left_out[reason] += 1
        else:
            found.rows += make(votes, found.left_out)
    return found


def _maker(options: ExportOptions) -> Callable[[ItemVotes, Counter[str]], Iterator[JsonRow]]:
    if options.purpose == "sft":
        return _demonstration_rows
    if options.purpose == "kto":
        return _label_rows
    return _ranking_rows if options.use == "votes" else _pair_rows


def _reason_to_leave_out(votes: ItemVotes, options: ExportOptions) -> str:
    if flagged_responses(votes, "private"):
        return "items flagged as private data"
    if options.purpose != "sft" and not votes.rankings:
        return "items that nobody ranked"
    if options.min_agreement is None:
        return ""
    agreement = vote_agreement(votes)
    if math.isnan(agreement):
        return "items with a single ranking, whose agreement is unknown"
    is_low = agreement < options.min_agreement
    return f"items with an agreement below {options.min_agreement:g}" if is_low else ""


def _ranking_rows(votes: ItemVotes, left_out: Counter[str]) -> Iterator[JsonRow]:
    """Yield each ranking; a tie of two responses has probability ½."""
    for vote, weight in zip(votes.votes, votes.weights, strict=True):
        places = vote.vote.places
        if places is None:
            left_out["votes that rank nothing"] += 1
            continue
        is_tie = len(set(places)) == 1
        if is_tie and len(places) > 2:  # noqa: PLR2004 -- a pair can be a tie
            left_out["rankings of only ties"] += 1
            continue
        yield {
            "prompt": _to_prompt(votes.item.prompt),
            "responses": [each.text for each in votes.item.responses],
            "ranks": [1, 2] if is_tie else [*places],
            "annotator": exported_name(vote.annotator),
            **({"probability": 0.5} if is_tie else {}),
            **({} if weight == 1 else {"weight": round(weight, DIGITS)}),
        }


def _pair_rows(votes: ItemVotes, left_out: Counter[str]) -> Iterator[JsonRow]:
    """Yield each pair of responses with its share of votes; all pairs of an item have weight 1."""
    del left_out
    numbers = range(len(votes.item.responses))
    pairs = list(combinations(numbers, 2))
    names = sorted({exported_name(v.annotator) for v in votes.votes if v.vote.places is not None})
    for i, j in pairs:
        share = preference_share(votes, i, j)
        better, worse = (i, j) if share >= 0.5 else (j, i)  # noqa: PLR2004 -- the majority
        yield {
            "prompt": _to_prompt(votes.item.prompt),
            "chosen": votes.item.responses[better].text,
            "rejected": votes.item.responses[worse].text,
            "probability": round(max(share, 1 - share), DIGITS),
            **({} if len(pairs) == 1 else {"weight": round(1 / len(pairs), DIGITS)}),
            "annotators": names,
        }


def _label_rows(votes: ItemVotes, left_out: Counter[str]) -> Iterator[JsonRow]:
    """Yield the best responses as good and the worst as bad, unless all are tied.

    All are bad if most say so. A response that is flagged as harmful or false is never good.
    """
    places = agreed_places(votes)
    flagged = flagged_responses(votes, "harmful", "false")
    is_all_bad = says_all_bad(votes)
    if len(set(places)) == 1 and not is_all_bad:
        left_out["items without a best response"] += 1
        return
    for number, (place, response) in enumerate(zip(places, votes.item.responses, strict=True)):
        is_good = place == 1 and not is_all_bad
        if is_all_bad or place in {1, max(places)}:
            if is_good and number in flagged:
                left_out["best responses that are flagged as harmful or false"] += 1
                continue
            yield {
                "prompt": _to_prompt(votes.item.prompt),
                "response": response.text,
                "label": is_good,
            }


def _demonstration_rows(votes: ItemVotes, left_out: Counter[str]) -> Iterator[JsonRow]:
    """Yield each written or edited response."""
    for vote in votes.votes:
        if vote.vote.demonstration is None:
            left_out["votes without a written response"] += 1
            continue
        yield {
            "prompt": _to_prompt(votes.item.prompt),
            "response": vote.vote.demonstration,
            "annotator": exported_name(vote.annotator),
        }


def _to_prompt(prompt: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in prompt]
