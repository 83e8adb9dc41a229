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

from upbring.data.trees.tree import split_evenly
from upbring.errors import UpbringError
from upbring.train.launcher import EXIT_PEER_LOST, RENDEZVOUS, exit_with_launcher

GLOO_SOURCE_PREFIX = re.compile(r"^\[[^\]]*\]\s*")  # which gloo puts before its errors
STEP_TIMEOUT = timedelta(minutes=30)  # no process waits longer for the others within a step
PREPARE_TIMEOUT = timedelta(hours=24)  # nor for the first one to encode all data


class PeerLost(UpbringError):  # noqa: N818 -- what happened to another one is no error of ours
    """Another process of the run is gone."""

    exit_code = EXIT_PEER_LOST


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """Which process this is, of how many."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_main_process(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0


def process_group() -> ProcessGroup:
    """Return this process's place; alone if nobody started several."""
    if dist.is_available() and dist.is_initialized():
        return ProcessGroup(dist.get_rank(), dist.get_world_size())
    return ProcessGroup()


@contextmanager
def join_process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """Join the processes that were started together, if any were, for the time of the block."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield ProcessGroup()
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    rendezvous = os.environ.get(RENDEZVOUS)
    if rendezvous is not None or os.environ.get("MASTER_ADDR") in {"127.0.0.1", "localhost"}:
        _bind_to_loopback()
    with _raise_peer_lost():
        if rendezvous is None:
            dist.init_process_group(backend, timeout=STEP_TIMEOUT)
        else:
            exit_with_launcher()
            dist.init_process_group(
                backend,
                init_method=Path(rendezvous).as_uri(),
                rank=int(os.environ["RANK"]),
                world_size=world_size,
                timeout=STEP_TIMEOUT,
            )
    try:
        yield process_group()
    finally:
        dist.destroy_process_group()


def _bind_to_loopback() -> None:
    """Let nothing listen beyond this machine."""
    loopback = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    for name in loopback[:1]:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", name)


@contextmanager
def _raise_peer_lost() -> Iterator[None]:
    """Turn the failure of an exchange into a word about it."""
    try:
        yield
    except RuntimeError as error:
        reason = (
            GLOO_SOURCE_PREFIX.sub("", str(error)).strip().partition("\n")[0].partition(". ")[0]
        )
        raise PeerLost(
            f"another process of this run is gone ({reason}); see what it says, or who started it, "
            "then go on with `upbring resume`"
        ) from error


def all_reduce_sum(values: Tensor) -> Tensor:
    """Return `values` summed over all processes."""
    if process_group().world_size == 1:
        return values
    summed = values.clone()
    with _raise_peer_lost():
        dist.all_reduce(summed)
    return summed


def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace every gradient by its sum over all processes, in one exchange.

    What follows the others without learning, as an average does, has none and gets none.
    """
    parameters = [p for p in parameters if p.requires_grad]
    if process_group().world_size == 1 or not parameters:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat_gradients = torch.cat([gradient.flatten() for gradient in gradients])
    with _raise_peer_lost():
        dist.all_reduce(flat_gradients)
    parts = torch.split(flat_gradients, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def shard(lengths: Sequence[int]) -> list[int]:
    """Return the places of the items that are this process's, so that all have as much to do."""
    current = process_group()
    return split_evenly(lengths, current.world_size)[current.rank]


def broadcast(text: str, *, src: int = 0, group: dist.ProcessGroup | None = None) -> str:
    """Return what one process says, in all of them."""
    current = process_group()
    if current.world_size == 1:
        return text
    data = torch.tensor(list(text.encode()), dtype=torch.uint8)
    size = torch.tensor(len(data))
    with _raise_peer_lost():
        dist.broadcast(size, src, group=group)
        if current.rank != src:
            data = torch.zeros(int(size), dtype=torch.uint8)
        dist.broadcast(data, src, group=group)
    return bytes(data.tolist()).decode()


def all_gather(text: str) -> list[str]:
    """Return what every process says, in the order of their ranks."""
    return [broadcast(text, src=rank) for rank in range(process_group().world_size)]


@contextmanager
def main_process_first() -> Iterator[None]:
    """Let the first process go through the block before the others enter it, however long."""
    if process_group().world_size == 1:
        yield
        return
    with _raise_peer_lost():
        group = dist.new_group(timeout=PREPARE_TIMEOUT, backend="gloo")
    if not process_group().is_main_process:
        broadcast("", group=group)
    yield
    if process_group().is_main_process:
        broadcast("", group=group)
    dist.destroy_process_group(group)


def any_process(*, flag: bool) -> bool:
    """Return whether any process wishes it."""
    return bool(all_reduce_sum(torch.tensor(int(flag))) > 0)
