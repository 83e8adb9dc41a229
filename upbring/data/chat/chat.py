"""Dialogues to tokens: which tokens a model is asked with, and which of them it learns.

The text of a dialogue is what the model's chat template makes of it (`template.py`). Training and
serving see the same tokens by construction: `Chat.prompt(messages)` is what the model is served,
and the prompt of `Chat.demonstration(messages)` is exactly that (`pieces.py`, `spans.py`).

A base model that has no template gets this one, which needs no new token. Turns are lines of plain
text, contents are trimmed, the text begins with BOS if the tokenizer begins texts so, and EOS ends
an assistant's turn:

    ### User
    What is the capital of France?

    ### Assistant
    Paris.<eos>

    ### User
    …

Its markers are text, so a message that contains the line `### Assistant` imitates a turn. That is
the price of needing no new token; `faults` reports it.

Left out: cutting what is too long (the caller's), and tools, which no template is given.
"""

import datetime as dt
import functools
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from upbring.data.chat import segments
from upbring.data.chat.assistant_spans import Dialogue, Turn
from upbring.data.chat.segments import Draft, Piece
from upbring.data.chat.template import Rendering, Span, Template
from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.read.records import Message
from upbring.data.trees.tree import Tree, tree
from upbring.errors import InputError

Turns = Literal["all", "last"]
Refuse = Callable[[str, InputError], None]
Row = TypeVar("Row")

_TURNS = (
    "{% for message in messages %}"
    "### {{ message['role'] | capitalize }}\n"
    "{{ message['content'] | trim }}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}\n\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}### Assistant\n{% endif %}"
)
DEFAULT_TEMPLATES = (_TURNS, "{{ bos_token }}" + _TURNS)
_MARKER = "### Assistant"
_MARKER_LINE = re.compile(rf"^{_MARKER}\s*$", re.MULTILINE)
_ROWS_AT_ONCE = 512
_PROBE = (Message("user", "qzxping"), Message("assistant", "qzxpong"), Message("user", "qzxping"))


@dataclass(frozen=True, eq=False)
class Chat:
    """A tokenizer and a chat template.

    `today` is the time that the template is told when it asks; a run that is resumed passes the
    time of its beginning, so that it renders the same.
    """

    tokenizer: Tokenizer
    template: str
    today: dt.datetime = field(default_factory=dt.datetime.now)

    @property
    def is_default(self) -> bool:
        """Whether the template is the default one."""
        return self.template in DEFAULT_TEMPLATES

    @functools.cached_property
    def stops(self) -> tuple[int, ...]:
        """The tokens that end an assistant's turn: what the template writes after it, and EOS."""
        stops: list[int] = []
        for probe in (_PROBE[:2], _PROBE):  # some mark the end by the next turn's beginning
            dialogue = self._dialogue(probe, is_open=False)
            for turn in dialogue.turns()[:1]:  # none, if the template leaves out what is said
                ends = [begin for begin, stop in dialogue.controls if stop == turn.stop]
                if ends and not stops:
                    stops.append(self.tokenizer.specials[dialogue.whole.text[ends[0] : turn.stop]])
        if self.tokenizer.eos is not None:
            stops.append(self.tokenizer.eos)
        return tuple(dict.fromkeys(stops))

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides which tokens a dialogue becomes."""
        day = self.today.isoformat() if "strftime_now" in self.template else ""
        decides = json.dumps([self.tokenizer.fingerprint, self.template, day])
        return hashlib.sha256(decides.encode()).hexdigest()

    def render(self, messages: Sequence[Message], *, is_open: bool) -> str:
        """Return the dialogue's text; `is_open` ends it where the assistant is to speak next."""
        return self._rendering(messages, is_open=is_open).text

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens after which the assistant is to speak next."""
        parts = [piece.parts for piece in self._prompt(messages)[1]]
        return list(itertools.chain(*segments.encode(parts, self.tokenizer)))

    def demonstration(self, messages: Sequence[Message], *, turns: Turns, key: str) -> Tree:
        """Return one branch with all of the assistant's turns, or with the last one alone.

        Tokens of the assistant weigh 1, and what others say between them 0.
        """
        return next(self.demonstrations([(messages, key)], turns=turns))

    def comparison(self, prompt: Sequence[Message], responses: Sequence[str], *, key: str) -> Tree:
        """Return the prompt with a branch for each response, in their order."""
        return next(self.comparisons([(prompt, responses, key)]))

    def demonstrations(
        self,
        rows: Iterable[tuple[Sequence[Message], str]],
        *,
        turns: Turns,
        refuse: Refuse | None = None,
    ) -> Iterator[Tree]:
        """Yield the tree of each dialogue and key, many encoded at once.

        A row that fails is handed to `refuse` with its key, and left out; without it, it raises.
        """

        def draft(row: tuple[Sequence[Message], str]) -> Draft:
            return self._demonstration(row[0], turns=turns, key=row[1])

        yield from self._grown(rows, draft, key=lambda row: row[1], refuse=refuse)

    def comparisons(
        self,
        rows: Iterable[tuple[Sequence[Message], Sequence[str], str]],
        *,
        refuse: Refuse | None = None,
    ) -> Iterator[Tree]:
        """Yield the tree of each prompt, responses and key; see `demonstrations`."""

        def draft(row: tuple[Sequence[Message], Sequence[str], str]) -> Draft:
            return self._comparison(row[0], row[1], key=row[2])

        yield from self._grown(rows, draft, key=lambda row: row[2], refuse=refuse)

    @functools.cached_property
    def _compiled(self) -> Template:
        """The template, ready to render."""
        return Template(self.template, self.today)

    def _rendering(self, messages: Sequence[Message], *, is_open: bool) -> Rendering:
        """Return the dialogue's text, with what its messages quote."""
        return self._compiled.render(
            messages,
            is_open=is_open,
            names=self.tokenizer.names,
            control=self.tokenizer.control,
        )

    def _dialogue(self, messages: Sequence[Message], *, is_open: bool) -> Dialogue:
        """Return the rendered dialogue, in which turns can be found."""
        whole = self._rendering(messages, is_open=is_open)
        controls = segments.control_spans(whole, self.tokenizer)
        heading = self._heading if messages[1:] != _PROBE[1:2] else ""
        return Dialogue(messages, whole, controls, self._text, heading)

    @functools.cached_property
    def _heading(self) -> str:
        """What the template writes between a turn's start and its content."""
        dialogue = self._dialogue(_PROBE[:2], is_open=False)
        for turn in dialogue.turns():  # none, if the template leaves out what is said
            found = dialogue.content(1, turn.start, limit=turn.stop)
            if found is not None:
                return dialogue.whole.text[turn.start : found[0]]
        return ""

    def _text(self, messages: Sequence[Message], is_open: bool) -> str:  # noqa: FBT001 -- as Dialogue asks
        """Return the text of a dialogue."""
        return self.render(messages, is_open=is_open)

    def _prompt(self, messages: Sequence[Message]) -> tuple[str, tuple[Piece, ...]]:
        """Return the open dialogue's text, and it cut where the assistant spoke before."""
        dialogue = self._dialogue(messages, is_open=True)
        text = dialogue.whole.text
        return text, self._pieces(dialogue, dialogue.turns(), (0, len(text)))

    def _pieces(
        self, dialogue: Dialogue, turns: Sequence[Turn], span: Span, *, first: int | None = None
    ) -> tuple[Piece, ...]:
        """Return the text of a span, cut at every turn; turns from number `first` on weigh 1."""
        start, stop = span
        places = {start, stop}
        for turn in turns:
            places |= {p for p in (turn.start, turn.learned, turn.stop) if start < p < stop}
        ordered = sorted(places)
        parts = segments.cut(
            dialogue.whole, ordered, controls=dialogue.controls, tokenizer=self.tokenizer
        )
        weighty = turns[first:] if first is not None else ()
        return tuple(
            Piece(part, float(any(turn.learned <= place < turn.stop for turn in weighty)))
            for place, part in zip(ordered, parts, strict=False)
        )

    def _demonstration(self, messages: Sequence[Message], *, turns: Turns, key: str) -> Draft:
        """Return a dialogue as a draft."""
        if not messages or messages[-1].role != "assistant":
            raise InputError("the dialogue does not end with the assistant; cut it there")
        dialogue = self._dialogue(messages, is_open=False)
        found = dialogue.turns()
        num_spoken = sum(message.role == "assistant" for message in messages)
        rewritten = len(found) < num_spoken or not all(turn.is_whole for turn in found[:-1])
        if not found or (turns == "all" and rewritten):
            raise InputError(
                "the chat template rewrites what the assistant said in earlier turns, so they "
                "cannot be learned from; learn the last turn alone (turns: last)"
            )
        first = 0 if turns == "all" else len(found) - 1
        start, stop = found[first].start, found[-1].stop
        before = self._pieces(dialogue, found, (0, start)) if start else ()
        spoken = self._pieces(dialogue, found, (start, stop), first=first)
        return _checked(Draft(before, (spoken,), key))

    def _comparison(
        self, prompt: Sequence[Message], responses: Sequence[str], *, key: str
    ) -> Draft:
        """Return a prompt and its responses as a draft."""
        opened, before = self._prompt(prompt)
        branches = []
        for response in responses:
            messages = (*prompt, Message("assistant", response))
            dialogue = self._dialogue(messages, is_open=False)
            text = dialogue.whole.text
            if not text.startswith(opened):
                raise InputError(
                    f"the chat template asks for an answer with {opened[-30:]!r}, which it does "
                    "not write before a given answer; pass another one with --template FILE"
                )
            turn = dialogue.turn(len(prompt), len(opened), limit=len(text), is_served=True)
            branches.append(self._pieces(dialogue, [turn], (turn.start, turn.stop), first=0))
        return _checked(Draft(before, tuple(branches), key))

    def _grown(
        self,
        rows: Iterable[Row],
        draft: Callable[[Row], Draft],
        *,
        key: Callable[[Row], str],
        refuse: Refuse | None,
    ) -> Iterator[Tree]:
        """Yield the trees of the rows, some hundreds encoded at once."""
        waiting = iter(rows)
        while some := list(itertools.islice(waiting, _ROWS_AT_ONCE)):
            drafts = []
            for row in some:
                try:
                    drafts.append(draft(row))
                except InputError as error:
                    if refuse is None:
                        raise InputError(
                            f"{key(row)}: {error}" if key(row) else f"{error}"
                        ) from error
                    refuse(key(row), error)
            yield from segments.grow(drafts, self.tokenizer)


def make_chat(
    tokenizer: Tokenizer, *, template: str | None = None, today: dt.datetime | None = None
) -> Chat:
    """Return the chat of `template`, else of the tokenizer's own, else of the default one."""
    source = template if template is not None else tokenizer.template
    if source is None:
        if tokenizer.eos is None:
            raise InputError(
                "tokenizer: it has no token that ends a text, and the model has no chat template; "
                "name eos_token in tokenizer_config.json, or pass a template with --template FILE"
            )
        source = DEFAULT_TEMPLATES[tokenizer.adds_bos]
    chat = Chat(tokenizer, source, today or dt.datetime.now().astimezone())
    if not chat.stops:
        raise InputError(
            "chat template: it writes no control token after an answer, and the tokenizer has no "
            "eos_token, so that a model would never stop; pass another one with --template FILE"
        )
    return chat


def document(text: str, *, tokenizer: Tokenizer, max_length: int, key: str) -> list[Tree]:
    """Return a text to learn to continue, cut in trees of at most `max_length` tokens.

    It begins with BOS if the tokenizer begins texts so, and ends with EOS if there is one. Each
    tree repeats the last token of the one before it as its prompt, so that every token but the
    first is learned once.
    """
    return list(documents([(text, key)], tokenizer=tokenizer, max_length=max_length))


def documents(
    rows: Iterable[tuple[str, str]], *, tokenizer: Tokenizer, max_length: int
) -> Iterator[Tree]:
    """Yield the trees of each text and key, many encoded at once; see `document`."""
    begin = [tokenizer.bos] if tokenizer.adds_bos and tokenizer.bos is not None else []
    end = [tokenizer.eos] if tokenizer.eos is not None else []
    waiting = iter(rows)
    while some := list(itertools.islice(waiting, _ROWS_AT_ONCE)):
        encoded = tokenizer.encode_many([text for text, _ in some], trusted=False)
        for (_, key), inner in zip(some, encoded, strict=True):
            tokens = [*begin, *inner, *end] if inner else []
            for i in range(0, len(tokens) - 1, max_length - 1):
                yield tree(tokens[i : i + 1], tokens[i + 1 : i + max_length], key=key)


def faults(chat: Chat, messages: Sequence[Message]) -> list[str]:
    """Return what is wrong with how a dialogue that ends with the assistant is learned, if any."""
    learned = chat.demonstration(messages, turns="last", key="")
    found = flaws(chat, learned)
    if learned.prompt.tolist() != chat.prompt(messages[:-1]):
        found.append(
            "training and serving differ: the chat template asks for an answer with "
            f"{chat.render(messages[:-1], is_open=True)[-30:]!r}, which it does not write before a "
            "given answer; pass another one with --template FILE"
        )
    return found + imitations(chat, messages)


def flaws(chat: Chat, learned: Tree) -> list[str]:
    """Return those faults that the tokens alone tell, at little cost; any branch may have them."""
    found = []
    stops = set(chat.stops)
    learnable = [branch.tokens[branch.weight > 0].tolist() for branch in learned.branches]
    if not all(stops.intersection(tokens) for tokens in learnable):
        found.append(
            "no stop token is learned, so that the model would never stop: the chat template "
            "writes none after the assistant's last turn; pass another one with --template FILE"
        )
    bos = chat.tokenizer.bos
    if bos is not None and learned.prompt[:2].tolist() == [bos, bos]:
        found.append(
            f"the text begins with {chat.tokenizer.bos_text!r} twice: the chat template writes it "
            "twice; correct the template"
        )
    return found


def imitations(chat: Chat, messages: Sequence[Message]) -> list[str]:
    """Return the fault of a message that looks like a turn of the default template."""
    if not chat.is_default:
        return []
    found = (
        f"a message contains the line {_MARKER!r}, by which the default template marks a turn; "
        "remove it, or use a template with control tokens"
    )
    return [found] if any(_MARKER_LINE.search(m.content) for m in messages) else []


def _checked(draft: Draft) -> Draft:
    """Return the draft, if there is something to begin with and something to learn."""
    if not any(piece.parts for piece in draft.prompt):
        raise InputError(
            "the chat template writes nothing before the assistant's first turn; begin the "
            "dialogue with the user, or pass another template with --template FILE"
        )
    for branch in draft.branches:
        if not any(piece.parts and piece.weight for piece in branch):
            raise InputError(
                "the chat template leaves nothing to learn of the assistant's turn; write an "
                "answer, or pass another template with --template FILE"
            )
    return draft
