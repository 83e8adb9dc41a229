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
the price of needing no new token; `dialogue_problems` reports it.

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
from upbring.data.chat.assistant_spans import RenderedDialogue, Turn
from upbring.data.chat.segments import Draft, Piece
from upbring.data.chat.template import ChatTemplate, Rendering, TextSpan
from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.read.records import Message
from upbring.data.trees.tree import Tree, make_tree
from upbring.errors import InputError

Turns = Literal["all", "last"]
RejectHandler = Callable[[str, InputError], None]
RowT = TypeVar("RowT")

_TURNS_TEMPLATE = (
    "{% for message in messages %}"
    "### {{ message['role'] | capitalize }}\n"
    "{{ message['content'] | trim }}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}\n\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}### Assistant\n{% endif %}"
)
DEFAULT_TEMPLATES = (_TURNS_TEMPLATE, "{{ bos_token }}" + _TURNS_TEMPLATE)
_MARKER = "### Assistant"
_MARKER_LINE = re.compile(rf"^{_MARKER}\s*$", re.MULTILINE)
_ROWS_PER_CHUNK = 512
_PROBE_DIALOGUE = (
    Message("user", "qzxping"),
    Message("assistant", "qzxpong"),
    Message("user", "qzxping"),
)


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
    def stop_token_ids(self) -> tuple[int, ...]:
        """The tokens that end an assistant's turn: what the template writes after it, and EOS."""
        token_ids: list[int] = []
        for probe in (
            _PROBE_DIALOGUE[:2],
            _PROBE_DIALOGUE,
        ):  # some mark the end by the next turn's beginning
            dialogue = self._render_dialogue(probe, add_generation_prompt=False)
            for turn in dialogue.assistant_turns()[
                :1
            ]:  # none, if the template leaves out what is said
                ends = [begin for begin, stop in dialogue.special_spans if stop == turn.stop]
                if ends and not token_ids:
                    token_ids.append(
                        self.tokenizer.special_token_ids[
                            dialogue.rendering.text[ends[0] : turn.stop]
                        ]
                    )
        if self.tokenizer.eos_token_id is not None:
            token_ids.append(self.tokenizer.eos_token_id)
        return tuple(dict.fromkeys(token_ids))

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides which tokens a dialogue becomes."""
        day = self.today.isoformat() if "strftime_now" in self.template else ""
        fingerprint_inputs = json.dumps([self.tokenizer.fingerprint, self.template, day])
        return hashlib.sha256(fingerprint_inputs.encode()).hexdigest()

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        """Return the dialogue's text; `add_generation_prompt` ends it where the assistant is to speak next."""
        return self._render(messages, add_generation_prompt=add_generation_prompt).text

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens after which the assistant is to speak next."""
        parts = [piece.parts for piece in self._prompt_pieces(messages)[1]]
        return list(itertools.chain(*segments.encode_pieces(parts, self.tokenizer)))

    def encode_demonstration(self, messages: Sequence[Message], *, turns: Turns, key: str) -> Tree:
        """Return one branch with all of the assistant's turns, or with the last one alone.

        Tokens of the assistant weigh 1, and what others say between them 0.
        """
        return next(self.encode_demonstrations([(messages, key)], turns=turns))

    def encode_comparison(
        self, prompt: Sequence[Message], responses: Sequence[str], *, key: str
    ) -> Tree:
        """Return the prompt with a branch for each response, in their order."""
        return next(self.encode_comparisons([(prompt, responses, key)]))

    def encode_demonstrations(
        self,
        rows: Iterable[tuple[Sequence[Message], str]],
        *,
        turns: Turns,
        on_reject: RejectHandler | None = None,
    ) -> Iterator[Tree]:
        """Yield the tree of each dialogue and key, many encoded at once.

        A row that fails is handed to `on_reject` with its key, and left out; without it, it raises.
        """

        def draft(row: tuple[Sequence[Message], str]) -> Draft:
            return self._draft_demonstration(row[0], turns=turns, key=row[1])

        yield from self._encode_rows(rows, draft, key=lambda row: row[1], on_reject=on_reject)

    def encode_comparisons(
        self,
        rows: Iterable[tuple[Sequence[Message], Sequence[str], str]],
        *,
        on_reject: RejectHandler | None = None,
    ) -> Iterator[Tree]:
        """Yield the tree of each prompt, responses and key; see `encode_demonstrations`."""

        def draft(row: tuple[Sequence[Message], Sequence[str], str]) -> Draft:
            return self._draft_comparison(row[0], row[1], key=row[2])

        yield from self._encode_rows(rows, draft, key=lambda row: row[2], on_reject=on_reject)

    @functools.cached_property
    def _compiled_template(self) -> ChatTemplate:
        """The template, ready to render."""
        return ChatTemplate(self.template, self.today)

    def _render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> Rendering:
        """Return the dialogue's text, with what its messages quote."""
        return self._compiled_template.render(
            messages,
            add_generation_prompt=add_generation_prompt,
            special_tokens_map=self.tokenizer.special_tokens_map,
            special_pattern=self.tokenizer.special_pattern,
        )

    def _render_dialogue(
        self, messages: Sequence[Message], *, add_generation_prompt: bool
    ) -> RenderedDialogue:
        """Return the rendered dialogue, in which turns can be found."""
        rendering = self._render(messages, add_generation_prompt=add_generation_prompt)
        special_spans = segments.find_special_spans(rendering, self.tokenizer)
        turn_header = self._turn_header if messages[1:] != _PROBE_DIALOGUE[1:2] else ""
        return RenderedDialogue(messages, rendering, special_spans, self._render_text, turn_header)

    @functools.cached_property
    def _turn_header(self) -> str:
        """What the template writes between a turn's start and its content."""
        dialogue = self._render_dialogue(_PROBE_DIALOGUE[:2], add_generation_prompt=False)
        for turn in dialogue.assistant_turns():  # none, if the template leaves out what is said
            content_span = dialogue.locate_content(1, turn.start, limit=turn.stop)
            if content_span is not None:
                return dialogue.rendering.text[turn.start : content_span[0]]
        return ""

    def _render_text(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:  # noqa: FBT001 -- as Dialogue asks
        """Return the text of a dialogue."""
        return self.render(messages, add_generation_prompt=add_generation_prompt)

    def _prompt_pieces(self, messages: Sequence[Message]) -> tuple[str, tuple[Piece, ...]]:
        """Return the open dialogue's text, and it cut where the assistant spoke before."""
        dialogue = self._render_dialogue(messages, add_generation_prompt=True)
        text = dialogue.rendering.text
        return text, self._cut_at_turns(dialogue, dialogue.assistant_turns(), (0, len(text)))

    def _cut_at_turns(
        self,
        dialogue: RenderedDialogue,
        turns: Sequence[Turn],
        span: TextSpan,
        *,
        first: int | None = None,
    ) -> tuple[Piece, ...]:
        """Return the text of a span, cut at every turn; turns from number `first` on weigh 1."""
        start, stop = span
        cuts = {start, stop}
        for turn in turns:
            cuts |= {p for p in (turn.start, turn.loss_start, turn.stop) if start < p < stop}
        sorted_cuts = sorted(cuts)
        parts = segments.cut_into_pieces(
            dialogue.rendering,
            sorted_cuts,
            special_spans=dialogue.special_spans,
            tokenizer=self.tokenizer,
        )
        weighted_turns = turns[first:] if first is not None else ()
        return tuple(
            Piece(
                part,
                float(
                    any(turn.loss_start <= start_position < turn.stop for turn in weighted_turns)
                ),
            )
            for start_position, part in zip(sorted_cuts, parts, strict=False)
        )

    def _draft_demonstration(self, messages: Sequence[Message], *, turns: Turns, key: str) -> Draft:
        """Return a dialogue as a draft."""
        if not messages or messages[-1].role != "assistant":
            raise InputError("the dialogue does not end with the assistant; cut it there")
        dialogue = self._render_dialogue(messages, add_generation_prompt=False)
        assistant_turns = dialogue.assistant_turns()
        num_assistant_messages = sum(message.role == "assistant" for message in messages)
        is_rewritten = len(assistant_turns) < num_assistant_messages or not all(
            turn.is_verbatim for turn in assistant_turns[:-1]
        )
        if not assistant_turns or (turns == "all" and is_rewritten):
            raise InputError(
                "the chat template rewrites what the assistant said in earlier turns, so they "
                "cannot be learned from; learn the last turn alone (turns: last)"
            )
        first = 0 if turns == "all" else len(assistant_turns) - 1
        start, stop = assistant_turns[first].start, assistant_turns[-1].stop
        prompt_pieces = self._cut_at_turns(dialogue, assistant_turns, (0, start)) if start else ()
        response_pieces = self._cut_at_turns(dialogue, assistant_turns, (start, stop), first=first)
        return _check_draft(Draft(prompt_pieces, (response_pieces,), key))

    def _draft_comparison(
        self, prompt: Sequence[Message], responses: Sequence[str], *, key: str
    ) -> Draft:
        """Return a prompt and its responses as a draft."""
        open_text, prompt_pieces = self._prompt_pieces(prompt)
        branches = []
        for response in responses:
            messages = (*prompt, Message("assistant", response))
            dialogue = self._render_dialogue(messages, add_generation_prompt=False)
            text = dialogue.rendering.text
            if not text.startswith(open_text):
                raise InputError(
                    f"the chat template asks for an answer with {open_text[-30:]!r}, which it does "
                    "not write before a given answer; pass another one with --chat-template FILE"
                )
            turn = dialogue.locate_turn(
                len(prompt), len(open_text), limit=len(text), is_exact_prefix=True
            )
            branches.append(self._cut_at_turns(dialogue, [turn], (turn.start, turn.stop), first=0))
        return _check_draft(Draft(prompt_pieces, tuple(branches), key))

    def _encode_rows(
        self,
        rows: Iterable[RowT],
        draft: Callable[[RowT], Draft],
        *,
        key: Callable[[RowT], str],
        on_reject: RejectHandler | None,
    ) -> Iterator[Tree]:
        """Yield the trees of the rows, some hundreds encoded at once."""
        row_iterator = iter(rows)
        while chunk := list(itertools.islice(row_iterator, _ROWS_PER_CHUNK)):
            drafts = []
            for row in chunk:
                try:
                    drafts.append(draft(row))
                except InputError as error:
                    if on_reject is None:
                        raise InputError(
                            f"{key(row)}: {error}" if key(row) else f"{error}"
                        ) from error
                    on_reject(key(row), error)
            yield from segments.encode_drafts(drafts, self.tokenizer)


def make_chat(
    tokenizer: Tokenizer, *, template: str | None = None, today: dt.datetime | None = None
) -> Chat:
    """Return the chat of `template`, else of the tokenizer's own, else of the default one."""
    source = template if template is not None else tokenizer.chat_template
    if source is None:
        if tokenizer.eos_token_id is None:
            raise InputError(
                "tokenizer: it has no token that ends a text, and the model has no chat template; "
                "name eos_token in tokenizer_config.json, or pass a template with --chat-template FILE"
            )
        source = DEFAULT_TEMPLATES[tokenizer.adds_bos]
    chat = Chat(tokenizer, source, today or dt.datetime.now().astimezone())
    if not chat.stop_token_ids:
        raise InputError(
            "chat template: it writes no control token after an answer, and the tokenizer has no "
            "eos_token, so that a model would never stop; pass another one with --chat-template FILE"
        )
    return chat


def encode_document(text: str, *, tokenizer: Tokenizer, max_length: int, key: str) -> list[Tree]:
    """Return a text to learn to continue, cut in trees of at most `max_length` tokens.

    It begins with BOS if the tokenizer begins texts so, and ends with EOS if there is one. Each
    tree repeats the last token of the one before it as its prompt, so that every token but the
    first is learned once.
    """
    return list(encode_documents([(text, key)], tokenizer=tokenizer, max_length=max_length))


def encode_documents(
    rows: Iterable[tuple[str, str]], *, tokenizer: Tokenizer, max_length: int
) -> Iterator[Tree]:
    """Yield the trees of each text and key, many encoded at once; see `encode_document`."""
    prefix = (
        [tokenizer.bos_token_id]
        if tokenizer.adds_bos and tokenizer.bos_token_id is not None
        else []
    )
    suffix = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    row_iterator = iter(rows)
    while chunk := list(itertools.islice(row_iterator, _ROWS_PER_CHUNK)):
        encoded = tokenizer.encode_batch([text for text, _ in chunk], trusted=False)
        for (_, key), text_tokens in zip(chunk, encoded, strict=True):
            tokens = [*prefix, *text_tokens, *suffix] if text_tokens else []
            for i in range(0, len(tokens) - 1, max_length - 1):
                yield make_tree(tokens[i : i + 1], tokens[i + 1 : i + max_length], key=key)


def dialogue_problems(chat: Chat, messages: Sequence[Message]) -> list[str]:
    """Return what is wrong with how a dialogue that ends with the assistant is learned, if any."""
    encoded = chat.encode_demonstration(messages, turns="last", key="")
    problems = token_problems(chat, encoded)
    if encoded.prompt.tolist() != chat.encode_prompt(messages[:-1]):
        problems.append(
            "training and serving differ: the chat template asks for an answer with "
            f"{chat.render(messages[:-1], add_generation_prompt=True)[-30:]!r}, which it does not write before a "
            "given answer; pass another one with --chat-template FILE"
        )
    return problems + fake_turn_problems(chat, messages)


def token_problems(chat: Chat, encoded: Tree) -> list[str]:
    """Return those faults that the tokens alone tell, at little cost; any branch may have them."""
    problems = []
    stops = set(chat.stop_token_ids)
    weighted_tokens = [branch.tokens[branch.weight > 0].tolist() for branch in encoded.branches]
    if not all(stops.intersection(tokens) for tokens in weighted_tokens):
        problems.append(
            "no stop token is learned, so that the model would never stop: the chat template "
            "writes none after the assistant's last turn; pass another one with --chat-template FILE"
        )
    bos = chat.tokenizer.bos_token_id
    if bos is not None and encoded.prompt[:2].tolist() == [bos, bos]:
        problems.append(
            f"the text begins with {chat.tokenizer.bos_token!r} twice: the chat template writes it "
            "twice; correct the template"
        )
    return problems


def fake_turn_problems(chat: Chat, messages: Sequence[Message]) -> list[str]:
    """Return the fault of a message that looks like a turn of the default template."""
    if not chat.is_default:
        return []
    problem = (
        f"a message contains the line {_MARKER!r}, by which the default template marks a turn; "
        "remove it, or use a template with control tokens"
    )
    return [problem] if any(_MARKER_LINE.search(m.content) for m in messages) else []


def _check_draft(draft: Draft) -> Draft:
    """Return the draft, if there is something to begin with and something to learn."""
    if not any(piece.parts for piece in draft.prompt):
        raise InputError(
            "the chat template writes nothing before the assistant's first turn; begin the "
            "dialogue with the user, or pass another template with --chat-template FILE"
        )
    for branch in draft.branches:
        if not any(piece.parts and piece.weight for piece in branch):
            raise InputError(
                "the chat template leaves nothing to learn of the assistant's turn; write an "
                "answer, or pass another template with --chat-template FILE"
            )
    return draft
