"""The report as one HTML file that asks nobody for anything: pictures and style are inside."""

from collections.abc import Sequence
from functools import cache

from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from upbring import durable
from upbring.report import plots, sentences, texts
from upbring.report.advice import advice
from upbring.report.findings import Findings
from upbring.report.pipeline_diagram import HEIGHT, WIDTH, pipeline
from upbring.report.scorecard import Row
from upbring.report.svg import model_colours
from upbring.runs.results import Measured
from upbring.train.progress import duration
from upbring.web.templates import templates

MOST_SHOWN = 1200  # characters of an answer
MOST_ROWS = 14  # of a picture
SHAPES = "●■◆▲▼✚"  # what MARKERS look like in a text
FINE = ("exact_match", "normalised_match", "choice_accuracy_sum", "bits_per_byte", "loose")
# No script, no picture, no font from anywhere; the style is inline.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)


def page(findings: Findings, *, refresh_seconds: int | None = None) -> str:
    """Return the page; one that refreshes itself is for a server, not for a file."""
    main = [row for row in findings.scorecard if not is_fine(row)]
    template = _templates().get_template("page.html.jinja")
    text = template.render(
        f=findings,
        evidence=findings.evidence,
        policy=POLICY,
        refresh_seconds=refresh_seconds,
        verdict=sentences.verdict(findings),
        sentences=sentences,
        advice=advice(findings),
        pipeline=pipeline(findings.evidence),
        box=(WIDTH, HEIGHT),
        main=_by_suite(main),
        fine=_by_suite([row for row in findings.scorecard if is_fine(row)]),
        pictures=_pictures(findings, main),
        legend=_legend(findings),
        synthetic_told=sentences.SYNTHETIC,
    )
    return text.encode(errors="replace").decode()  # half a letter cannot be written


def is_fine(row: Row) -> bool:
    """Whether a number is a detail of another one."""
    last = row.name.rpartition("/")[2]
    return last in FINE or last.endswith("_partial") or row.name.startswith(("strict/", "loose/"))


def cut(text: str, limit: int = MOST_SHOWN) -> str:
    """Return the beginning of a text, and how long it was.

    >>> cut("abcdef", 3)
    'abc … (6 characters, cut)'
    """
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text):,} characters, cut)"


@cache
def _templates() -> ImmutableSandboxedEnvironment:
    found = templates("upbring.report")
    found.filters |= {
        "number": texts.number,
        "signed": texts.signed,
        "bounds": texts.bounds,
        "count_of": texts.count_of,
        "large": texts.large,
        "duration": duration,
        "size": durable.size,
        "cut": cut,
        "suite": lambda name: texts.title(name, texts.SUITES),
        "label": lambda name: texts.title(name, texts.NUMBERS),
    }
    return found


def _by_suite(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.suite, []).append(row)
    return found


def _legend(findings: Findings) -> list[tuple[str, str, str]]:
    """Return each model's name, colour and shape."""
    colours = model_colours(findings.evidence.models)
    return [(m, c, SHAPES[i % len(SHAPES)]) for i, (m, c) in enumerate(colours.items())]


def _pictures(findings: Findings, main: Sequence[Row]) -> dict[str, list[Markup]]:
    """Return the pictures of each section, which may have none."""
    colours = model_colours(findings.evidence.models)
    shares = [row for row in main if row.unit == "share"][:MOST_ROWS]
    rows = [(sentences.label(row), row.values) for row in shares]
    refused = _refused(findings)
    found: dict[str, list[Markup]] = {}
    if rows:
        told = sentences.scorecard(findings)
        found["scorecard"] = [plots.dots(rows, colours, name="scorecard", title=told)]
    if findings.scores:
        told = sentences.scores(findings)
        found["scores"] = [plots.distributions(findings.scores, colours, name="scores", title=told)]
    if findings.tax:
        found["tax"] = [plots.changes(findings.tax, name="tax", title=sentences.tax(findings))]
    if refused:
        told = sentences.refusals(findings)
        found["refusals"] = [plots.dots(refused, colours, name="refusals", title=told)]
    found["pursuits"] = [
        plots.pursuit(each, name=f"pursuit-{i}", title=sentences.pursuit(findings, i))
        for i, each in enumerate(findings.pursuits)
    ]
    for number, (stage, panels) in enumerate(findings.panels.items()):
        found[f"curves {stage}"] = [
            plots.panel(panel, name=f"curve-{number}-{i}", where=stage)
            for i, panel in enumerate(panels)
        ]
    return found


def _refused(findings: Findings) -> list[tuple[str, dict[str, Measured]]]:
    rows: dict[str, dict[str, Measured]] = {}
    for each in findings.refusals:
        rows.setdefault(each.name, {})[each.model] = each
    return [(texts.title(name, texts.NUMBERS), values) for name, values in rows.items()]
