"""Several processes that learn as one: sums over all of them, shares for each, one who writes.

Started by torchrun, on one machine or many; alone, every function is the identity. Gradients are
summed, never averaged: each process divides by the denominators of the whole step. What cannot be
told in tensors is told as bytes; nothing is pickled.

Left out: shards of weights (FSDP2). Their seam is `sum_gradients`, the one place that knows how
gradients of several processes become one.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Place:
    """Which process this is, of how many."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0


def place() -> Place:
    """Return this process's place; alone if nobody started several."""
    if dist.is_available() and dist.is_initialized():
        return Place(dist.get_rank(), dist.get_world_size())
    return Place()


@contextmanager
def joined(device: torch.device) -> Iterator[Place]:
    """Join the processes that torchrun started, if it did, for the time of the block."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Place()
        return
    if os.environ.get("MASTER_ADDR") in {"127.0.0.1", "localhost"}:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # nothing listens beyond this machine
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield place()
    finally:
        dist.destroy_process_group()


def total(values: Tensor) -> Tensor:
    """Return `values` summed over all processes."""
    if place().count == 1:
        return values
    summed = values.clone()
    dist.all_reduce(summed)
    return summed


def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace every gradient by its sum over all processes, in one exchange."""
    if place().count == 1 or not parameters:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in parameters if p.grad is not None]
    row = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(row)
    parts = torch.split(row, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def shared(lengths: Sequence[int]) -> list[int]:
    """Return the places of the items that are this process's, so that all have as much to do.

    The longest first, each to the process with the least so far.
    """
    here = place()
    loads = [0] * here.count
    mine = []
    for item in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        rank = loads.index(min(loads))
        loads[rank] += lengths[item]
        if rank == here.rank:
            mine.append(item)
    return sorted(mine)


def told(text: str) -> str:
    """Return what the first process says, in all of them."""
    here = place()
    if here.count == 1:
        return text
    data = torch.tensor(list(text.encode()), dtype=torch.uint8)
    size = torch.tensor(len(data))
    dist.broadcast(size, 0)
    if not here.is_first:
        data = torch.zeros(int(size), dtype=torch.uint8)
    dist.broadcast(data, 0)
    return bytes(data.tolist()).decode()


@contextmanager
def first_goes_ahead() -> Iterator[None]:
    """Let the first process go through the block before the others enter it."""
    if not place().is_first:
        told("")
    yield
    if place().is_first:
        told("")


def agreed(*, wish: bool) -> bool:
    """Return whether any process wishes it."""
    return bool(total(torch.tensor(int(wish))) > 0)
