from pathlib import Path

from tests.serve.engine.engines import load_small, make_engine, make_job
from upbring.serve.engine.scheduler import Scheduler
from upbring.serve.engine.sequence import make_sequences
from upbring.serve.engine.steps import run_step


def test_a_step_computes_the_prompt_and_generates_one_token(model_folder: Path) -> None:
    engine = make_engine(load_small(model_folder))
    scheduler = Scheduler(engine.limits, engine.pools)
    assert run_step(scheduler, engine.step_forward).num_computed == 0
    request = make_job([3, 4, 5], max_tokens=2).request
    scheduler.waiting.extend(make_sequences(request, engine.tokenizer))
    first, second = (run_step(scheduler, engine.step_forward) for _ in range(2))
    assert (first.num_computed, first.num_generated) == (3, 1)
    assert (second.num_computed, second.num_generated) == (1, 1)
    ((_, reports),) = second.reports.values()
    assert reports[-1].finish_reason == "length"
    assert scheduler.running == []
