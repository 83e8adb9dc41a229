"""Guess which columns of a file hold the prompt, the response and so on, from their names.

Names that differ from the field names only in case or spacing are read (`Question`, `Answer`), and
so are names with the same meaning (`query`, `reply`), if only one column can be meant. Names that
only contain such a word (`LONG_ANSWER`) give a suggestion in an error message.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from upbring.data.read.format_readers import LABEL_FIELDS, PROMPT_FIELDS, RESPONSE_FIELDS
from upbring.data.read.format_table import COLUMN_NAMES, RecordType
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt
from upbring.data.read.rows import Fields
from upbring.data.read.winner import find_pair

PROMPT_WORDS = ("prompt", "question", "instruction", "query", "request", "behavior", "behaviour")
RESPONSE_WORDS = ("response", "completion", "answer", "output", "reply", "solution", "target")
_CHOSEN_WORDS = ("chosen", "preferred", "better", "good", "best")
_REJECTED_WORDS = ("rejected", "dispreferred", "worse", "bad", "worst")
_MEANINGS: dict[str, tuple[str, ...]] = {
    "prompt": (
        *PROMPT_FIELDS,
        *("instruction", "input", "request", "problem", "user", "human", "user_message"),
    ),
    "response": (
        *RESPONSE_FIELDS,
        *("reply", "solution", "target", "assistant", "bot", "gpt", "assistant_message"),
    ),
    "chosen": ("chosen", "preferred", "accepted", "chosen_response", "preferred_response"),
    "rejected": (
        *("rejected", "dispreferred", "nonpreferred", "rejected_response"),
        "dispreferred_response",
    ),
    "label": (*LABEL_FIELDS, "thumbs_up", "is_good"),
    "system": ("system", "system_prompt"),
}
_ROLES: dict[RecordType, tuple[str, ...]] = {
    Demonstration: ("prompt", "response"),
    Comparison: ("prompt", "chosen", "rejected"),
    Label: ("prompt", "response", "label"),
}
_FREE_TEXT_WORDS = 4  # on average, in a column that is probably a text of its own


def plain_name(name: str) -> str:
    """Return a column name in the spelling of field names.

    >>> plain_name(" Chosen Response ")
    'chosen_response'
    """
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def respelled_columns(names: Sequence[str]) -> dict[str, str]:
    """Return {field: column} for all columns that are fields, but for case and spaces; {} if none.

    Two columns for one field are left out: either may be meant.
    """
    plain = [plain_name(name) for name in names]
    counts, pair = Counter(plain), find_pair(plain)
    fields = {*COLUMN_NAMES, *(pair.fields if pair else ())}
    columns = {
        field: name
        for field, name in zip(plain, names, strict=True)
        if field in fields and counts[field] == 1
    }
    return columns if any(field != name for field, name in columns.items()) else {}


def same_meaning_columns(names: Sequence[str], want: RecordType) -> dict[str, str]:
    """Return {field: column} if exactly one column can be each field of the record type, else {}.

    A label and a system message are included, so that a label still decides what is trained on.
    """
    plain = {name: plain_name(name) for name in names}
    required_roles = _ROLES.get(want, ())
    columns = {}
    for role in (*required_roles, "label", "system"):
        candidates = [name for name in names if plain[name] in _MEANINGS[role]]
        if len(candidates) == 1:
            columns[role] = candidates[0]
        elif role in required_roles:
            return {}
    return columns if required_roles else {}


def similar_names(names: Iterable[str], words: tuple[str, ...]) -> list[str]:
    """Return the names that equal one of the words (ignoring case), else those that contain one.

    >>> similar_names({"Behavior": 1, "BehaviorID": 2}, ("behavior",))
    ['Behavior']
    """
    plain = [name for name in names if name.isprintable()]
    equal = [name for name in plain if name.casefold() in words]
    return equal or [name for name in plain if any(word in name.casefold() for word in words)]


def suggest_columns(names: Sequence[str], want: RecordType) -> str:
    """Return the columns for `--format columns:`, with COLUMN where no name fits.

    >>> suggest_columns(["QUESTION", "LONG_ANSWER", "id"], Demonstration)
    'prompt=QUESTION,response=LONG_ANSWER'
    """

    def first(role: str, words: tuple[str, ...]) -> str:
        found = [n for n in names if plain_name(n) in _MEANINGS[role]] or similar_names(
            names, words
        )
        return f"{role}={found[0] if found else 'COLUMN'}"

    prompt, response = first("prompt", PROMPT_WORDS), first("response", RESPONSE_WORDS)
    suggestions: dict[RecordType, str] = {
        Document: "text=COLUMN",
        Prompt: prompt,
        Demonstration: f"{prompt},{response}",
        Comparison: f"{prompt},{first('chosen', _CHOSEN_WORDS)},"
        f"{first('rejected', _REJECTED_WORDS)}",
        Label: f"{prompt},{response},label=COLUMN",
    }
    return suggestions[want]


def response_like_columns(unread: Iterable[str], rows: Sequence[Fields]) -> list[str]:
    """Return the unread columns that may be responses, by their name or because they are texts."""
    names = list(unread)
    pair = find_pair(map(plain_name, names))
    words = {*_MEANINGS["response"], *_CHOSEN_WORDS, *_REJECTED_WORDS, "winner"}
    words |= set(pair.fields) if pair else set()
    return [
        name
        for name in names
        if plain_name(name) in words
        or any(word in name.casefold() for word in RESPONSE_WORDS)
        or _is_free_text(name, rows)
    ]


def _is_free_text(name: str, rows: Sequence[Fields]) -> bool:
    """Return whether most rows have a different text of several words in this column."""
    texts = [value for row in rows if isinstance(value := row.get(name), str) and value.strip()]
    num_words = sum(len(text.split()) for text in texts)
    is_distinct = len(set(texts)) > len(rows) // 2
    return is_distinct and num_words >= _FREE_TEXT_WORDS * len(texts)
