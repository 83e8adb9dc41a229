import pytest
import torch

from upbring.model.attention import AttentionConfig
from upbring.serve.engine.kv_pools import KVPools, KVSpec, Slot, shared_length

SPEC = KVSpec((AttentionConfig(1.0),), ((2, 4, 3),), torch.float32, torch.device("cpu"))


def filled(pools: KVPools, tokens: list[int], *, length: int | None = None) -> Slot:
    """Return a used slot whose keys and values are its tokens."""
    slot = pools.allocate(length or len(tokens))
    assert slot is not None
    slot.tokens, slot.count = tokens, len(tokens)
    for buffer in (*slot.pool.keys, *slot.pool.values):
        buffer[slot.number, :, : len(tokens)] = torch.tensor(tokens).float()[None, :, None]
    return slot


def held(slot: Slot, count: int) -> list[int]:
    buffers = [*slot.pool.keys, *slot.pool.values]
    found = [buffer[slot.number, :, :count] for buffer in buffers]
    values = found[0][0, :, 0]
    assert all(bool((each == values[None, :, None]).all()) for each in found)
    return [int(each) for each in values.tolist()]


def test_a_slot_is_in_the_smallest_pool_that_fits() -> None:
    pools = KVPools(SPEC, max_tokens=10_000, max_length=2000)
    lengths = [slot.length for n in (1, 256, 257, 2000) if (slot := pools.allocate(n))]
    assert lengths == [256, 256, 1024, 2000]
    assert pools.allocate(2001) is None


def test_there_are_never_more_tokens_than_allowed() -> None:
    pools = KVPools(SPEC, max_tokens=1000, max_length=256)
    slots = [pools.allocate(10) for _ in range(4)]
    assert [slot is not None for slot in slots] == [True, True, True, False]
    assert pools.num_tokens == 768


def test_pools_that_nobody_uses_make_room_for_others() -> None:
    pools = KVPools(SPEC, max_tokens=1024, max_length=1024)
    small = pools.allocate(10)
    assert small is not None
    assert pools.allocate(1000) is None
    pools.release(small)
    assert pools.allocate(1000, keep=small) is None
    large = pools.allocate(1000)
    assert large is not None
    assert large.length == 1024


def test_growing_a_pool_keeps_what_its_slots_hold() -> None:
    pools = KVPools(SPEC, max_tokens=10_000, max_length=256)
    first = filled(pools, [1, 2, 3])
    for _ in range(5):
        filled(pools, [7])
    assert held(first, 3) == [1, 2, 3]


def test_the_longest_known_prefix_is_found_and_copied() -> None:
    pools = KVPools(SPEC, max_tokens=10_000, max_length=256)
    one = filled(pools, list(range(100, 120)))
    two = filled(pools, [*range(100, 112), 1, 2, 3])
    pools.release(two)
    wanted = [*range(100, 112), 1, 2, 9]
    assert pools.find_prefix(wanted, None) == (two, 14)
    assert pools.find_prefix(wanted, "other") == (None, 0)
    assert pools.find_prefix(list(range(100, 118)), None) == (one, 18)
    assert pools.find_prefix([5, 6, 7], None) == (None, 0)
    target = pools.allocate(20, keep=two)
    assert target is not None
    pools.copy(two, target, 14)
    assert held(target, 14) == wanted[:14]


def test_the_slot_that_was_unused_for_the_longest_time_is_taken() -> None:
    pools = KVPools(SPEC, max_tokens=768, max_length=256)
    slots = [filled(pools, [i] * 9) for i in range(3)]
    for i in (1, 0, 2):
        pools.release(slots[i])
    assert pools.allocate(10) is slots[1]


@pytest.mark.parametrize("num_free", [1, 3])
def test_used_slots_move_down_where_most_are_unused(num_free: int) -> None:
    pools = KVPools(SPEC, max_tokens=10_000, max_length=256)
    slots = [filled(pools, [i, i + 10, i + 20]) for i in range(4)]
    for slot in slots[:num_free]:
        pools.release(slot)
    pools.compact()
    assert slots[3].number == (3 if num_free == 1 else 0)
    assert held(slots[3], 3) == [3, 13, 23]
    assert [slot.number for slot in slots[3].pool.slots] == [0, 1, 2, 3]
    assert pools.find_prefix([0, 10, 20], None)[0] is None


def test_shared_lengths_are_those_of_a_naive_count() -> None:
    one = [1, 2, 3, 4, 5, 6, 7]
    for n in range(8):
        other = (*one[:n], 99, *one[n + 1 :])
        assert shared_length(one, other, 7) == min(n, 7)
    assert shared_length([], [1], 1) == 0
    assert shared_length([1, 2], [1, 2, 3], 3) == 2
