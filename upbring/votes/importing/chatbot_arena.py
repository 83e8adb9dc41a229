"""Votes from Chatbot Arena: rows with two conversations, the models, the winner and the judge.

The conversations of several turns have different prompts before the last response; they are left
out. *tie (bothbad)* is a tie.
"""

from upbring.data.read import dialogue
from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Fields, Row
from upbring.errors import format_value
from upbring.votes.importing.imported_vote import ImportedVote, ImportedVotes, parse_time
from upbring.votes.records import LabelResponse

PLACES = {"model_a": (1, 2), "model_b": (2, 1)}
TIES = ("tie", "tie (bothbad)", "bothbad", "both_bad")


def is_chatbot_arena(fields: Fields) -> bool:
    """Whether a row is a battle of Chatbot Arena."""
    return {"conversation_a", "conversation_b", "winner"} <= fields.keys()


def read_chatbot_arena(row: Row, found: ImportedVotes) -> None:
    """Add the vote of one battle."""
    prompts, responses = [], []
    for side in ("a", "b"):
        path = f"conversation_{side}"
        messages = dialogue.check_turn_order(dialogue.parse_messages(row.fields[path], path), path)
        if messages[-1].role != "assistant":
            raise RowError(
                path, f"its last turn has role {messages[-1].role}", "end with the model"
            )
        prompts.append(messages[:-1])
        model = row.fields.get(f"model_{side}")
        responses.append(
            LabelResponse(messages[-1].content, model if isinstance(model, str) else "")
        )
    if prompts[0] != prompts[1]:
        found.left_out["battles whose dialogues differ before the last response"] += 1
        return
    winner = str(row.fields["winner"]).strip().casefold()
    if winner not in PLACES and winner not in TIES:
        found_text = f"is {format_value(row.fields['winner'])}"
        raise RowError("winner", found_text, f"write {', '.join([*PLACES, *TIES[:2]])}")
    annotator = row.fields.get("judge") or row.fields.get("judge_hash") or "arena"
    found.votes.append(
        ImportedVote(
            row.line,
            prompts[0],
            tuple(responses),
            PLACES.get(winner, (1, 1)),
            str(annotator),
            parse_time(row.fields.get("tstamp")),
        )
    )
