"""The samples of an evaluation as a table: the texts, and every single number of a response."""

from collections.abc import Mapping, Sequence

from upbring.durable import JSON

TEXTS = ("prompt", "response")
NAME = "samples"  # of the table in a tracker


def sample_table(
    step: int, samples: Sequence[Mapping[str, JSON]]
) -> tuple[list[str], list[list[JSON]]]:
    """Return the columns and the rows.

    >>> sample_table(2, [{"prompt": "a", "response": "b", "reward": 0.5, "tokens": ["b"]}])
    (['step', 'prompt', 'response', 'reward'], [[2, 'a', 'b', 0.5]])
    """
    numbers = dict.fromkeys(
        name
        for sample in samples
        for name, value in sample.items()
        if isinstance(value, int | float) and name not in {"step", "time"}
    )
    names = [*TEXTS, *numbers]
    rows: list[list[JSON]] = [[step, *(sample.get(name) for name in names)] for sample in samples]
    return ["step", *names], rows


def sample_markdown(samples: Sequence[Mapping[str, JSON]]) -> str:
    """Return the samples as Markdown in which their own Markdown is shown as it stands.

    >>> print(sample_markdown([{"prompt": "a", "response": "*b*", "reward": 0.5}]))
    **prompt**
    <BLANKLINE>
        a
    <BLANKLINE>
    **response**
    <BLANKLINE>
        *b*
    <BLANKLINE>
    reward 0.5
    """
    return "\n\n---\n\n".join(_sample_markdown(sample) for sample in samples)


def _sample_markdown(sample: Mapping[str, JSON]) -> str:
    columns, (row,) = sample_table(0, [sample])
    parts = []
    for name, value in zip(columns[1:], row[1:], strict=True):
        if name in TEXTS:
            lines = str(value).splitlines() or [""]
            parts.append("\n".join([f"**{name}**", "", *(f"    {line}" for line in lines)]))
        else:
            parts.append(f"{name} {value:.4g}")
    return "\n\n".join(parts)
