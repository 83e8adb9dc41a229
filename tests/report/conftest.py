"""A pipeline folder and its report data, created once; tests must not change them."""

from pathlib import Path

import pytest

from tests.report.made import make_pipeline
from upbring.report.findings import Findings, compute_findings
from upbring.report.html import page
from upbring.report.read_folders import read_evidence
from upbring.report.run_data import Evidence


@pytest.fixture(scope="session")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("pipelines") / "assistant")


@pytest.fixture(scope="session")
def evidence(pipeline_folder: Path) -> Evidence:
    return read_evidence([pipeline_folder])


@pytest.fixture(scope="session")
def findings(evidence: Evidence) -> Findings:
    return compute_findings(evidence)


@pytest.fixture(scope="session")
def html(findings: Findings) -> str:
    return page(findings)
