"""Counts in messages: "1 step", not "1 steps"."""

import re
from collections.abc import Iterator

from tests.test_architecture import report, sources
from upbring.plurals import format_count

# A number of things in an f-string, and the noun in the plural that follows it.
COUNTED = re.compile(
    r"\{(?:[\w.]*\bnum_\w+|[\w.]*count|[^{}()]*\blen\([^{}]*\)(?: [-+] [^{}]+)?)(?::,)?\} "
    r"(?:[a-z-]+ )?(?!is\b|was\b|has\b|needs\b|characters\b|parameters\b)[a-z-]{2,}s\b"
)
NEVER_ONE = {  # more than one whenever they are shown
    "{len(function.positional)} arguments",
    "{num_checked} sampled rows",
    "{survey.num_tokens:,} tokens",
    "{len(scores)} scores",
    "{len(ranks)} ranks",
    "{len(second)} labels",
    "{len(tied)} branches",
    "{len(gates)} gates",
    "{num_other_answers} about answers",
    "{len(history)} steps",
    "{len(order)} responses",
    "{count} responses",
    "{num_responses} responses",
}


def test_the_verb_agrees_with_the_count_and_the_noun_with_the_total() -> None:
    assert format_count(1, "row", total=9, verb="is") == "1 of 9 rows is"
    assert format_count(0, "row", total=1, verb="is") == "0 of 1 row are"
    assert format_count(2, "chat template", verb="has") == "2 chat templates have"


def test_a_message_counts_with_format_count() -> None:
    def violations() -> Iterator[str]:
        for source in sources():
            for number, line in enumerate(source.text.splitlines(), 1):
                for found in COUNTED.finditer(line):
                    if found[0] not in NEVER_ONE:
                        yield f"{source.name}:{number}: {found[0]!r}; use format_count"

    report(violations())
