"""Where the assistant speaks in a rendered dialogue, for any template.

An assistant's turn begins where the *open* rendering of the messages before it ends, for that is
where it will begin when the model is served, and it ends after the first control token that follows
its content, which is the one that stops the model:

    open rendering    <user>Hi<end>⏎<assistant>⏎
    whole rendering   <user>Hi<end>⏎<assistant>⏎Hello<end>⏎
    turn                                        ~~~~~~~~~~

It ends with its own text when the template writes no control token. A template that rewrites
earlier turns breaks the first rule; then the content itself is looked for. Where a template marks
`{% generation %}`, what lies before the mark is not learned, and the stop token always is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from upbring.data.chat.template import Rendering, Span
from upbring.data.read.records import Message
from upbring.errors import InputError

Render = Callable[[Sequence[Message], bool], str]
_TAIL = 24  # characters by which the end of an open rendering is recognised in a rewritten text


@dataclass(frozen=True, slots=True)
class Turn:
    """Where an assistant's turn begins, from where it is learned, and where it ends.

    `is_served` claims that a served model begins after exactly the same text; `is_whole`, that the
    template wrote the content as it is.
    """

    start: int
    learned: int
    stop: int
    is_served: bool
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Messages, their rendering, its control tokens, and a way to render parts of the dialogue.

    `heading` is what the template writes between a turn's start and the content of an answer.
    """

    messages: Sequence[Message]
    whole: Rendering
    controls: Sequence[Span]
    render: Render
    heading: str = ""

    def turns(self) -> list[Turn]:
        """Return the assistant's turns in their order; one that cannot be found is missing."""
        indices = [i for i, message in enumerate(self.messages) if message.role == "assistant"]
        opened = [self._opened(index) for index in indices]
        served = [len(t) if t and self.whole.text.startswith(t) else None for t in opened]
        limits = [len(self.whole.text) if s is None else s for s in (*served, None)][1:]
        turns: list[Turn] = []
        for index, text, start, limit in zip(indices, opened, served, limits, strict=True):
            place = turns[-1].stop if turns else 0
            begins = self._found(index, place, opened=text) if start is None else start
            if begins is not None:
                turns.append(self.turn(index, begins, limit=limit, is_served=start is not None))
        return turns

    def turn(self, index: int, start: int, *, limit: int, is_served: bool) -> Turn:
        """Return the turn of message `index` that begins at `start` and ends at `limit` at last."""
        found = self.content(index, start, limit=limit)
        spoken = start if found is None else found[1]
        stops = [stop for begin, stop in self.controls if spoken <= begin < limit]
        if stops:
            is_rewritten_last = found is None and index == len(self.messages) - 1
            stop = stops[-1 if is_rewritten_last else 0]
        else:
            stop = self._closed(index, limit, spoken=spoken)
        learned = self._learned(start, stop)
        return Turn(start, learned, stop, is_served, is_whole=found is not None)

    def content(self, index: int, start: int, *, limit: int) -> Span | None:
        """Return where the content of message `index` lies in its turn, trimmed."""
        core = self.messages[index].content.strip()
        if self.whole.text.startswith(self.heading, start):
            start += len(self.heading)
        while (found := self.whole.text.find(core, start, limit)) >= 0:
            stop = found + len(core)
            over = [end for begin, end in self.controls if begin < stop and found < end]
            if not over:
                return found, stop
            start = over[0]
        return None

    def _opened(self, index: int) -> str:
        """Return the text before which the model would be asked to speak message `index`."""
        try:
            return self.render(self.messages[:index], True)  # noqa: FBT003 -- open
        except InputError:
            if index > 0:
                raise
            return ""  # the assistant speaks first, and the template renders no empty dialogue

    def _found(self, index: int, place: int, *, opened: str) -> int | None:
        """Return where message `index` begins in a text whose beginning the template rewrote."""
        text = self.whole.text
        core = self.messages[index].content.strip()
        before = self.messages[index - 1].content.strip() if index else ""
        place = max(place, text.find(before, place) + len(before))
        found = text.find(core, place) if core else -1
        if found < 0:
            return None
        for size in range(min(_TAIL, len(opened)), 2, -1):
            tail = text.rfind(opened[-size:], 0, found)
            if tail >= 0 and not text[tail + size : found].strip():
                return tail + size
        return found

    def _closed(self, index: int, limit: int, *, spoken: int) -> int:
        """Return where a turn ends that no control token ends."""
        if index == len(self.messages) - 1:
            return limit
        closed = self.render(self.messages[: index + 1], False)  # noqa: FBT003 -- closed
        is_prefix = self.whole.text.startswith(closed)
        return min(len(closed), limit) if is_prefix else spoken

    def _learned(self, start: int, stop: int) -> int:
        """Return from where a turn is learned: from its start, unless the template marks turns."""
        marked = [
            begin
            for begin, end in self.whole.generated
            if start <= begin < stop or begin < start < end
        ]
        if marked:
            return max(start, marked[0])
        return stop if self.whole.generated else start
