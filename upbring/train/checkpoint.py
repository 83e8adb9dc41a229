"""Exact save and resume: tensors as safetensors, facts and identity as JSON, no pickle.

    checkpoints/step-40/   tensors.safetensors   state.json   manifest.json

`load` takes the newest checkpoint that verifies and warns of each damaged one that it skips. The
identity is what must be equal at save and resume. Excluded: when to save and what the tensors mean;
`loop` decides that.
"""

import json
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from upbring import durable
from upbring.durable import DISK, JSON, Damaged, Disk
from upbring.errors import InputError, ResumeError, UpbringError, format_value, nearest
from upbring.plurals import format_count

FORMAT = 1
TENSORS, STATE = "tensors.safetensors", "state.json"
STEP = re.compile(r"step-(\d+)")
MACHINE, FUNCTIONS = "machine", "functions"
# changes below these keys are allowed, with a warning of what they may cause
CONSEQUENCES = {
    MACHINE: "the result may differ in its last bits",
    FUNCTIONS: "its code is another from here on",
}
HEADROOM = 1.2
BUFFER_BYTES = 2**20  # an adapter has hundreds of small tensors; they are written together
MIN_CHECKPOINTS = 2
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class State:
    """Everything that is needed to continue after `step` steps."""

    step: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, JSON] = field(default_factory=dict)


def save(
    checkpoints: Path,
    state: State,
    *,
    identity: Mapping[str, JSON],
    keep: int,
    protect: Collection[int] = (),
    warn: Callable[[str], None] | None = None,
    disk: Disk = DISK,
) -> Path:
    """Save a checkpoint, then delete all but the `keep` newest and the protected steps.

    When it returns, the checkpoint is on disk. When it raises, the older ones are intact.
    Checkpoints of later steps belong to an abandoned continuation and are deleted, too.
    """
    assert keep >= MIN_CHECKPOINTS, (
        f"keep is {keep}, must be at least {MIN_CHECKPOINTS}: the newest may be damaged"
    )
    target = checkpoints / f"step-{state.step}"
    need = _required_bytes(checkpoints, state)
    with durable.explain_os_errors(checkpoints, disk=disk):
        checkpoints.mkdir(exist_ok=True)
    durable.require_space(target, need, disk=disk)
    record: JSON = {
        "format": FORMAT,
        "step": state.step,
        "facts": state.facts,
        "identity": identity,
    }
    with durable.atomic_folder(target, need=need, disk=disk) as temporary:
        durable.write_pieces(temporary / TENSORS, _safetensors_pieces(state.tensors), disk=disk)
        durable.write_pieces(temporary / STATE, [durable.json_bytes(record)], disk=disk)
    for step in _steps_to_delete(saved_steps(checkpoints), state.step, keep=keep, protect=protect):
        try:
            durable.remove(checkpoints / f"step-{step}", disk=disk)
        except UpbringError as error:
            if warn is None:
                raise
            warn(f"an old checkpoint could not be deleted: {error}")
    return target


def load(
    checkpoints: Path,
    *,
    identity: Mapping[str, JSON],
    allow_change: Collection[str] = (),
    warn: Callable[[str], None],
) -> State:
    """Return the newest state that verifies, if a run of the same identity saved it."""
    reasons = []
    for step in reversed(saved_steps(checkpoints)):
        try:
            state, saved_identity = _read(checkpoints / f"step-{step}")
        except Damaged as error:
            reasons.append(str(error))
            warn(f"{error}; trying the previous checkpoint")
            continue
        _check_identity(
            checkpoints, saved_identity, identity=identity, allow_change=allow_change, warn=warn
        )
        return state
    problem = "; ".join(reasons) if reasons else "no checkpoint was saved"
    raise ResumeError(f"{checkpoints}: nothing valid to resume: {problem}; start a new run")


def read(folder: Path) -> State:
    """Return the state of one checkpoint, or raise `Damaged`."""
    return _read(folder)[0]


def saved_steps(checkpoints: Path) -> list[int]:
    """Return the steps of all saved checkpoints in ascending order."""
    if not checkpoints.is_dir():
        return []
    matches = [STEP.fullmatch(path.name) for path in checkpoints.iterdir()]
    return sorted(int(match[1]) for match in matches if match)


def changes(current: Mapping[str, JSON], saved: Mapping[str, JSON]) -> dict[str, tuple[JSON, JSON]]:
    """Return the dotted keys whose values differ between two identities, with both values.

    >>> changes({"data": {"sha256": "a"}, "seed": 1}, {"data": {"sha256": "b"}, "seed": 1})
    {'data.sha256': ('a', 'b')}
    """
    left, right = dict(_flatten(current)), dict(_flatten(saved))
    keys = [*left, *(key for key in right if key not in left)]
    pairs = {key: (left.get(key), right.get(key)) for key in keys}
    return {key: (a, b) for key, (a, b) in pairs.items() if not _is_same(a, b)}


def _read(folder: Path) -> tuple[State, Mapping[str, JSON]]:
    durable.verify(folder)
    record = json.loads((folder / STATE).read_bytes())
    if record["format"] > FORMAT:
        raise ResumeError(
            f"{folder}: has format {record['format']}, and this upbring reads up to {FORMAT}; "
            "install a newer upbring"
        )
    with safe_open(folder / TENSORS, framework="pt") as file:
        # cloned, because the memory-mapped file may be deleted while a tensor is in use
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 -- not a mapping
    return State(record["step"], tensors, record["facts"]), record["identity"]


def _check_identity(
    checkpoints: Path,
    saved_identity: Mapping[str, JSON],
    *,
    identity: Mapping[str, JSON],
    allow_change: Collection[str],
    warn: Callable[[str], None],
) -> None:
    _check_allowed(
        allow_change, [key for side in (identity, saved_identity) for key, _ in _flatten(side)]
    )
    refused = []
    for key, (current, saved) in changes(identity, saved_identity).items():
        line = (
            f"{key}: the checkpoint has {format_value(saved)}, this run has {format_value(current)}"
        )
        if consequence := CONSEQUENCES.get(key.split(".")[0]):
            warn(f"{line}; continuing, but {consequence}")
        elif not any(_matches_key(pattern, key) for pattern in allow_change):
            refused.append(line)
    if refused:
        raise ResumeError(
            f"{checkpoints}: was saved by a run that differs in "
            f"{format_count(len(refused), 'respect')}:\n  "
            + "\n  ".join(refused)
            + "\nrestore them, allow each with --allow-change KEY, or start a new run"
        )


def _check_allowed(allow_change: Collection[str], keys: list[str]) -> None:
    for pattern in allow_change:
        if not any(_matches_key(pattern, key) for key in keys):
            suggestion = nearest(pattern, [*keys, *(key.split(".")[-1] for key in keys)])
            hint = (
                f"did you mean {suggestion}?" if suggestion else f"the keys are {', '.join(keys)}"
            )
            raise InputError(f"--allow-change: {pattern!r} is not a key of the identity; {hint}")


def _matches_key(pattern: str, key: str) -> bool:
    """Whether a user's pattern is the dotted key, its beginning or its end."""
    return key == pattern or key.endswith(f".{pattern}") or key.startswith(f"{pattern}.")


def _flatten(value: JSON, prefix: str = "") -> Iterator[tuple[str, JSON]]:
    if isinstance(value, Mapping) and (value or not prefix):
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value


def _is_same(left: JSON, right: JSON) -> bool:
    """Whether two values are equal as JSON: a tuple equals a list, True does not equal 1."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def _required_bytes(checkpoints: Path, state: State) -> int:
    """Return the space to require: 20% more than the last checkpoint, or than the tensors."""
    present = saved_steps(checkpoints)
    newest = checkpoints / f"step-{present[-1]}" if present else checkpoints / "none"
    previous_bytes = (
        sum(path.stat().st_size for path in newest.rglob("*")) if newest.exists() else 0
    )
    current_bytes = sum(tensor.numel() * tensor.element_size() for tensor in state.tensors.values())
    return int(HEADROOM * max(previous_bytes, current_bytes))


def _steps_to_delete(
    present: list[int], current: int, *, keep: int, protect: Collection[int]
) -> list[int]:
    retained = {*[step for step in present if step <= current][-keep:], *protect}
    return [step for step in present if step not in retained]


def _safetensors_pieces(tensors: Mapping[str, Tensor]) -> Iterator[durable.BytesLike]:
    """Yield the parts of a safetensors file.

    `save_file` hides disk errors in errors of its own and refuses tensors that share storage. The
    layout is the library's: widest dtype first, so that every tensor is aligned.
    """
    assert sys.byteorder == "little", "safetensors files need a little-endian machine"
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header: dict[str, JSON] = {}
    end = 0
    for name, tensor in ordered:
        assert tensor.dtype in DTYPES, f"{name}: dtype {tensor.dtype} cannot be saved"
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    buffer = bytearray(len(text).to_bytes(8, "little") + text)
    for _, tensor in ordered:
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)  # [bytes]
        if len(buffer) + flat.numel() <= BUFFER_BYTES:
            buffer += flat.numpy().data
            continue
        yield bytes(buffer)
        buffer.clear()
        yield flat.numpy().data
    yield bytes(buffer)
