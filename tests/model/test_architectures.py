"""Nightly: every causal architecture of transformers is right, or refused in one line."""

import time

import pytest

from tests import architectures
from tests.conftest import IS_NIGHTLY, Figure
from tests.families import FAMILIES

SOME = (
    "llama",
    "gpt2",
    "gpt_oss",
    "mamba",
    "diffllama",
    "phimoe",
    "bert",
    "moss_transcribe_diarize",
)


@pytest.mark.parametrize("model_type", SOME)
def test_an_architecture_is_right_or_refused_in_one_line(model_type: str) -> None:
    found = architectures.outcome(model_type)
    expected = {"bert": "refused", "gpt_oss": "slow", "mamba": "slow"}
    assert found.kind == expected.get(model_type, "packed")
    assert "\n" not in found.note
    assert bool(found.note) == (found.kind != "packed")


@pytest.mark.skipif(not IS_NIGHTLY, reason="builds 190 models: two minutes")
def test_the_page_of_architectures_is_what_happens(figure: Figure) -> None:
    started = time.monotonic()
    found = dict(architectures.all_outcomes())
    assert len(found) > 10 * len(FAMILIES)
    kinds = [each.kind for each in found.values()]
    assert kinds.count("packed") + kinds.count("slow") > 0.7 * len(kinds)
    assert all("\n" not in each.note for each in found.values())
    page = architectures.PAGE.read_text(encoding="utf-8")
    shown = dict(row.split(" | ")[:2] for row in page.splitlines() if row.startswith("| "))
    changed = {n: each for n, each in found.items() if shown.get(f"| {n}") != each.kind}
    assert not changed, f"write the page again with python -m tests.architectures: {changed}"
    figure("architectures", f"{len(found)} in {time.monotonic() - started:.0f} s")
