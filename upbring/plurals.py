"""Counts with their nouns and verbs, in the singular for one."""

_PLURAL_VERBS = {"": "", "is": " are", "has": " have", "was": " were"}


def pluralize(noun: str) -> str:
    """Return the plural of a regular noun; of several words the last one changes.

    >>> pluralize("held-out row"), pluralize("entry"), pluralize("loss"), pluralize("branch")
    ('held-out rows', 'entries', 'losses', 'branches')
    """
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"


def format_count(count: int, noun: str, *, total: int | None = None, verb: str = "") -> str:
    """Return a count with its noun, out of a total if there is one, and with a verb.

    >>> format_count(1, "step"), format_count(1500, "row"), format_count(0, "entry")
    ('1 step', '1,500 rows', '0 entries')
    >>> format_count(1, "row", total=1100, verb="is"), format_count(2, "row", verb="is")
    ('1 of 1,100 rows is', '2 rows are')
    """
    words = noun if (count if total is None else total) == 1 else pluralize(noun)
    share = "" if total is None else f" of {total:,}"
    ending = _PLURAL_VERBS[verb] if count != 1 else f" {verb}".rstrip()
    return f"{count:,}{share} {words}{ending}"
