"""The workload of a stage by what its method is trained on."""

from pathlib import Path

import pytest

from tests import small
from tests.preferences import make_pairs
from upbring.settings.resolve import resolve
from upbring.stages.planning.dry_model import make_dry_run_context
from upbring.stages.planning.method_workload import make_workload
from upbring.stages.planning.workload import Workload
from upbring.stages.registry import find_method, load_settings


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workload")
    small.make_model(folder / "m")
    small.make_demonstrations(folder / "d.jsonl")
    make_pairs(folder / "p.jsonl")
    (folder / "q.jsonl").write_text('{"prompt": "What is red?"}\n' * 40)
    return folder


def workload(home: Path, method: str, **flags: object) -> Workload:
    values = {"model": str(home / "m"), "batch_size": "38", **flags}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPBRING_CACHE", str(home / "cache"))
        settings = load_settings(find_method(method))
        resolved = resolve(settings, section=method, file=None, flags=values)
        return make_workload(make_dry_run_context(method, resolved, log=lambda _: None))


@pytest.mark.parametrize(
    ("method", "has_reference"), [("dpo", True), ("kto", True), ("orpo", False)]
)
def test_preferences_are_sampled_and_a_reference_scores_the_rows_once(
    home: Path, method: str, *, has_reference: bool
) -> None:
    found = workload(home, method, data=[str(home / "p.jsonl")], sample_tokens="9")
    # two rows are held out, with responses of 9 tokens; an epoch is one step of all others
    assert found.time.eval_decode_steps == 9
    assert found.sampling is not None
    assert found.sampling.concurrent_responses == 2
    assert found.time.setup_tokens == (found.time.step_tokens if has_reference else 0)
    assert len(found.trees[0].branches) == (3 if method == "kto" else 2)  # and a mismatched one


@pytest.mark.parametrize(("method", "data"), [("sft", "d.jsonl"), ("reward", "p.jsonl")])
def test_rows_are_neither_sampled_nor_scored_by_a_reference(
    home: Path, method: str, data: str
) -> None:
    found = workload(home, method, data=[str(home / data)])
    assert found.sampling is None
    assert found.time.setup_tokens == 0


def test_prompts_are_sampled_in_rounds(home: Path) -> None:
    found = workload(home, "grpo", prompts=[str(home / "q.jsonl")], reward_function=["json"])
    assert found.time.decode_steps > 0
