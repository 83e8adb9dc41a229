"""Turns tokens into text piece by piece: never half a character, never part of a stop string."""

from collections.abc import Sequence

from upbring.data.chat.tokenizer import Tokenizer

REPLACEMENT_CHARACTER = "\ufffd"  # decoded from an incomplete character
NUM_CONTEXT_TOKENS = 6  # some tokenizers decode a token differently at the start of a text


class TextStream:
    """The text of one sample; `text` is what was released so far."""

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int], stop: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(each for each in stop if each)
        self._tokens = list(prompt[-NUM_CONTEXT_TOKENS:])
        if tokenizer.decode(self._tokens).endswith(REPLACEMENT_CHARACTER):
            self._tokens = []  # the prompt ends within a character, which is not the response's
        self._start, self._end = 0, len(self._tokens)  # of the tokens before the next piece
        self._held = ""
        self.num_released = 0
        self.is_stopped = False

    def push(self, token: int) -> str:
        """Return the text that is certain after one more token."""
        self._tokens.append(token)
        self._held += self._decode_next()
        if (found := first_stop(self._held, self._stop)) is not None:
            self.is_stopped = True
            return self._release(found)
        return self._release(len(self._held) - num_held_back(self._held, self._stop))

    def flush(self) -> str:
        """Return the rest of the text, at its end."""
        if self.is_stopped:
            return ""
        before = self._tokenizer.decode(self._tokens[self._start : self._end])
        self._held += self._tokenizer.decode(self._tokens[self._start :])[len(before) :]
        return self._release(len(self._held))

    def _decode_next(self) -> str:
        """Return the text of the tokens since the last whole character."""
        before = self._tokenizer.decode(self._tokens[self._start : self._end])
        after = self._tokenizer.decode(self._tokens[self._start :])
        if len(after) <= len(before) or after.endswith(REPLACEMENT_CHARACTER):
            return ""
        self._start, self._end = self._end, len(self._tokens)
        return after[len(before) :]

    def _release(self, count: int) -> str:
        released, self._held = self._held[:count], self._held[count:]
        self.num_released += count
        return released


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Return where the first stop string starts, or None.

    >>> first_stop("one two", ("two", "e t")), first_stop("one", ("two",))
    (2, None)
    """
    return min((text.find(stop) for stop in stops if stop in text), default=None)


def num_held_back(text: str, stops: Sequence[str]) -> int:
    r"""Return the number of trailing characters that may be the beginning of a stop string.

    >>> num_held_back("Hello wor", ("world",)), num_held_back("Hello", ("world",))
    (3, 0)
    """
    lengths = (n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n]))
    return max(lengths, default=0)
