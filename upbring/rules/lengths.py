"""Counts of words, sentences and paragraphs, for languages that separate words by spaces."""

import re

_WORD = re.compile(r"[^\W_]+(?:['’.,-][^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|etc|e\.g|i\.e|No|Fig|approx)|\b[A-Z])\.$"
)


def num_words(text: str) -> int:
    """Return the number of words in the text.

    >>> num_words("It's a well-known fact: 3.5 > 2.")
    6
    """
    return len(_WORD.findall(text))


def split_sentences(text: str) -> list[str]:
    """Return the sentences; abbreviations such as Dr. and initials do not end one.

    >>> split_sentences("Dr. Who came. Did he stay? No")
    ['Dr. Who came.', 'Did he stay?', 'No']
    """
    parts, start, text_length = [], 0, len(text.rstrip())
    for match in _SENTENCE_END.finditer(text):
        is_abbreviation = match.group() == "." and match.end() < text_length
        if is_abbreviation and _ABBREVIATION.search(
            text[max(start, match.end() - 12) : match.end()]
        ):
            continue
        parts.append(text[start : match.end()].strip())
        start = match.end()
    return [*parts, rest] if (rest := text[start:].strip()) else parts


def is_one_sentence(text: str) -> bool:
    """Return whether the text is a single sentence with end punctuation.

    >>> is_one_sentence("Paris is a city."), is_one_sentence("Paris. A city.")
    (True, False)
    """
    parts = split_sentences(text)
    return len(parts) == 1 and _SENTENCE_END.search(parts[0]) is not None


def num_paragraphs(text: str) -> int:
    r"""Return the number of paragraphs, separated by blank lines.

    >>> num_paragraphs("One.\n\nTwo.\nStill two.")
    2
    """
    return len([part for part in re.split(r"\n[ \t]*\n", text) if part.strip()])
