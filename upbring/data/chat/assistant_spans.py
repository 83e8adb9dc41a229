"""Locates the assistant's turns in a rendered dialogue, for any chat template.

An assistant turn starts where the prompt rendering of the preceding messages ends (the rendering
with `add_generation_prompt=True`), because generation starts there at inference. It ends after the
first special token that follows its content; this is the stop token:

    prompt rendering   <user>Hi<end>⏎<assistant>⏎
    full rendering     <user>Hi<end>⏎<assistant>⏎Hello<end>⏎
    turn                                         ~~~~~~~~~~

Without such a special token, the turn ends with its own text. If the template rewrites earlier
turns, the prompt rendering is no prefix of the full one, and the turn is located by its content. If
the template marks `{% generation %}`, text before the mark is not trained on; the stop token
always is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from upbring.data.chat import text_spans
from upbring.data.chat.long_dialogue import MIN_TURNS, Render, TurnPrefix, turn_prefixes
from upbring.data.chat.template import Rendering
from upbring.data.chat.text_spans import TextSpan
from upbring.data.read.records import Message
from upbring.errors import InputError

# Length of the suffix of a prompt rendering that is searched for in a rewritten text.
_TAIL_CHARACTERS = 24


@dataclass(frozen=True, slots=True)
class Turn:
    """Character offsets of an assistant turn: start, first trainable character, end.

    `is_exact_prefix`: the text before the turn equals the prompt at inference. `is_verbatim`: the
    template wrote the content unchanged.
    """

    start: int
    loss_start: int
    stop: int
    is_exact_prefix: bool
    is_verbatim: bool


@dataclass(frozen=True, slots=True)
class RenderedDialogue:
    """Messages, their rendering, the spans of its special tokens, and a render function.

    `turn_header` is the text that the template writes between a turn's start and its content.
    """

    messages: Sequence[Message]
    rendering: Rendering
    special_spans: Sequence[TextSpan]
    render: Render
    turn_header: str = ""

    def assistant_turns(self) -> list[Turn]:
        """Return the assistant's turns in order; turns that cannot be located are omitted."""
        indices = [i for i, message in enumerate(self.messages) if message.role == "assistant"]
        prefixes = self._prefixes(indices)
        exact_starts = [prefix.length or None for prefix in prefixes]
        limits = [len(self.rendering.text) if s is None else s for s in (*exact_starts, None)][1:]
        turns: list[Turn] = []
        for index, prefix, start, limit in zip(
            indices, prefixes, exact_starts, limits, strict=True
        ):
            search_from = turns[-1].stop if turns else 0
            turn_start = (
                self._locate_rewritten_turn(index, search_from, prefix=prefix.text)
                if start is None
                else start
            )
            if turn_start is not None:
                turns.append(
                    self.locate_turn(
                        index, turn_start, limit=limit, is_exact_prefix=start is not None
                    )
                )
        return turns

    def locate_turn(self, index: int, start: int, *, limit: int, is_exact_prefix: bool) -> Turn:
        """Return the turn of message `index`, which starts at `start` and ends by `limit`."""
        content_span = self.locate_content(index, start, limit=limit)
        content_end = start if content_span is None else content_span[1]
        specials = text_spans.starting_in(self.special_spans, content_end, limit)
        if specials:
            is_rewritten_last = content_span is None and index == len(self.messages) - 1
            stop = specials[-1 if is_rewritten_last else 0][1]
        else:
            stop = self._end_without_special(index, limit, content_end=content_end)
        loss_start = self._loss_start(start, stop)
        return Turn(start, loss_start, stop, is_exact_prefix, is_verbatim=content_span is not None)

    def locate_content(self, index: int, start: int, *, limit: int) -> TextSpan | None:
        """Return the span of the trimmed content of message `index` in its turn, if it is there."""
        content = self.messages[index].content.strip()
        if self.rendering.text.startswith(self.turn_header, start):
            start += len(self.turn_header)
        while (content_start := self.rendering.text.find(content, start, limit)) >= 0:
            stop = content_start + len(content)
            overlaps = text_spans.overlapping(self.special_spans, content_start, stop)
            if not overlaps:
                return content_start, stop
            start = overlaps[0][1]
        return None

    def _prefixes(self, indices: Sequence[int]) -> list[TurnPrefix]:
        """Return the prompt rendering before each assistant message."""
        text = self.rendering.text
        if len(indices) >= MIN_TURNS:
            prefixes = turn_prefixes(self.messages, text, self.render, indices=indices)
            if prefixes is not None:
                return prefixes
        rendered = [self._text_before(index) for index in indices]
        return [TurnPrefix(len(p) if text.startswith(p) else None, p) for p in rendered]

    def _text_before(self, index: int) -> str:
        """Return the prompt rendering of the messages before message `index`."""
        try:
            return self.render(self.messages[:index], True)  # noqa: FBT003 -- add_generation_prompt
        except InputError:
            if index > 0:
                raise
            return ""  # the dialogue starts with the assistant; the template rejects an empty one

    def _locate_rewritten_turn(self, index: int, search_from: int, *, prefix: str) -> int | None:
        """Return where message `index` starts in a text whose earlier part the template rewrote."""
        text = self.rendering.text
        content = self.messages[index].content.strip()
        previous_content = self.messages[index - 1].content.strip() if index else ""
        search_from = max(
            search_from, text.find(previous_content, search_from) + len(previous_content)
        )
        content_start = text.find(content, search_from) if content else -1
        if content_start < 0:
            return None
        for size in range(min(_TAIL_CHARACTERS, len(prefix)), 2, -1):
            tail = text.rfind(prefix[-size:], 0, content_start)
            if tail >= 0 and not text[tail + size : content_start].strip():
                return tail + size
        return content_start

    def _end_without_special(self, index: int, limit: int, *, content_end: int) -> int:
        """Return the end of a turn that no special token follows."""
        if index == len(self.messages) - 1:
            return limit
        closed_text = self.render(self.messages[: index + 1], False)  # noqa: FBT003 -- as above
        is_prefix = self.rendering.text.startswith(closed_text)
        return min(len(closed_text), limit) if is_prefix else content_end

    def _loss_start(self, start: int, stop: int) -> int:
        """Return the first trainable offset: the turn's start, or its `{% generation %}` mark."""
        marks = self.rendering.generation_spans  # that of an empty answer is empty
        marked = [
            *text_spans.overlapping(marks, start, stop)[:1],
            *text_spans.starting_in(marks, start, stop)[:1],
        ]
        if marked:
            return max(start, min(marked)[0])
        return stop if self.rendering.generation_spans else start
