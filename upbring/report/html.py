"""The report as one self-contained HTML file: no requests, with inline CSS and SVG."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from upbring import durable
from upbring.report import plots, sentences, texts
from upbring.report.advice import advice
from upbring.report.attack_map import SUITE as ATTACKS
from upbring.report.attack_map import attack_map
from upbring.report.findings import Findings
from upbring.report.pipeline_diagram import BOX_HEIGHT, BOX_WIDTH, pipeline_diagram
from upbring.report.scorecard import ScorecardRow
from upbring.report.svg import model_colors
from upbring.runs.results import CONTAMINATION, EvalResult
from upbring.train.progress import format_duration
from upbring.web.templates import make_template_environment

MAX_ANSWER_LENGTH = 1200  # characters of a response
MAX_PLOT_ROWS = 14
MARKER_SYMBOLS = "●■◆▲▼✚"  # the plot markers as text, in the same order
DETAIL_NAMES = ("exact_match", "normalised_match", "choice_accuracy_sum", "bits_per_byte", "loose")
# Blocks scripts, external images and fonts; only inline CSS is allowed.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)


def page(findings: Findings, *, refresh_seconds: int | None = None) -> str:
    """Return the HTML page; `refresh_seconds` makes a served page reload itself."""
    main = [row for row in findings.scorecard if not is_detail(row)]
    template = _environment().get_template("page.html.jinja")
    text = template.render(
        f=findings,
        evidence=findings.evidence,
        policy=CONTENT_SECURITY_POLICY,
        refresh_seconds=refresh_seconds,
        verdict=sentences.verdict(findings),
        sentences=sentences,
        advice=advice(findings),
        pipeline=pipeline_diagram(findings.evidence),
        box=(BOX_WIDTH, BOX_HEIGHT),
        main=_by_suite(main),
        details=_by_suite([row for row in findings.scorecard if is_detail(row)]),
        plots=_draw_plots(findings, main),
        attacks=attack_map(findings.evidence),
        legend=_legend(findings),
        synthetic_note=sentences.SYNTHETIC_NOTE,
    )
    return text.encode(errors="replace").decode()  # lone surrogates cannot be encoded


def is_detail(row: ScorecardRow) -> bool:
    """Whether a metric is a variant of another one and belongs in the details table."""
    last = row.name.rpartition("/")[2]
    return (
        last in DETAIL_NAMES
        or last.endswith("_partial")
        or row.name.startswith(("strict/", "loose/"))
        or (row.suite == ATTACKS and "/" in row.name)
    )


def truncate(text: str, limit: int = MAX_ANSWER_LENGTH) -> str:
    """Return the beginning of a text and its full length.

    >>> truncate("abcdef", 3)
    'abc … (truncated, 6 characters)'
    """
    return text if len(text) <= limit else f"{text[:limit]} … (truncated, {len(text):,} characters)"


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = make_template_environment("upbring.report")
    environment.filters |= {
        "number": texts.format_number,
        "signed": texts.format_signed,
        "bounds": texts.format_interval,
        "count_of": texts.count_or_no,
        "large": texts.format_large,
        "duration": format_duration,
        "size": durable.format_size,
        "cut": truncate,
        "suite": lambda name: texts.title(name, texts.SUITE_TITLES),
        "label": lambda name: texts.title(name, texts.RESULT_TITLES),
        "source_lines": texts.source_lines,
    }
    return environment


def _by_suite(rows: Sequence[ScorecardRow]) -> dict[str, list[ScorecardRow]]:
    by_suite: dict[str, list[ScorecardRow]] = {}
    for row in rows:
        by_suite.setdefault(row.suite, []).append(row)
    return by_suite


def _legend(findings: Findings) -> list[tuple[str, str, str]]:
    """Return each model's name, color and marker."""
    colors = model_colors(findings.evidence.models)
    return [
        (m, c, MARKER_SYMBOLS[i % len(MARKER_SYMBOLS)]) for i, (m, c) in enumerate(colors.items())
    ]


def _draw_plots(findings: Findings, main: Sequence[ScorecardRow]) -> dict[str, list[Markup]]:
    """Return the plots of each section; a section without data has none."""
    colors = model_colors(findings.evidence.models)
    shares = [row for row in main if row.unit == "share" and row.suite != CONTAMINATION]
    rows = _labelled(shares[:MAX_PLOT_ROWS])
    refusal_rows = _refusal_rows(findings)
    drawn: dict[str, list[Markup]] = {}
    if rows:
        caption = sentences.scorecard(findings)
        drawn["scorecard"] = [plots.dots(rows, colors, name="scorecard", title=caption)]
    if findings.scores:
        caption = sentences.scores(findings)
        drawn["scores"] = [
            plots.distributions(findings.scores, colors, name="scores", title=caption)
        ]
    if findings.alignment_tax:
        drawn["tax"] = [
            plots.changes(
                findings.alignment_tax, name="tax", title=sentences.alignment_tax(findings)
            )
        ]
    if refusal_rows:
        caption = sentences.refusals(findings)
        drawn["refusals"] = [plots.dots(refusal_rows, colors, name="refusals", title=caption)]
    drawn["overoptimization"] = [
        plots.overoptimization(
            each, name=f"overoptimization-{i}", title=sentences.overoptimization(findings, i)
        )
        for i, each in enumerate(findings.overoptimization)
    ]
    for number, (stage, panels) in enumerate(findings.panels.items()):
        drawn[f"curves {stage}"] = [
            plots.panel(panel, name=f"curve-{number}-{i}", stage=stage)
            for i, panel in enumerate(panels)
        ]
    return drawn


def _labelled(rows: Sequence[ScorecardRow]) -> list[tuple[str, Mapping[str, EvalResult]]]:
    """Return the values of each row with its label; a label of several rows gets their suites."""
    counts = Counter(sentences.label(row) for row in rows)
    return [
        (label if counts[label] == 1 else f"{label} ({row.suite})", row.values)
        for row in rows
        for label in [sentences.label(row)]
    ]


def _refusal_rows(findings: Findings) -> list[tuple[str, dict[str, EvalResult]]]:
    rows: dict[str, dict[str, EvalResult]] = {}
    for each in findings.refusals:
        rows.setdefault(each.name, {})[each.model] = each
    return [(texts.title(name, texts.RESULT_TITLES), values) for name, values in rows.items()]
