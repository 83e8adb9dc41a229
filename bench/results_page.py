"""The page `RESULTS.md`: of `results.jsonl`, the headline figures, one table per question.

A table has a row and a column for each value of the fields that its `Table` names; a cell holds the
latest value of each machine. Everything else stays in `results.jsonl`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from results import Record

HEAD = """\
# Results
Generated from [results.jsonl](results.jsonl) by `make docs`; do not edit. Each cell is the latest \
value on a machine with its interval: least–most of the rounds, or 95 %. Commands are as typed at \
their commit. Conditions, older values and all other figures: results.jsonl. Stories: \
[docs/log.md](../docs/log.md#2026-11-29--older-measurements). A ratio above 1× is a gain for \
speed, below 1× for memory. No table here: {others}.
"""
SPEED = """\
## Speed, memory and correctness
Real models have their names; `tiny` (10 million weights, V = 8,192) and `small` (255 million, \
V = 151,936) are random. In float32 TRL gets upbring's allocator; `default` is each program as its \
user starts it. How cost grows: [growth.svg](figures/growth.svg); what a shared prompt saves: \
[sharing.svg](figures/sharing.svg); SFT against TRL: [sft.svg](figures/sft.svg).
"""
QUALITY = """\
## Quality on the toy world (synthetic)
These figures are synthetic: the questions, the annotators and the graders all belong to the toy \
world, and the model has 2 million weights. They test the algorithms; they say nothing about your \
model.
"""
ROWS_SHOWN = 8
MACHINES_SHOWN = 3  # the newest
LONG = 120  # seconds that are written in minutes
FIELDS = ("metric", "model", "precision", "machine")  # that rows and columns can be
UNITS = {"×": "×", "%": " %", "s": " s", "MB": " MB"}
Key = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """One question: which metrics and models it shows, and which fields are rows and columns."""

    question: str
    metrics: tuple[str, ...]
    rows: tuple[str, ...] = ("model",)
    columns: tuple[str, ...] = ("machine", "precision")
    beside: tuple[str, ...] = ()  # metrics whose values follow in the same cell
    models: tuple[str, ...] = ()  # empty: all
    rows_shown: int = ROWS_SHOWN


def against_trl(method: str) -> Table:
    speeds = ("upbring speed", "TRL speed")
    return Table(f"speed against TRL: {method}", ("speed ratio",), beside=speeds, rows_shown=3)


SPEED_TABLES = (
    against_trl("SFT"),
    against_trl("DPO"),
    against_trl("reward model"),
    against_trl("PPO"),
    against_trl("GRPO"),
    Table(
        "memory against TRL",
        ("peak memory ratio",),
        columns=("precision",),
        models=(
            "SFT, smollm2, LoRA",
            "DPO, smollm2, LoRA",
            "GRPO, smollm2, LoRA",
            "reward model, smollm2, LoRA",
            "SFT, gemma3-270m, LoRA",
            "PPO, tiny, value trunk",
        ),
    ),
    Table("generation", ("speed ratio",), beside=("upbring speed", "transformers speed")),
    Table(
        "GGUF import and export",
        ("largest difference of a log-probability",),
        columns=("precision",),
        beside=("greedy continuations equal in llama.cpp", "texts with equal tokens in llama.cpp"),
    ),
    Table(
        "serving",
        (
            "upbring: tokens per second at 8 streams",
            "transformers serve: tokens per second at 8 streams",
            "llama.cpp: tokens per second at 8 streams",
            "upbring: tokens per second at 32 streams",
            "transformers serve: tokens per second at 32 streams",
            "llama.cpp: tokens per second at 32 streams",
        ),
        columns=("metric",),
    ),
    Table(
        "scaling",
        ("tokens/s",),
        rows=("machine",),
        columns=("model",),
        rows_shown=1,
        models=(
            "tiny, file of 1,000 rows",
            "tiny, file of 1,000,000 rows",
            "tiny, 1 process with one thread",
            "tiny, 2 processes with one thread each",
        ),
    ),
    Table("pretraining", ("tokens/s, process 1", "time of `make sprout`"), columns=("metric",)),
    Table(
        "planning accuracy",
        (
            "cases with planned memory within 0.8 to 1.2",
            "cases with planned time within a factor of 1.5",
        ),
        rows=("machine",),
        columns=("metric",),
        rows_shown=1,
    ),
    Table(
        "resume and durability",
        (
            *(f"killed and resumed to the same bytes, `{m}`" for m in ("ppo", "sft", "dpo")),
            "corrupted checkpoints found",
            "longest time until the job ends after a killed rank",
        ),
        rows=("machine",),
        columns=("metric",),
        rows_shown=2,
    ),
    Table(
        "tests and demo time",
        ("tests passed", "time of the tests", "time of the nightly tests", "time of the demo"),
        rows=("machine",),
        columns=("metric",),
        rows_shown=3,
    ),
    Table(
        "parity of losses", ("loss difference",), rows=("machine",), columns=("model",),
        rows_shown=1,
    ),
    Table(
        "refusal rules",
        ("Cohen's kappa, three classes",),
        rows=("machine",),
        columns=("model",),
        rows_shown=1,
        models=("XSTest, all, odd prompts", "XSTest, all, string match of its authors"),
    ),
)  # fmt: skip
OUTCOMES = (
    "gold reward",
    "gold reward gained",
    "facts of absent entities",
    "forms obeyed",
    "innocent refused",
    "harmful not refused",
    "perplexity of general text",
)
QUALITY_TABLES = (
    Table(
        "toy world quality: SFT",
        (
            "facts, absent entities, new phrasings",
            "form obeyed and right",
            "innocent look-alikes not refused",
            "harmful requests declined kindly",
            "questions with the evidence",
        ),
        columns=("metric",),
        models=("SFT",),
    ),
    Table(
        "toy world quality: reward model",
        tuple(
            f"all clear pairs, {kind}, seed {seed}"
            for kind in ("truth where it can be known", "manner")
            for seed in range(3)
        ),
        rows=("machine",),
        columns=("metric",),
        rows_shown=1,
    ),
    Table(
        "toy world quality: preference training",
        OUTCOMES,
        columns=("metric",),
        models=(
            "SFT",
            "DPO",
            "PPO",
            "PPO with replay",
            "PPO without KL penalty, 64 steps",
            "PPO-ptx, 64 steps",
            "PPO, annotators who like length",
        ),
    ),
    Table(
        "toy world quality: domain training",
        ("diagnoses", *OUTCOMES[2:]),
        columns=("metric",),
        models=("general", "domain data alone", "domain data with 30 % replay"),
    ),
    Table(
        "toy world quality: demo",
        (*OUTCOMES[2:6], "preferred to SFT"),
        columns=("metric",),
        models=("SFT", "DPO", "PPO"),
    ),
)


def page(records: Sequence[Record]) -> str:
    """Return the page."""
    questions = {table.question for table in SPEED_TABLES + QUALITY_TABLES}
    others = dict.fromkeys(record.figure.question for record in records)
    head = HEAD.format(others=", ".join(sorted(others.keys() - questions)))
    parts = [head, SPEED, *tables(records, SPEED_TABLES), QUALITY]
    return "".join([*parts, *tables(records, QUALITY_TABLES)])


def tables(records: Sequence[Record], specs: Iterable[Table]) -> list[str]:
    """Return the tables that have a figure."""
    every = [(spec, latest(records, spec)) for spec in specs]
    return [
        render(found, spec)
        for spec, found in every
        if any(record.figure.metric in spec.metrics for record in found.values())
    ]


def latest(records: Sequence[Record], table: Table) -> dict[Key, Record]:
    """Return the newest record of each metric, model, precision and machine of a table."""
    found: dict[Key, Record] = {}
    for record in sorted(records, key=lambda record: record.date):  # stable: later lines are newer
        figure = record.figure
        wanted = figure.metric in (*table.metrics, *table.beside)
        if figure.question == table.question and wanted:
            if table.models and figure.model not in table.models:
                continue
            key = tuple(field(record, name) for name in FIELDS)
            found.pop(key, None)  # so that the newest comes last
            found[key] = record
    machines = list(dict.fromkeys(field(r, "machine") for r in reversed(found.values())))
    kept = machines[:MACHINES_SHOWN]
    return {key: record for key, record in found.items() if field(record, "machine") in kept}


def field(record: Record, name: str) -> str:
    """Return one of `FIELDS` as text, empty where there is none."""
    if name == "machine":
        return str(record.machine["processor"])
    return getattr(record.figure, name) or ""


def render(found: dict[Key, Record], table: Table) -> str:
    """Return a table in Markdown with its heading."""
    main = [r for r in found.values() if r.figure.metric in table.metrics]
    rows = ordered(main, table, table.rows)
    columns = ordered(main, table, table.columns)
    machines = {field(record, "machine") for record in main}
    open_machine = "machine" not in table.rows + table.columns
    corner = " · ".join(table.rows)
    if len(table.metrics) == 1:
        corner = f"{table.metrics[0]} by {corner}"
    if open_machine and len(machines) == 1:
        corner += f", {machines.pop()}"
        open_machine = False
    titles = [" · ".join(filter(None, column)) for column in columns]
    lines = [f"### {table.question}"]
    lines += [f"| {corner} | {' | '.join(titles)} | measured by |"]
    lines += ["|---" * (len(columns) + 2) + "|"]
    for row in rows[: table.rows_shown]:
        inside = [r for r in main if key_of(r, table.rows) == row]
        cells = [row_label(row)]
        for column in columns:
            there = [r for r in inside if key_of(r, table.columns) == column]
            cells.append(
                "<br>".join(
                    cell(record, found, table)
                    + (f" {field(record, 'machine')}" if open_machine else "")
                    for record in there
                )
            )
        lines.append(f"| {' | '.join(cells)} | {sources(inside)} |")
    return "\n".join(lines) + "\n"


def row_label(row: Key) -> str:
    return " · ".join(filter(None, row))


def key_of(record: Record, names: Sequence[str]) -> Key:
    return tuple(field(record, name) for name in names)


def ordered(records: Sequence[Record], table: Table, names: Sequence[str]) -> list[Key]:
    """Return the distinct keys: machines newest first, metrics and models as the table says."""
    machines = dict.fromkeys(field(record, "machine") for record in reversed(records))
    listed = {"machine": tuple(machines), "metric": table.metrics, "model": table.models}

    def rank(key: Key) -> list[tuple[int, str]]:
        orders = (listed.get(name, ()) for name in names)
        pairs = zip(key, orders, strict=True)
        return [(order.index(each) if each in order else 0, each) for each, order in pairs]

    return sorted({key_of(record, names) for record in records}, key=rank)


def cell(record: Record, found: dict[Key, Record], table: Table) -> str:
    """Return a value with its interval, and the values beside it of the same measurement."""
    others = (found.get((metric, *key_of(record, FIELDS[1:]))) for metric in table.beside)
    beside = [
        f"{other.figure.metric.split()[0]} {number(other.figure.value)}"
        for other in others
        if other is not None and (other.date, other.commit) == (record.date, record.commit)
    ]
    return "; ".join([shown(record), *([", ".join(beside)] if beside else [])])


def shown(record: Record) -> str:
    """Return a value with interval and unit."""
    figure = record.figure
    if figure.unit == "s" and figure.value >= LONG:
        return minutes(figure.value)
    unit = f" {figure.unit}" if figure.unit.startswith("of ") else UNITS.get(figure.unit, "")
    text = f"{number(figure.value)}{unit}"
    if figure.low is None or figure.high is None:
        return text
    between = "–" if figure.low >= 0 else " … "
    return f"{text} ({number(figure.low)}{between}{number(figure.high)})"


def number(x: float) -> str:
    """Return a number with up to four digits, or all digits before the point.

    >>> number(2.4), number(31360), number(1.9e-6), number(-0.25)
    ('2.4', '31,360', '1.9e-6', '−0.25')
    """
    text = f"{abs(x):,.0f}" if abs(x) >= 100 else f"{abs(x):.4g}"  # noqa: PLR2004 -- three digits
    return ("−" if x < 0 else "") + text.replace("e-0", "e-")


def minutes(seconds: float) -> str:
    """Return a time in hours, minutes and seconds.

    >>> minutes(8144)
    '2 h 15 min 44 s'
    """
    whole, rest = divmod(round(seconds), 60)
    hours, whole = divmod(whole, 60)
    return f"{hours} h {whole} min {rest} s" if hours else f"{whole} min {rest} s"


def sources(records: Iterable[Record]) -> str:
    """Return the distinct commands with date and commit, newest first."""
    texts = (f"`{r.command}` ({r.date}, {r.commit})" for r in reversed(list(records)))
    return "<br>".join(dict.fromkeys(text.replace("|", "\\|") for text in texts))
