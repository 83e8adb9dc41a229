"""`report.html` and `report.json`, made of folders; at any time, also of a run that is at work."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from upbring import durable
from upbring.report.advice import advice
from upbring.report.findings import Findings, as_json, find
from upbring.report.html import page
from upbring.report.read_folders import gather
from upbring.report.sentences import Verdict, verdict

HTML, NUMBERS = "report.html", "report.json"


@dataclass(frozen=True, slots=True)
class Report:
    """A report that is written: where it is and what it comes to."""

    html: Path
    numbers: Path
    verdict: Verdict
    faults: tuple[str, ...]


def report(folders: Sequence[Path], to: Path) -> Report:
    """Write the report of folders into a folder."""
    findings = find(gather(folders))
    with durable.explained(to):
        to.mkdir(parents=True, exist_ok=True)
    durable.write_text(to / HTML, page(findings))
    durable.write_text(to / NUMBERS, numbers(findings))
    return Report(to / HTML, to / NUMBERS, verdict(findings), findings.evidence.faults)


def numbers(findings: Findings) -> str:
    """Return the text of `report.json`."""
    told = as_json(findings, verdict=asdict(verdict(findings)), advice=advice(findings))
    text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(errors="replace").decode()
