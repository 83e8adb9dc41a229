"""What the browser gets of an item: texts in the annotator's order, and no model names."""

from typing import Any

from upbring.votes.records import LabelItem, LabelVote, Lease, NewVote


def item_json(item: LabelItem, lease: Lease, *, ticket: str) -> dict[str, Any]:
    """Return an item as the page shows it."""
    return {
        "ticket": ticket,
        "prompt": [{"role": m.role, "content": m.content} for m in item.prompt],
        "responses": [item.responses[number].text for number in lease.order],
        "adjudication": lease.is_adjudication,
    }


def vote_json(vote: NewVote, lease: Lease) -> dict[str, Any]:
    """Return a vote that was taken back, so that the page can show it again."""
    position = {number: index for index, number in enumerate(lease.order)}
    return {
        "outcome": vote.outcome,
        "places": None if vote.places is None else [vote.places[n] for n in lease.order],
        "all_bad": vote.all_bad,
        "demonstration": vote.demonstration,
        "edited": None if vote.edited_response is None else position[vote.edited_response],
        "flags": [
            {
                "response": None if flag.response is None else position[flag.response],
                "reason": flag.reason,
            }
            for flag in vote.flags
        ],
        "comment": vote.comment,
    }


def others_json(votes: list[LabelVote], lease: Lease) -> list[dict[str, Any]]:
    """Return the votes of others on an item to adjudicate, without their names."""
    return [
        {
            "places": [vote.vote.places[n] for n in lease.order],
            "all_bad": vote.vote.all_bad,
            "comment": vote.vote.comment,
        }
        for vote in votes
        if vote.vote.places is not None and not (vote.is_repeat or vote.adjudicated)
    ]
