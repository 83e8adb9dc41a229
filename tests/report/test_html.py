import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markupsafe import escape

from tests.report.made import WICKED, make_run
from upbring.report.build import report_json
from upbring.report.findings import Findings, compute_findings
from upbring.report.html import page
from upbring.report.read_folders import read_evidence
from upbring.report.run_data import BASE, Evidence
from upbring.report.sentences import overoptimization, verdict
from upbring.runs.results import EvalResult, JudgeQuality

SECTIONS = (
    *("verdict", "pipeline", "scorecard", "curves", "rewards", "overoptimization", "tax"),
    *("refusals", "samples", "costs", "data", "next"),
)
VOID = frozenset({"meta", "link", "br", "img", "input"})
STYLE = Path(__file__).parents[2] / "upbring" / "report" / "pages" / "page.css"


class Reader(HTMLParser):
    """Parses a page and fails on tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.names += [found["id"] or ""] if "id" in found else []
        self.links += [v or "" for k, v in attrs if k in {"href", "src", "action", "data"}]
        self.labels += (found.get("aria-labelledby") or "").split()
        assert not [key for key, _ in attrs if key.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_ids_are_unique(html: str) -> None:
    found = Reader(html)
    assert len(set(found.names)) == len(found.names)
    assert set(found.labels) <= set(found.names)
    assert set(SECTIONS) <= set(found.names)


def test_the_page_makes_no_requests(html: str) -> None:
    found = Reader(html)
    assert {"script", "img", "iframe", "object", "form"} & set(found.tags) == set()
    assert [link for link in found.links if not link.startswith("#")] == ["data:,"]
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert not re.findall(r"https?:", html)
    assert 'Content-Security-Policy" content="default-src &#39;none&#39;;' in html


def test_every_plot_has_an_alternative_text(html: str) -> None:
    pictures = re.findall(r"<svg [^>]*>\s*<title id=\"[^\"]+\">[^<]+", html)
    assert len(pictures) == html.count("<svg ")
    assert html.count("<svg ") > 20
    assert html.count('role="img"') == html.count("<svg ")


def test_every_number_that_simulated_annotators_gave_is_marked(findings: Findings) -> None:
    kept = [each for each in findings.evidence.results if each.suite == "reward_health"]
    for is_synthetic in (True, False):
        results = tuple(replace(each, is_synthetic=is_synthetic) for each in kept)
        text = page(compute_findings(Evidence("pairs", results=results)))
        assert [("†" in text), ("Judged by simulated annotators" in text)] == [
            is_synthetic,
            is_synthetic,
        ]


def test_answers_are_text_and_never_markup(html: str) -> None:
    assert WICKED not in html
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in html


@pytest.mark.parametrize("wicked", [WICKED, '"><svg onload=x>', "{{ 7 * 7 }}", "</style><b>"])
def test_no_name_becomes_markup(findings: Findings, wicked: str) -> None:
    evidence = findings.evidence
    rename = {model: f"{wicked}{model}" for model in evidence.models}
    stages = tuple(replace(s, name=wicked + s.name, command=wicked) for s in evidence.stages[:1])
    odd = Evidence(
        wicked,
        stages,
        tuple(replace(r, model=rename.get(r.model, r.model)) for r in evidence.results),
        evidence.answers[:3],
        tuple(replace(g, name=wicked, note=wicked, condition=wicked) for g in evidence.gates),
        tuple(rename.values()),
        read_errors=(wicked,),
    )
    text = page(compute_findings(odd))
    escaped = str(escape(wicked))
    assert text.count(escaped) > 10
    assert wicked not in text or escaped == wicked  # Jinja syntax has nothing to escape
    Reader(text)


def test_each_section_without_data_states_why() -> None:
    text = page(compute_findings(Evidence("nothing")))
    found = Reader(text)
    assert set(SECTIONS) <= set(found.names)
    assert text.count('class="why"') == 11
    assert "upbring evaluate" in text


def test_a_running_stage_has_a_page(tmp_path: Path) -> None:
    run = make_run(tmp_path, "sft", "half", model=BASE, steps=7)
    with run.lock():
        text = page(compute_findings(read_evidence([run.path])), refresh_seconds=5)
    assert "Still running: half." in text
    assert '<meta http-equiv="refresh" content="5">' in text
    Reader(text)


def test_a_file_does_not_refresh_itself(html: str) -> None:
    assert 'http-equiv="refresh"' not in html


def test_the_same_evidence_gives_the_same_bytes(findings: Findings, html: str) -> None:
    assert page(findings) == html


def test_huge_texts_do_not_make_a_huge_page(findings: Findings) -> None:
    evidence = findings.evidence
    long = tuple(replace(a, response=a.response + "x" * 3900) for a in evidence.answers)
    assert len(page(compute_findings(replace(evidence, answers=long)))) < 1_000_000  # of 480 × 4000


def test_lone_surrogates_are_shown_as_question_marks(findings: Findings) -> None:
    text = page(replace(findings, evidence=replace(findings.evidence, title="bad \ud800")))
    assert "bad ?" in text


def palettes() -> list[tuple[str, dict[str, str]]]:
    blocks = re.findall(r":root \{(.*?)\}", STYLE.read_text(encoding="utf-8"), re.DOTALL)
    names = ("light", "dark", "print")
    found = [dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6});", block)) for block in blocks]
    return list(zip(names, found, strict=True))


def luminance(color: str) -> float:
    """WCAG 2.1: 0.2126 R + 0.7152 G + 0.0722 B of linear channels."""
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(("name", "palette"), palettes())
def test_colors_have_enough_contrast(name: str, palette: dict[str, str]) -> None:
    def contrast(one: str, other: str) -> float:
        high, low = sorted((luminance(palette[one]), luminance(palette[other])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert contrast("ink", "paper") > 12
    for ground in ("paper", "card"):
        for text in (
            "ink",
            "soft",
            "good",
            "bad",
            "open",
            "link",
            "base",
            *("c1", "c2", "c3", "c4", "c5"),
        ):
            assert contrast(text, ground) >= 4.5, f"{name}: {text} on {ground}"


def judged_by(evidence: Evidence, judge: JudgeQuality) -> Findings:
    """Return the findings with all win rates and scores judged by `judge`."""
    results = [
        replace(each, judge=judge) if each.suite == "preference" else each
        for each in evidence.results
    ]
    scores = (
        EvalResult("preference", model, "reward", value, value - 0.1, value + 0.1, 100, "score",
                   is_higher_better=True, judge=judge)
        for model, value in (("base", 0.1), ("ppo", 0.9))
    )  # fmt: skip
    return compute_findings(replace(evidence, results=(*results, *scores)))


def test_a_judge_that_is_not_fit_certifies_nothing(evidence: Evidence) -> None:
    unfit = JudgeQuality("runs/rm", "not fit", "right on 46.7 % of 30 held-out pairs")
    fit = replace(unfit, verdict="fit", detail="right on 91.0 % of 300 held-out pairs")
    text, good = (judged_by(evidence, judge) for judge in (unfit, fit))
    changes = {row.name: row.change for row in text.scorecard if row.suite == "preference"}
    assert changes["reward"] == "no evidence"
    assert {r.name: r.change for r in good.scorecard}["reward"] == "better"
    reasons = " ".join(verdict(text).reasons)
    assert "Preference is judged by runs/rm (not fit: right on 46.7 % of 30 held-out" in reasons
    assert "A judge that is not fit is no evidence." in reasons
    html = page(text)
    assert html.count("‡ judge not fit") >= 5  # scores and win rates
    assert "no evidence: judge not fit" in html
    assert "‡" not in page(good)
    assert "right on 91.0 % of 300 held-out pairs" in page(good)
    shown = json.loads(report_json(text))
    assert shown["judges"] == [
        {"name": "runs/rm", "verdict": "not fit", "detail": "right on 46.7 % of 30 held-out pairs"}
    ]
    rates = [each for each in shown["results"] if each["name"] == "win_rate"]
    assert {each["judge"]["verdict"] for each in rates} == {"not fit"}


def test_too_few_items_are_shown_with_their_number(evidence: Evidence) -> None:
    few = tuple(
        replace(each, low=None, high=None, count=9, too_few=9) if each.suite == "facts" else each
        for each in evidence.results
    )
    assert "n = 9: too few to say" in page(compute_findings(replace(evidence, results=few)))


def test_an_unfit_reward_model_and_an_unfit_held_out_judge_are_named(evidence: Evidence) -> None:
    unfit = JudgeQuality("reward", "not fit", "right on 46.7 % of 30 held-out pairs")
    results = tuple(
        replace(each, judge=unfit) if each.suite == "reward_health" else each
        for each in evidence.results
    )
    stages = tuple(
        replace(each, inputs={**each.inputs, "judge": "reward"}) for each in evidence.stages
    )
    found = compute_findings(replace(evidence, results=results, stages=stages))
    assert (
        "The reward model reward is not fit: right on 46.7 % of 30 held-out pairs."
        in verdict(found).reasons
    )
    calm = replace(found.overoptimization[0], judge_scores=(0.0, 1.0), proxy_scores=(0.0, 1.0))
    assert calm.judge == "reward"
    assert "That judge is not fit" in overoptimization(replace(found, overoptimization=(calm,)), 0)


def test_a_label_of_several_suites_names_the_suite_and_contamination_is_not_plotted(
    evidence: Evidence,
) -> None:
    more = tuple(
        EvalResult(suite, model, name, value, value, value + 0.1, 100)
        for suite, name in (("instructions", "ended"), ("refusals", "ended"))
        for model, value in (("base", 0.1), ("ppo", 0.8))
    )
    seen = tuple(
        EvalResult("contamination", model, "gsm-rows", 0.5, count=10) for model in ("base", "ppo")
    )
    found = compute_findings(replace(evidence, results=(*more, *seen, *evidence.results)))
    plot = page(found).partition('id="scorecard"')[2].partition("</figure>")[0]
    for suite in ("instructions", "refusals"):
        assert f"responses that end by themselves ({suite})" in plot
    assert "gsm" not in plot
