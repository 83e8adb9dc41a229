from dataclasses import replace
from pathlib import Path

import pytest

from tests.serve.engine.engines import load_small, make_engine, make_job, run_jobs, running
from tests.tolerances import LOGPROBS

PROMPTS = [[5, 9, 33, 70, 2 * i + 1] for i in range(4)]


@pytest.mark.parametrize("changes", [{"has_decoder": False}, {"is_cached": False}])
def test_slower_paths_generate_the_same(model_folder: Path, changes: dict[str, bool]) -> None:
    fast = load_small(model_folder)
    slow = load_small(model_folder)
    slow.model = replace(slow.model, **changes)  # type: ignore[arg-type] -- names of its fields
    results = []
    for loaded in (fast, slow):
        with running(make_engine(loaded)) as engine:
            results.append(
                run_jobs(
                    engine, [make_job(p, num_top=1, num_prompt_top=1, keys=(1, 2)) for p in PROMPTS]
                )
            )
            assert (engine.step_forward.decoder is not None) == (loaded is fast)
    for one, other in zip(*results, strict=True):
        assert [one.tokens(i) for i in (0, 1)] == [other.tokens(i) for i in (0, 1)]
        assert one.logprobs() == pytest.approx(other.logprobs(), abs=LOGPROBS)
        ours, theirs = ([t.logprob or 0 for t in j.request.prompt_logprobs] for j in (one, other))
        assert ours == pytest.approx(theirs, abs=LOGPROBS)
