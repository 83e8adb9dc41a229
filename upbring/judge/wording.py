"""The wording of a question to a language model, and how its reply is read.

Each response has a letter, and "cannot say" the letter after them. A reply counts if its first line
is such a letter alone, or its last line is "Answer:" and the letter. Everything else is prose and
not understood: a bare A also begins "A reasonable answer is B".
"""

import re
import string
from collections.abc import Mapping, Sequence

import numpy as np

from upbring.data.read.records import Message
from upbring.judge.judgment import Dialogue, JudgeQuestion, OrderVerdict

VERSION = 1  # part of a judge's identity: another wording gives other judgments
ANSWER_PREFIX = "Answer:"
MIN_LABEL_MASS = 0.1  # below, the model hardly knows that a letter is expected

_DECORATION = " \t\n\r.,:;!()[]{}<>*_\"'`“”‘’#▁Ġ"
_ANSWER_LINE = re.compile(r"(?:final )?answer\W*([A-Z])\W*", re.IGNORECASE)


def labels(question: JudgeQuestion) -> str:
    """Return the letters of a question: one per response, and that of "cannot say".

    >>> labels(JudgeQuestion((), ("x", "y")))
    'ABC'
    """
    return string.ascii_uppercase[: len(question.responses) + 1]


def format_dialogue(prompt: Dialogue) -> str:
    """Return a dialogue as text; a single message has no role."""
    if len(prompt) == 1:
        return prompt[0].content
    return "\n".join(f"{message.role}: {message.content}" for message in prompt)


def judge_prompt(question: JudgeQuestion, *, has_reasoning: bool = False) -> Dialogue:
    """Return the prompt that asks a language model the question."""
    letters, cannot_say = labels(question)[:-1], labels(question)[-1]
    answers = "\n\n".join(
        f"[Answer {letter}]\n{response}"
        for letter, response in zip(letters, question.responses, strict=True)
    )
    if has_reasoning:
        task = (
            "First compare the answers in two or three sentences. Then end with a line that says "
            f"{ANSWER_PREFIX} and the letter of the better answer"
        )
    else:
        task = "Reply with the letter of the better answer alone"
    text = (
        "Here are a dialogue and different answers to its last message.\n\n"
        f"[Dialogue]\n{format_dialogue(question.prompt)}\n\n{answers}\n\n"
        f"[Question]\n{question.criterion}\n\n"
        f"{task}: {', '.join(letters)}, or {cannot_say} if you cannot say, because the answers are "
        "equally good in this respect or the question does not apply."
    )
    return (Message("user", text),)


def parse_letter(text: str, letters: str) -> str | None:
    r"""Return the letter of a reply; None if it is not understood.

    >>> parse_letter("(A).", "ABC"), parse_letter("B is polite.\n**Answer: B**", "ABC")
    ('A', 'B')
    >>> parse_letter("A reasonable answer is C", "ABC") is None
    True
    """
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if not lines:
        return None
    first = lines[0].strip(_DECORATION)
    if len(first) == 1 and first in letters:
        return first
    match = _ANSWER_LINE.fullmatch(lines[-1].strip(_DECORATION))
    letter = match[1].upper() if match else None
    return letter if letter is not None and letter in letters else None


def verdict_of_letter(letter: str | None, letters: str, *, text: str = "") -> OrderVerdict:
    """Return the verdict of a single letter."""
    if letter is None:
        return OrderVerdict(None, text=text)
    return verdict_of_weights([float(each == letter) for each in letters], text=text)


def verdict_of_weights(
    weights: Sequence[float], *, label_mass: float | None = None, text: str = ""
) -> OrderVerdict:
    """Return the verdict of one weight per letter; the last is that of "cannot say"."""
    total = float(np.sum(weights))
    if not total > 0:
        return OrderVerdict(None, label_mass=label_mass, text=text)
    *choices, cannot_say = (weight / total for weight in weights)
    can_say = sum(choices)
    if can_say <= 0:
        return OrderVerdict((1 / len(choices),) * len(choices), 1.0, label_mass, text)
    return OrderVerdict(tuple(each / can_say for each in choices), cannot_say, label_mass, text)


def label_weights(logprobs: Mapping[str, float], letters: str) -> list[float]:
    """Return the probability of each letter among the alternatives to a token.

    >>> [round(w, 2) for w in label_weights({"A": -0.7, " A": -2.3, "The": -1.6}, "ABC")]
    [0.6, 0.0, 0.0]
    """
    weights = dict.fromkeys(letters, 0.0)
    for token, logprob in logprobs.items():
        if (letter := token.strip(_DECORATION)) in weights:
            weights[letter] += float(np.exp(logprob))
    return list(weights.values())
