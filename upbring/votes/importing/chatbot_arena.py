"""Votes from Chatbot Arena: rows with two conversations, the models, the winner and the judge.

The conversations of several turns have different prompts before the last response; they are left
out, as are battles with images and with an empty turn, which the public files have. *tie (bothbad)*
is a tie.
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
    for side in ("a", "b"):
        reason = _reason_to_leave_out(row.fields[f"conversation_{side}"])
        if reason:
            found.left_out[reason] += 1
            return
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
            parse_time(row.fields.get("tstamp") or row.fields.get("timestamp")),
        )
    )


def _reason_to_leave_out(conversation: object) -> str:
    """Return why a battle with this conversation is left out, or '' if it is not."""
    turns = conversation if isinstance(conversation, list) else []
    for content in (
        turn["content"] for turn in turns if isinstance(turn, dict) and "content" in turn
    ):
        parts = content if isinstance(content, list) else [{"text": content}]
        parts = [part for part in parts if isinstance(part, dict)]
        if any(part.get("type", "text") != "text" for part in parts):
            return "battles with content that is not text"
        if not any(str(part.get("text") or "").strip() for part in parts):
            return "battles with an empty turn"
    return ""
