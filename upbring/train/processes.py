"""Several processes that learn as one: sums over all of them, shares for each, one who writes.

Started by `launch` on this machine or by torchrun on many; alone, every function is the identity.
Gradients are summed, never averaged: each process divides by the denominators of the whole step.
What cannot be told in tensors is told as bytes; nothing is pickled. Whoever is left alone by
another process leaves as well, with a word of it.

Left out: shards of weights (FSDP2). Their seam is `sum_gradients`, the one place that knows how
gradients of several processes become one.
"""

import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from upbring.data.trees.tree import dealt
from upbring.errors import UpbringError
from upbring.train.launcher import LOST, RENDEZVOUS, leave_with_the_launcher

SOURCE_LINE = re.compile(r"^\[[^\]]*\]\s*")  # which gloo puts before its errors
STEP_TIMEOUT = timedelta(minutes=30)  # no process waits longer for the others within a step
PREPARE_TIMEOUT = timedelta(hours=24)  # nor for the first one to encode all data


class PeerLost(UpbringError):  # noqa: N818 -- what happened to another one is no error of ours
    """Another process of the run is gone."""

    exit_code = LOST


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
    """Join the processes that were started together, if any were, for the time of the block."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Place()
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    meeting = os.environ.get(RENDEZVOUS)
    if meeting is not None or os.environ.get("MASTER_ADDR") in {"127.0.0.1", "localhost"}:
        _stay_on_this_machine()
    with _heard():
        if meeting is None:
            dist.init_process_group(backend, timeout=STEP_TIMEOUT)
        else:
            leave_with_the_launcher()
            dist.init_process_group(
                backend,
                init_method=Path(meeting).as_uri(),
                rank=int(os.environ["RANK"]),
                world_size=count,
                timeout=STEP_TIMEOUT,
            )
    try:
        yield place()
    finally:
        dist.destroy_process_group()


def _stay_on_this_machine() -> None:
    """Let nothing listen beyond this machine."""
    loopback = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    for name in loopback[:1]:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", name)


@contextmanager
def _heard() -> Iterator[None]:
    """Turn the failure of an exchange into a word about it."""
    try:
        yield
    except RuntimeError as error:
        reason = SOURCE_LINE.sub("", str(error)).strip().partition("\n")[0].partition(". ")[0]
        raise PeerLost(
            f"another process of this run is gone ({reason}); see what it says, or who started it, "
            "then go on with `upbring resume`"
        ) from error


def total(values: Tensor) -> Tensor:
    """Return `values` summed over all processes."""
    if place().count == 1:
        return values
    summed = values.clone()
    with _heard():
        dist.all_reduce(summed)
    return summed


def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace every gradient by its sum over all processes, in one exchange.

    What follows the others without learning, as an average does, has none and gets none.
    """
    parameters = [p for p in parameters if p.requires_grad]
    if place().count == 1 or not parameters:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in parameters if p.grad is not None]
    row = torch.cat([gradient.flatten() for gradient in gradients])
    with _heard():
        dist.all_reduce(row)
    parts = torch.split(row, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def shared(lengths: Sequence[int]) -> list[int]:
    """Return the places of the items that are this process's, so that all have as much to do."""
    here = place()
    return dealt(lengths, here.count)[here.rank]


def told(text: str, *, by: int = 0, group: dist.ProcessGroup | None = None) -> str:
    """Return what one process says, in all of them."""
    here = place()
    if here.count == 1:
        return text
    data = torch.tensor(list(text.encode()), dtype=torch.uint8)
    size = torch.tensor(len(data))
    with _heard():
        dist.broadcast(size, by, group=group)
        if here.rank != by:
            data = torch.zeros(int(size), dtype=torch.uint8)
        dist.broadcast(data, by, group=group)
    return bytes(data.tolist()).decode()


def gathered(text: str) -> list[str]:
    """Return what every process says, in the order of their ranks."""
    return [told(text, by=rank) for rank in range(place().count)]


@contextmanager
def first_goes_ahead() -> Iterator[None]:
    """Let the first process go through the block before the others enter it, however long."""
    if place().count == 1:
        yield
        return
    with _heard():
        group = dist.new_group(timeout=PREPARE_TIMEOUT, backend="gloo")
    if not place().is_first:
        told("", group=group)
    yield
    if place().is_first:
        told("", group=group)
    dist.destroy_process_group(group)


def agreed(*, wish: bool) -> bool:
    """Return whether any process wishes it."""
    return bool(total(torch.tensor(int(wish))) > 0)
