"""How many items an interval needs; with fewer, the number of items is shown instead."""

MIN_ITEMS = 20


def too_few_text(count: int) -> str:
    """Return what stands in place of an interval.

    >>> too_few_text(12)
    'n = 12: too few to say'
    """
    return f"n = {count}: too few to say"
