"""Write `report.html` and `report.json` from run folders, including those of running stages."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from upbring import durable
from upbring.report.advice import advice
from upbring.report.findings import Findings, as_json, compute_findings
from upbring.report.html import page
from upbring.report.read_folders import read_evidence
from upbring.report.sentences import ReportVerdict, verdict

REPORT_HTML, REPORT_JSON = "report.html", "report.json"


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """The paths of a written report, its verdict, and what could not be read."""

    html_path: Path
    json_path: Path
    verdict: ReportVerdict
    read_errors: tuple[str, ...]


def write_report(folders: Sequence[Path], output_dir: Path) -> WrittenReport:
    """Write the report on `folders` into `output_dir`."""
    findings = compute_findings(read_evidence(folders))
    with durable.explain_os_errors(output_dir):
        output_dir.mkdir(parents=True, exist_ok=True)
    durable.write_text(output_dir / REPORT_HTML, page(findings))
    durable.write_text(output_dir / REPORT_JSON, report_json(findings))
    return WrittenReport(
        output_dir / REPORT_HTML,
        output_dir / REPORT_JSON,
        verdict(findings),
        findings.evidence.read_errors,
    )


def report_json(findings: Findings) -> str:
    """Return the text of `report.json`."""
    data = as_json(findings, verdict=asdict(verdict(findings)), advice=advice(findings))
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(errors="replace").decode()
