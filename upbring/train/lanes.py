"""Work side by side on one processor: each lane a thread, with its part of the cores.

The products of a small model are too short for all cores to share each of them; rows are not. What
comes back has the order of what was given, so that sums over it are the same each time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

MAX_LANES = 8  # each holds a part of the vocabulary's logits of its own

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_lanes(
    function: Callable[[Item], Result], items: Sequence[Item], lanes: int
) -> Iterator[Result]:
    """Yield what `function` makes of each item, as many at the same time as there are lanes."""
    for start in range(0, len(items), lanes):
        yield from _map_at_once(function, items[start : start + lanes])


def _map_at_once(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
    if len(items) == 1:
        return [function(items[0])]
    cores = torch.get_num_threads()
    threads_per_lane = max(
        1, cores // len(items)
    )  # alike for all: the library of products has one number

    def in_lane(item: Item) -> Result:
        torch.set_num_threads(threads_per_lane)  # a thread has a number of its own
        return function(item)

    torch.set_num_threads(threads_per_lane)  # the number of the library of products is all threads'
    try:
        return list(_pool().map(in_lane, items))
    finally:
        torch.set_num_threads(cores)


@cache
def _pool() -> ThreadPoolExecutor:
    """Return the lanes' threads, as many as were ever needed at once: they keep their memory."""
    return ThreadPoolExecutor(MAX_LANES, thread_name_prefix="lane")
