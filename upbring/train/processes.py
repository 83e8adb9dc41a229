"""Data parallelism: sums over all processes, a shard of the data for each, and one that writes.

The processes are started by `launch` on this machine, or by torchrun on several; in a single
process every function is the identity. Gradients are summed, never averaged: each process divides
by the denominators of the whole step. Text is exchanged as bytes; nothing is pickled. A process
that loses another one exits with a message.

Excluded: sharded weights (FSDP2). They would go into `sum_gradients`, the only place that combines
the gradients of several processes.
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

GLOO_SOURCE_PREFIX = re.compile(r"^\[[^\]]*\]\s*")  # source location in gloo's errors
STEP_TIMEOUT = timedelta(minutes=30)  # longest wait for other processes within a step
PREPARE_TIMEOUT = timedelta(hours=24)  # longest wait for rank 0 to encode all data


class PeerLost(UpbringError):  # noqa: N818 -- not an error of this process
    """Another process of the run is gone."""

    exit_code = EXIT_PEER_LOST


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The rank of this process and the number of processes."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_main_process(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0


def process_group() -> ProcessGroup:
    """Return this process's rank and world size; 0 and 1 if it is the only one."""
    if dist.is_available() and dist.is_initialized():
        return ProcessGroup(dist.get_rank(), dist.get_world_size())
    return ProcessGroup()


@contextmanager
def join_process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """Join the process group during the block, if several processes were started."""
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
    """Restrict gloo and NCCL to the loopback interface of this machine."""
    loopback = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    for name in loopback[:1]:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", name)


@contextmanager
def _raise_peer_lost() -> Iterator[None]:
    """Raise a failed collective operation as `PeerLost`."""
    try:
        yield
    except RuntimeError as error:
        reason = (
            GLOO_SOURCE_PREFIX.sub("", str(error)).strip().partition("\n")[0].partition(". ")[0]
        )
        raise PeerLost(
            f"another process of this run is gone ({reason}); see its output or that of its "
            "launcher, then resume with `upbring resume`"
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
    """Replace every gradient by its sum over all processes, in one all-reduce.

    Frozen parameters, such as an exponential moving average, have no gradient and get none.
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
    """Return the indices of this process's items, so that all processes have equal work."""
    current = process_group()
    return split_evenly(lengths, current.world_size)[current.rank]


def broadcast(text: str, *, src: int = 0, group: dist.ProcessGroup | None = None) -> str:
    """Return the text of process `src`, in all processes."""
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
    """Return the texts of all processes, in the order of their ranks."""
    return [broadcast(text, src=rank) for rank in range(process_group().world_size)]


@contextmanager
def main_process_first() -> Iterator[None]:
    """Let rank 0 run the block before the others, with a timeout of a day."""
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
    """Return whether the flag is set in any process."""
    return bool(all_reduce_sum(torch.tensor(int(flag))) > 0)
