"""The report as one HTML file that asks nobody for anything: pictures and style are inside."""

from collections.abc import Sequence
from functools import cache

from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from upbring import durable
from upbring.report import figures, story, wording
from upbring.report.advice import advice
from upbring.report.drawing import model_colours
from upbring.report.findings import Findings
from upbring.report.numbers import Row
from upbring.report.pipeline import HEIGHT, WIDTH, pipeline
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
        verdict=story.verdict(findings),
        story=story,
        advice=advice(findings),
        pipeline=pipeline(findings.evidence),
        box=(WIDTH, HEIGHT),
        main=_by_suite(main),
        fine=_by_suite([row for row in findings.scorecard if is_fine(row)]),
        pictures=_pictures(findings, main),
        legend=_legend(findings),
        synthetic_told=story.SYNTHETIC,
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
        "number": wording.number,
        "signed": wording.signed,
        "bounds": wording.bounds,
        "count_of": wording.count_of,
        "large": wording.large,
        "duration": duration,
        "size": durable.size,
        "cut": cut,
        "suite": lambda name: wording.title(name, wording.SUITES),
        "label": lambda name: wording.title(name, wording.NUMBERS),
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
    rows = [(story.label(row), row.values) for row in shares]
    refused = _refused(findings)
    found: dict[str, list[Markup]] = {}
    if rows:
        told = story.scorecard(findings)
        found["scorecard"] = [figures.dots(rows, colours, name="scorecard", title=told)]
    if findings.scores:
        told = story.scores(findings)
        found["scores"] = [
            figures.distributions(findings.scores, colours, name="scores", title=told)
        ]
    if findings.tax:
        found["tax"] = [figures.changes(findings.tax, name="tax", title=story.tax(findings))]
    if refused:
        told = story.refusals(findings)
        found["refusals"] = [figures.dots(refused, colours, name="refusals", title=told)]
    found["pursuits"] = [
        figures.pursuit(each, name=f"pursuit-{i}", title=story.pursuit(findings, i))
        for i, each in enumerate(findings.pursuits)
    ]
    for number, (stage, panels) in enumerate(findings.panels.items()):
        found[f"curves {stage}"] = [
            figures.panel(panel, name=f"curve-{number}-{i}", where=stage)
            for i, panel in enumerate(panels)
        ]
    return found


def _refused(findings: Findings) -> list[tuple[str, dict[str, Measured]]]:
    rows: dict[str, dict[str, Measured]] = {}
    for each in findings.refusals:
        rows.setdefault(each.name, {})[each.model] = each
    return [(wording.title(name, wording.NUMBERS), values) for name, values in rows.items()]
