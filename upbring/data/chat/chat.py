"""Encodes dialogues: the prompt tokens for inference, and the trainable tokens for training.

The model's chat template renders a dialogue to text (`template.py`). Training and inference use the
same tokens by construction: the prompt of `Chat.encode_demonstration(messages, turns="last")`
equals `Chat.encode_prompt(messages[:-1])` (`segments.py`, `assistant_spans.py`).

A base model without a chat template uses `default_template.py`.

Left out: truncation (the caller's task) and tools (no template receives any).
"""

import datetime as dt
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from upbring.data.chat import text_pieces, text_spans
from upbring.data.chat.assistant_spans import RenderedDialogue, Turn
from upbring.data.chat.default_template import DEFAULT_TEMPLATES
from upbring.data.chat.template import ChatTemplate, Rendering
from upbring.data.chat.text_pieces import Draft, Piece
from upbring.data.chat.text_spans import TextSpan
from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.chat.written_content import require_written
from upbring.data.read.records import Message
from upbring.data.trees.tree import Tree, make_tree
from upbring.errors import InputError

Turns = Literal["all", "last"]
RejectHandler = Callable[[str, InputError], None]
RowT = TypeVar("RowT")

_ROWS_PER_CHUNK = 512
_PROBE_DIALOGUE = (
    Message("user", "qzxping"),
    Message("assistant", "qzxpong"),
    Message("user", "qzxping"),
)


@dataclass(frozen=True, eq=False)
class Chat:
    """A tokenizer and a chat template.

    `today` is the time that `strftime_now` formats. A resumed run passes the time of its first
    start, so that it renders the same text.
    """

    tokenizer: Tokenizer
    template: str
    today: dt.datetime = field(default_factory=dt.datetime.now)

    @property
    def is_default(self) -> bool:
        """Whether the template is the default template."""
        return self.template in DEFAULT_TEMPLATES

    @functools.cached_property
    def stop_token_ids(self) -> tuple[int, ...]:
        """The tokens that end an assistant turn: the one that the template writes, and EOS."""
        token_ids: list[int] = []
        # The second probe is for templates that mark a turn's end by the next turn's start.
        for probe in (_PROBE_DIALOGUE[:2], _PROBE_DIALOGUE):
            dialogue = self._render_dialogue(probe, add_generation_prompt=False)
            # There is no turn if the template does not write the assistant's content.
            for turn in dialogue.assistant_turns()[:1]:
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

    @functools.cached_property
    def untrained_opening(self) -> str:
        """What only a generated answer starts with, such as `<think>`; '' if nothing."""
        written = self.render(_PROBE_DIALOGUE[:2], add_generation_prompt=False)
        opened = self.render(_PROBE_DIALOGUE[:1], add_generation_prompt=True)
        pairs = itertools.takewhile(
            lambda pair: pair[0] == pair[1], zip(written, opened, strict=False)
        )
        return opened[len([*pairs]) :]

    @property
    def fingerprint(self) -> str:
        """A hash of everything that determines a dialogue's tokens."""
        day = self.today.isoformat() if "strftime_now" in self.template else ""
        fingerprint_inputs = json.dumps([self.tokenizer.fingerprint, self.template, day])
        return hashlib.sha256(fingerprint_inputs.encode()).hexdigest()

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        """Return the dialogue's text, as `apply_chat_template(tokenize=False)` does."""
        return self._render(messages, add_generation_prompt=add_generation_prompt).text

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the prompt tokens after which the model generates the next assistant turn."""
        parts = [piece.parts for piece in self._prompt_pieces(messages)[1]]
        return list(itertools.chain(*text_pieces.encode_pieces(parts, self.tokenizer)))

    def encode_demonstration(self, messages: Sequence[Message], *, turns: Turns, key: str) -> Tree:
        """Return a tree with one branch: all assistant turns, or only the last one.

        Assistant tokens have weight 1; tokens of other roles between them have weight 0.
        """
        return next(self.encode_demonstrations([(messages, key)], turns=turns))

    def encode_comparison(
        self, prompt: Sequence[Message], responses: Sequence[str], *, key: str
    ) -> Tree:
        """Return a tree of the prompt with one branch per response, in order."""
        return next(self.encode_comparisons([(prompt, responses, key)]))

    def encode_demonstrations(
        self,
        rows: Iterable[tuple[Sequence[Message], str]],
        *,
        turns: Turns,
        on_reject: RejectHandler | None = None,
    ) -> Iterator[Tree]:
        """Yield the tree of each (dialogue, key), encoded in batches.

        A row that fails is passed to `on_reject` with its key and omitted; without `on_reject`, the
        error is raised.
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
        """Yield the tree of each (prompt, responses, key); see `encode_demonstrations`."""

        def draft(row: tuple[Sequence[Message], Sequence[str], str]) -> Draft:
            return self._draft_comparison(row[0], row[1], key=row[2])

        yield from self._encode_rows(rows, draft, key=lambda row: row[2], on_reject=on_reject)

    @functools.cached_property
    def compiled_template(self) -> ChatTemplate:
        """The compiled template."""
        return ChatTemplate(self.template, self.today)

    def _render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> Rendering:
        """Return the dialogue's text, with the spans where a message spells a special token."""
        return self.compiled_template.render(
            messages,
            add_generation_prompt=add_generation_prompt,
            special_tokens_map=self.tokenizer.special_tokens_map,
            special_pattern=self.tokenizer.special_pattern,
        )

    def _render_dialogue(
        self, messages: Sequence[Message], *, add_generation_prompt: bool
    ) -> RenderedDialogue:
        """Return the rendered dialogue, for locating its turns."""
        rendering = self._render(messages, add_generation_prompt=add_generation_prompt)
        special_spans = text_pieces.find_special_spans(rendering, self.tokenizer)
        turn_header = self._turn_header if messages[1:] != _PROBE_DIALOGUE[1:2] else ""
        return RenderedDialogue(messages, rendering, special_spans, self._render_text, turn_header)

    @functools.cached_property
    def _turn_header(self) -> str:
        """The text that the template writes between a turn's start and its content."""
        dialogue = self._render_dialogue(_PROBE_DIALOGUE[:2], add_generation_prompt=False)
        # There is no turn if the template does not write the assistant's content.
        for turn in dialogue.assistant_turns():
            content_span = dialogue.locate_content(1, turn.start, limit=turn.stop)
            if content_span is not None:
                return dialogue.rendering.text[turn.start : content_span[0]]
        return ""

    def _render_text(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:  # noqa: FBT001 -- `assistant_spans.Render`
        """Return a dialogue's text."""
        return self.render(messages, add_generation_prompt=add_generation_prompt)

    def _prompt_pieces(self, messages: Sequence[Message]) -> tuple[str, tuple[Piece, ...]]:
        """Return the prompt's text, whole and cut at the earlier assistant turns."""
        dialogue = self._render_dialogue(messages, add_generation_prompt=True)
        text = dialogue.rendering.text
        require_written(messages[-1].content, text, role=messages[-1].role)
        return text, self._cut_at_turns(dialogue, dialogue.assistant_turns(), (0, len(text)))

    def _cut_at_turns(
        self,
        dialogue: RenderedDialogue,
        turns: Sequence[Turn],
        span: TextSpan,
        *,
        first: int | None = None,
    ) -> tuple[Piece, ...]:
        """Return the text of a span, cut at every turn; turns from index `first` have weight 1."""
        start, stop = span
        cuts = {start, stop}
        for turn in turns:
            cuts |= {p for p in (turn.start, turn.loss_start, turn.stop) if start < p < stop}
        sorted_cuts = sorted(cuts)
        parts = text_pieces.cut_into_pieces(
            dialogue.rendering,
            sorted_cuts,
            special_spans=dialogue.special_spans,
            tokenizer=self.tokenizer,
        )
        weighted = [(t.loss_start, t.stop) for t in turns[first:]] if first is not None else []
        return tuple(
            Piece(part, float(bool(text_spans.overlapping(weighted, position, position + 1))))
            for position, part in zip(sorted_cuts, parts, strict=False)
        )

    def _draft_demonstration(self, messages: Sequence[Message], *, turns: Turns, key: str) -> Draft:
        """Return the draft of a dialogue."""
        if not messages or messages[-1].role != "assistant":
            raise InputError(
                "the dialogue does not end with an assistant message; remove the messages after "
                "the last answer"
            )
        dialogue = self._render_dialogue(messages, add_generation_prompt=False)
        assistant_turns = dialogue.assistant_turns()
        num_assistant_messages = sum(message.role == "assistant" for message in messages)
        is_rewritten = len(assistant_turns) < num_assistant_messages or not all(
            turn.is_verbatim for turn in assistant_turns[:-1]
        )
        if not assistant_turns or (turns == "all" and is_rewritten):
            raise InputError(
                "the chat template rewrites the assistant's earlier turns, so they cannot be "
                "trained on; train on the last turn only (turns: last)"
            )
        _require_written_turn(dialogue, assistant_turns[-1])
        first = 0 if turns == "all" else len(assistant_turns) - 1
        start, stop = assistant_turns[first].start, assistant_turns[-1].stop
        prompt_pieces = self._cut_at_turns(dialogue, assistant_turns, (0, start)) if start else ()
        response_pieces = self._cut_at_turns(dialogue, assistant_turns, (start, stop), first=first)
        return text_pieces.check_draft(Draft(prompt_pieces, (response_pieces,), key))

    def _draft_comparison(
        self, prompt: Sequence[Message], responses: Sequence[str], *, key: str
    ) -> Draft:
        """Return the draft of a prompt and its responses."""
        dialogues = [
            self._render_dialogue(
                (*prompt, Message("assistant", each)), add_generation_prompt=False
            )
            for each in responses
        ]
        open_text, prompt_pieces = self._prompt_pieces(prompt)
        if all(dialogue.rendering.text.startswith(open_text) for dialogue in dialogues):
            turns = [
                dialogue.locate_turn(
                    len(prompt),
                    len(open_text),
                    limit=len(dialogue.rendering.text),
                    is_exact_prefix=True,
                )
                for dialogue in dialogues
            ]
        else:
            turns = _last_turns(dialogues, open_text)
            earlier_turns = dialogues[0].assistant_turns()[:-1]
            prompt_pieces = self._cut_at_turns(dialogues[0], earlier_turns, (0, turns[0].start))
        branches = []
        for dialogue, turn in zip(dialogues, turns, strict=True):
            _require_written_turn(dialogue, turn)
            branches.append(self._cut_at_turns(dialogue, [turn], (turn.start, turn.stop), first=0))
        return text_pieces.check_draft(Draft(prompt_pieces, tuple(branches), key))

    def _encode_rows(
        self,
        rows: Iterable[RowT],
        draft: Callable[[RowT], Draft],
        *,
        key: Callable[[RowT], str],
        on_reject: RejectHandler | None,
    ) -> Iterator[Tree]:
        """Yield the trees of the rows, encoded in chunks."""
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
            yield from text_pieces.encode_drafts(drafts, self.tokenizer)


def make_chat(
    tokenizer: Tokenizer, *, template: str | None = None, today: dt.datetime | None = None
) -> Chat:
    """Return a chat with `template`, the tokenizer's own template, or the default one."""
    source = template if template is not None else tokenizer.chat_template
    if source is None:
        if tokenizer.eos_token_id is None:
            raise InputError(
                "tokenizer: there is no eos_token, and the model has no chat template; set "
                "eos_token in tokenizer_config.json, or pass a template with --chat-template FILE"
            )
        source = DEFAULT_TEMPLATES[tokenizer.adds_bos]
    chat = Chat(tokenizer, source, today or dt.datetime.now().astimezone())
    if not chat.stop_token_ids:
        raise InputError(
            "chat template: it writes no special token after an answer, and the tokenizer has no "
            "eos_token, so generation would never stop; pass another template with "
            "--chat-template FILE"
        )
    return chat


def encode_document(text: str, *, tokenizer: Tokenizer, max_length: int, key: str) -> list[Tree]:
    """Return a document for language modeling as trees of at most `max_length` tokens.

    The text starts with BOS if the tokenizer adds it, and ends with EOS if there is one. Each
    tree's prompt repeats the last token of the tree before it, so that every token except the first
    is trained on exactly once.
    """
    return list(encode_documents([(text, key)], tokenizer=tokenizer, max_length=max_length))


def encode_documents(
    rows: Iterable[tuple[str, str]], *, tokenizer: Tokenizer, max_length: int
) -> Iterator[Tree]:
    """Yield the trees of each (text, key), encoded in batches; see `encode_document`."""
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


def _last_turns(dialogues: Sequence[RenderedDialogue], open_text: str) -> list[Turn]:
    """Return the last turns where the generation prompt opens a block, such as `<think>`.

    The template does not write it before an existing answer, so the prompt ends where that starts.
    """
    turns, prefixes = [], set()
    for dialogue in dialogues:
        located = dialogue.assistant_turns()
        if len(located) == sum(message.role == "assistant" for message in dialogue.messages):
            turns.append(located[-1])
            prefixes.add(dialogue.rendering.text[: located[-1].start])
    if len(turns) < len(dialogues) or len(prefixes) != 1:
        raise InputError(
            f"the chat template's generation prompt ends with {open_text[-30:]!r}, which it does "
            "not write before an existing answer, and what it writes there differs from answer to "
            "answer; pass a template without it with --chat-template FILE"
        )
    return turns


def _require_written_turn(dialogue: RenderedDialogue, turn: Turn) -> None:
    """Raise if the template writes nothing of the last message, or of the one before it."""
    text = dialogue.rendering.text
    for message in dialogue.messages[-2:-1]:
        require_written(message.content, text[: turn.start], role=message.role)
    if not turn.is_verbatim:
        last = dialogue.messages[-1]
        require_written(last.content, text[turn.start : turn.stop], role=last.role)
