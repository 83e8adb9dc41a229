"""A road and what is found on it, made once; no test changes them."""

from pathlib import Path

import pytest

from tests.report.made import make_road
from upbring.report.findings import Findings, compute_findings
from upbring.report.html import page
from upbring.report.read_folders import read_evidence
from upbring.report.run_data import Evidence


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_road(tmp_path_factory.mktemp("roads") / "assistant")


@pytest.fixture(scope="session")
def evidence(road: Path) -> Evidence:
    return read_evidence([road])


@pytest.fixture(scope="session")
def findings(evidence: Evidence) -> Findings:
    return compute_findings(evidence)


@pytest.fixture(scope="session")
def html(findings: Findings) -> str:
    return page(findings)
