from pathlib import Path

import pytest
import torch

from tests.serve.engine.engines import make_job
from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.chat.tokenizer_files import load_tokenizer
from upbring.model.attention import AttentionConfig
from upbring.serve.engine.kv_pools import KVPools, KVSpec
from upbring.serve.engine.requests import TokenLogprob
from upbring.serve.engine.scheduler import Limits, Scheduler
from upbring.serve.engine.sequence import ActiveSequence, make_sequences

SPEC = KVSpec((AttentionConfig(1.0),), ((1, 2, 2),), torch.float32, torch.device("cpu"))


@pytest.fixture(scope="module")
def tokenizer(model_folder: Path) -> Tokenizer:
    return load_tokenizer(model_folder)


def make_scheduler(limits: Limits, *, max_tokens: int = 4096) -> Scheduler:
    return Scheduler(limits, KVPools(SPEC, max_tokens=max_tokens, max_length=1024))


def queue(scheduler: Scheduler, tokenizer: Tokenizer, *prompts: list[int]) -> list[ActiveSequence]:
    sequences = [make_sequences(make_job(prompt).request, tokenizer)[0] for prompt in prompts]
    scheduler.waiting.extend(sequences)
    return sequences


def step(scheduler: Scheduler) -> dict[int, int]:
    """Return the tokens that a step computes of each sequence; complete ones get a token."""
    counts = {}
    for sequence, piece in scheduler.plan():
        counts[id(sequence)] = len(piece.tokens)
        scheduler.advance(sequence, len(piece.tokens))
        if sequence.num_pending == 0:
            sequence.accept(TokenLogprob(1, None))
    return counts


def test_a_long_prompt_does_not_stall_who_generates(tokenizer: Tokenizer) -> None:
    scheduler = make_scheduler(Limits(prefill_tokens=64, mixed_prefill_tokens=16))
    (short,) = queue(scheduler, tokenizer, [1, 2, 3])
    assert step(scheduler) == {id(short): 3}
    (long,) = queue(scheduler, tokenizer, [7] * 40)
    assert [step(scheduler)[id(long)] for _ in range(3)] == [16, 16, 8]
    assert short.num_generated == 4
    assert long.num_generated == 1


def test_prompts_share_the_tokens_of_a_step_in_the_order_of_arrival(tokenizer: Tokenizer) -> None:
    scheduler = make_scheduler(Limits(prefill_tokens=10))
    one, two, three = queue(scheduler, tokenizer, [1] * 6, [2] * 7, [3] * 2)
    assert step(scheduler) == {id(one): 6, id(two): 4}
    assert step(scheduler) == {id(one): 1, id(two): 3, id(three): 2}


def test_at_most_max_num_seqs_run(tokenizer: Tokenizer) -> None:
    scheduler = make_scheduler(Limits(max_num_seqs=2))
    one, two, three = queue(scheduler, tokenizer, [1], [2], [3])
    step(scheduler)
    assert scheduler.running == [one, two]
    scheduler.remove({id(one)})
    step(scheduler)
    assert scheduler.running == [two, three]


def test_a_sequence_waits_for_the_prefix_that_another_computes(tokenizer: Tokenizer) -> None:
    scheduler = make_scheduler(Limits(prefill_tokens=20))
    prefix = list(range(10, 50))
    one, two, other = queue(scheduler, tokenizer, [*prefix, 1], [*prefix, 2, 3], [5] * 4)
    assert step(scheduler) == {id(one): 20}
    assert scheduler.running == [one, other]
    assert step(scheduler) == {id(one): 20}
    assert step(scheduler) == {id(one): 1, id(other): 4, id(two): 2}
    assert two.request.num_cached == 40


def test_a_sequence_grows_into_a_longer_slot(tokenizer: Tokenizer) -> None:
    scheduler = make_scheduler(Limits())
    (one,) = queue(scheduler, tokenizer, [3] * 250)
    one.request.max_tokens = 100
    lengths = []
    for _ in range(40):
        step(scheduler)
        assert one.slot is not None
        lengths.append(one.slot.length)
    assert lengths[0] == 1024  # room for the prompt and 32 tokens


def test_the_last_sequence_is_preempted_when_memory_runs_out(tokenizer: Tokenizer) -> None:
    scheduler = make_scheduler(Limits(), max_tokens=1024 + 256)
    one, two = queue(scheduler, tokenizer, [3] * 200, [4] * 200)
    for each in (one, two):
        each.request.max_tokens = 500
    for _ in range(60):
        step(scheduler)
    assert scheduler.running == [one]
    assert list(scheduler.waiting) == [two]
    assert two.slot is None
    tokens = list(two.tokens)
    scheduler.remove({id(one)})
    step(scheduler)
    assert scheduler.running == [two]
    assert two.tokens[: len(tokens)] == tokens


def test_without_a_cache_every_sequence_is_computed_whole(tokenizer: Tokenizer) -> None:
    scheduler = Scheduler(Limits(), None)
    (one,) = queue(scheduler, tokenizer, [1, 2, 3])
    (planned,) = scheduler.plan()
    assert planned[0] is one
    assert planned[1].tokens == [1, 2, 3]
    assert planned[1].span is None
