"""The formats that are recognised: by which fields, for which records, and how each is read.

    format                fields of a row (| means or, [] means optional)
    text                  text
    messages              messages [{role, content}] [system]
    sharegpt              conversations [{from, value}] [system]
    alpaca                instruction, output [input, system, history]
    instances             instruction, instances [{input, output}]
    prompt-response       prompt|question|query, response|completion|answer|output|answer1 [system]
    preference            prompt|question|query, chosen, rejected [margin, annotator]
    preference-implicit   chosen, rejected: dialogues that begin alike, messages or HH-RLHF's text
    alpaca-preference     instruction, chosen, rejected [input, system, history]
    sharegpt-preference   conversations|messages, chosen, rejected
    labels                any of the first four dialogues with label|kto_tag: true or false
    ranked                prompt, responses|completions, ranks (low is best) | scores (high is best)
    tree                  prompt {role, text, replies [{role, text, rank, replies}]}, rank 0 is best
    turns                 turns [text of the user's]: the first is the prompt
    prompts               prompt|question|query|instruction|messages without a response

A response (and a prompt) is text or messages. `--format preference` reads all four preference
formats; `--format columns:prompt=QUESTION,response=ANSWER` renames columns first, drops the others,
and recognises what comes out.
"""

from collections.abc import Callable
from dataclasses import dataclass

from upbring.data.read import format_readers, message_trees
from upbring.data.read.format_readers import LABELS, PROMPTS, RESPONSES, Case
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt, Record
from upbring.data.read.rows import Fields

Kind = type[Record]
Reader = Callable[[Fields], list[Case]]


@dataclass(frozen=True)
class Shape:
    """One format: how its rows look, what they are read as unasked, what they can be forced to."""

    name: str
    needs: tuple[tuple[str, ...], ...]  # one name of each group must be in a row
    read: Reader
    serves: tuple[Kind, ...]
    by_force: tuple[Kind, ...] = ()
    has: Callable[[Fields], bool] = bool  # what else must be true of a row

    def fits(self, fields: Fields) -> bool:
        """Tell whether a row looks like this format."""
        found = all(any(name in fields for name in names) for names in self.needs)
        return found and self.has(fields)

    def reader(self, want: Kind) -> Reader:
        """Return what reads a row; a prompt is read without what answers it where that is apart."""
        if self.name == "tree" and want is Demonstration:
            return message_trees.demonstrations
        if want is Prompt and self.name not in {"instances", "preference-implicit", "turns"}:
            return message_trees.prompts if self.name == "tree" else format_readers.prompts
        return self.read

    @property
    def fields(self) -> str:
        """The fields that a row needs, as a message shows them."""
        return _SHOWN_AS.get(self.name) or ", ".join(names[0] for names in self.needs)

    @property
    def uses(self) -> frozenset[str]:
        """The names of all fields that may be read."""
        if self.name == "labels":
            return _OPTIONAL.union(LABELS, *(s.uses for s in SHAPES if s.name in _ANSWERED))
        return _OPTIONAL.union(*self.needs)


def _is_tree(fields: Fields) -> bool:
    prompt = fields.get("prompt")
    return isinstance(prompt, dict) and ("replies" in prompt or "text" in prompt)


def _is_labelled(fields: Fields) -> bool:
    value = str(fields.get("label")).casefold()
    is_truth = "kto_tag" in fields or value in {"true", "false", "0", "1"}
    return is_truth and any(shape.fits(fields) for shape in SHAPES if shape.name in _ANSWERED)


_SHOWN_AS = {"tree": "prompt {text, replies}", "labels": "prompt, response, label"}
_DIALOGUES = ("messages", "conversations")
_RANKINGS = ("ranks", "scores", "labels")
_PAIR = (("chosen",), ("rejected",))
_INSTRUCTION = ("instruction",)
_ANSWERED = {"messages", "sharegpt", "alpaca", "prompt-response"}
_OPTIONAL = frozenset({"input", "system", "history", "margin", "annotator", "tools"})
_PAIRED: tuple[Kind, ...] = (Comparison, Label, Prompt)
_SHOWN: tuple[Kind, ...] = (Demonstration, Prompt)
_ALSO: tuple[Kind, ...] = (Demonstration,)


def _preference(name: str, *before: tuple[str, ...]) -> Shape:
    return Shape(name, (*before, *_PAIR), format_readers.preference, _PAIRED, _ALSO)


SHAPES: tuple[Shape, ...] = (
    Shape("tree", (("prompt",),), message_trees.comparisons, (Comparison, *_SHOWN), has=_is_tree),
    Shape(
        "ranked",
        (PROMPTS, ("responses", "completions"), _RANKINGS),
        format_readers.ranked,
        (Comparison, Prompt),
        _ALSO,
    ),
    Shape("labels", (LABELS,), format_readers.labels, (Label, Prompt), _ALSO, has=_is_labelled),
    _preference("sharegpt-preference", _DIALOGUES),
    _preference("alpaca-preference", _INSTRUCTION),
    _preference("preference", PROMPTS),
    Shape("messages", (("messages",),), format_readers.messages, _SHOWN),
    Shape("sharegpt", (("conversations",),), format_readers.messages, _SHOWN),
    Shape("instances", (_INSTRUCTION, ("instances",)), format_readers.instances, _SHOWN),
    Shape("alpaca", (_INSTRUCTION, RESPONSES), format_readers.alpaca, _SHOWN),
    Shape("prompt-response", (PROMPTS, RESPONSES), format_readers.prompt_response, _SHOWN),
    _preference("preference-implicit"),
    Shape("turns", (("turns",),), format_readers.turns, (Prompt,)),
    Shape("prompts", ((*PROMPTS, "instruction"),), format_readers.prompts, (Prompt,)),
    Shape("text", (("text",),), format_readers.prompts, (Document,)),
)
NAMES = tuple(sorted(shape.name for shape in SHAPES))
PREFERENCES = tuple(shape for shape in SHAPES if "preference" in shape.name)
COLUMNS = tuple(sorted(frozenset().union(*(shape.uses for shape in SHAPES)) - {"labels", "tools"}))
