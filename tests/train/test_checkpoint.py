"""A checkpoint is restored bit for bit or rejected as a whole in favor of the previous one."""

import errno
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.conftest import Figure, trials
from tests.faults import CountingDisk, FailingDisk, FullDisk
from upbring import durable
from upbring.durable import JSON
from upbring.errors import InputError, ResourceError, ResumeError
from upbring.train.checkpoint import DTYPES, State, changes, load, read, save, saved_steps

IDENTITY: dict[str, JSON] = {
    "model": {"sha256": "ab"},
    "data": {"sha256": "cd", "rows": 10},
    "settings": {"learning_rate": 2e-4, "seed": 0, "mix": []},
    "machine": {"threads": 2, "instructions": "avx512"},
}


def state(step: int) -> State:
    generator = torch.Generator().manual_seed(step)
    tensors = {
        "weights": torch.randn(20, 5, generator=generator),
        "count": torch.tensor(step),
        "empty": torch.zeros(0, 3),
    }
    return State(step, tensors, {"order": [3, 1, 2], "best": 0.1 + step, "name": "Zoë"})


def save_all(folder: Path, *wanted: int, keep: int = 9) -> None:
    for step in wanted:
        save(folder, state(step), identity=IDENTITY, keep=keep)


def refuse(text: str) -> None:
    raise AssertionError(text)


def restored(folder: Path, *, warn: Callable[[str], None] = refuse) -> State:
    return load(folder, identity=IDENTITY, warn=warn)


def bits(tensor: Tensor) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).tolist())


def is_equal(left: State, right: State) -> bool:
    assert set(left.tensors) == set(right.tensors)
    return (left.step, left.facts) == (right.step, right.facts) and all(
        bits(tensor) == bits(right.tensors[name])
        and tensor.shape == right.tensors[name].shape
        and tensor.dtype == right.tensors[name].dtype
        for name, tensor in left.tensors.items()
    )


def changed(**sections: dict[str, JSON]) -> dict[str, JSON]:
    """Return the identity with some keys of its sections changed."""
    return {
        key: {**value, **sections.get(key, {})} if isinstance(value, dict) else value
        for key, value in IDENTITY.items()
    }


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_bit_of_a_tensor_comes_back(tmp_path: Path, dtype: torch.dtype) -> None:
    width = torch.empty(0, dtype=dtype).element_size()
    top = 2 if dtype is torch.bool else 256  # all other bytes are valid, as NaNs for instance
    generator = torch.Generator().manual_seed(0)
    raw = torch.randint(0, top, (24 * width,), generator=generator, dtype=torch.uint8)
    values = raw.view(dtype)  # [24]
    tensors = {"flat": values, "deep": values.view(2, 3, 4), "one": values[0], "none": values[:0]}
    saved = State(1, tensors)
    save(tmp_path / "c", saved, identity=IDENTITY, keep=2)
    assert is_equal(restored(tmp_path / "c"), saved)


def test_tensors_that_share_storage_or_lie_crosswise_are_copied(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    tensors = {"whole": whole, "again": whole, "row": whole[1], "turned": whole.t()}
    tensors["learned"] = torch.nn.Parameter(whole[:, ::2])
    save(tmp_path, State(1, tensors), identity={}, keep=2)
    found = load(tmp_path, identity={}, warn=refuse)
    assert is_equal(found, State(1, tensors))
    found.tensors["whole"].zero_()
    assert bits(found.tensors["again"]) == bits(whole)


def test_the_file_is_one_that_safetensors_reads(tmp_path: Path) -> None:
    save_all(tmp_path, 4)
    tensors = load_file(tmp_path / "step-4" / "tensors.safetensors")
    assert bits(tensors["weights"]) == bits(state(4).tensors["weights"])
    assert not list(tmp_path.rglob("*.p*t"))


def test_a_state_without_tensors_is_a_state(tmp_path: Path) -> None:
    save(tmp_path, State(0, {}, {"a": None}), identity={}, keep=2)
    assert load(tmp_path, identity={}, warn=refuse) == State(0, {}, {"a": None})


def test_the_newest_and_the_protected_are_kept(tmp_path: Path) -> None:
    for step in range(1, 7):
        save(tmp_path, state(step), identity=IDENTITY, keep=2, protect={2})
    assert saved_steps(tmp_path) == [2, 5, 6]
    assert is_equal(read(tmp_path / "step-2"), state(2))


def test_checkpoints_of_later_steps_are_deleted(tmp_path: Path) -> None:
    save_all(tmp_path, 10, 20, 30)
    save(tmp_path, state(15), identity=IDENTITY, keep=2)
    assert saved_steps(tmp_path) == [10, 15]


def test_numbers_decide_which_is_newest_not_letters(tmp_path: Path) -> None:
    save_all(tmp_path, 9, 10, 100)
    (tmp_path / "step-x").mkdir()
    assert saved_steps(tmp_path) == [9, 10, 100]
    assert restored(tmp_path).step == 100


def test_nothing_to_resume_is_an_error(tmp_path: Path) -> None:
    expected = "c: nothing valid to resume: no checkpoint was saved; start a new run"
    with pytest.raises(ResumeError, match=expected):
        restored(tmp_path / "c")


def test_any_damage_to_any_file_is_found_and_the_older_checkpoint_used(
    tmp_path: Path, figure: Figure
) -> None:
    save_all(tmp_path, 1, 2)
    draw = random.Random(5)
    files = sorted((tmp_path / "step-2").iterdir())
    assert len(files) == 3
    count = trials(50, 1000)
    for trial in range(count):
        path = files[trial % 3]
        before = path.read_bytes()
        damage(path, draw)
        warnings: list[str] = []
        assert is_equal(restored(tmp_path, warn=warnings.append), state(1))
        assert len(warnings) == 1
        assert path.name in warnings[0]
        assert warnings[0].endswith("; trying the previous checkpoint")
        path.write_bytes(before)
    assert restored(tmp_path).step == 2
    figure("corruptions of a checkpoint, found", f"{count} of {count}")


def damage(path: Path, draw: random.Random) -> None:
    """Flip a bit, zero a block that was not zero, cut the end off, or delete the file."""
    data = bytearray(path.read_bytes())
    place = draw.randrange(len(data))
    match draw.choice(["flip", "zero", "cut", "delete"]):
        case "flip":
            data[place] ^= 1 << draw.randrange(8)
        case "zero":
            place = next(at for at in [*range(place, len(data)), *range(place)] if data[at])
            data[place : place + 64] = bytes(len(data[place : place + 64]))
        case "cut":
            del data[place:]
        case "delete":
            path.unlink()
            return
    path.write_bytes(data)


def test_when_all_are_damaged_every_reason_is_given(tmp_path: Path) -> None:
    save_all(tmp_path, 1, 2)
    (tmp_path / "step-2" / "state.json").write_text("{}")
    (tmp_path / "step-1" / "manifest.json").unlink()
    warnings: list[str] = []
    with pytest.raises(ResumeError) as caught:
        restored(tmp_path, warn=warnings.append)
    assert len(warnings) == 2
    assert "state.json: has 2 bytes, but had" in str(caught.value)
    assert "step-1/manifest.json: cannot be read" in str(caught.value).replace(os.sep, "/")


def test_another_identity_is_refused_with_all_that_changed(tmp_path: Path) -> None:
    save_all(tmp_path, 3)
    other = changed(data={"sha256": "ee"}, settings={"seed": 1, "mix": ["a"], "new": 5})
    with pytest.raises(ResumeError) as caught:
        load(tmp_path, identity=other, warn=refuse)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("was saved by a run that differs in 4 respects:")
    assert lines[1:5] == [
        "  data.sha256: the checkpoint has 'cd', this run has 'ee'",
        "  settings.seed: the checkpoint has 0, this run has 1",
        "  settings.mix: the checkpoint has [], this run has ['a']",
        "  settings.new: the checkpoint has None, this run has 5",
    ]
    assert "--allow-change KEY" in lines[5]


@pytest.mark.parametrize(
    "words", [["settings.seed", "data.sha256"], ["seed", "sha256"], ["settings", "data"]]
)
def test_a_change_that_is_allowed_passes(tmp_path: Path, words: list[str]) -> None:
    save_all(tmp_path, 3)
    other = changed(data={"sha256": "ee"}, settings={"seed": 1})
    assert load(tmp_path, identity=other, allow_change=words, warn=refuse).step == 3


def test_allowing_what_does_not_exist_is_refused(tmp_path: Path) -> None:
    save_all(tmp_path, 3)
    with pytest.raises(InputError, match=r"'sed' is not a key of .* did you mean seed"):
        load(tmp_path, identity=IDENTITY, allow_change=["sed"], warn=refuse)
    with pytest.raises(InputError, match=r"'zzz' is not a key .* the keys are model\.sha256, data"):
        load(tmp_path, identity=IDENTITY, allow_change=["zzz"], warn=refuse)


def test_another_machine_only_gives_a_warning(tmp_path: Path) -> None:
    save_all(tmp_path, 3)
    warnings: list[str] = []
    other = changed(machine={"threads": 8})
    assert is_equal(load(tmp_path, identity=other, warn=warnings.append), state(3))
    (warning,) = warnings
    assert warning.startswith("machine.threads: the checkpoint has 2, this run has 8; continuing")
    assert warning.endswith("but the result may differ in its last bits")


def test_a_tuple_equals_a_list_and_true_does_not_equal_one() -> None:
    assert changes({"a": (1, 2), "b": None}, {"a": [1, 2]}) == {}
    assert changes({"a": True}, {"a": 1}) == {"a": (True, 1)}


def test_a_checkpoint_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    with durable.atomic_folder(tmp_path / "step-1") as inside:
        (inside / "state.json").write_text('{"format": 2}')
    with pytest.raises(ResumeError, match="step-1: has format 2, and this upbring reads up to 1"):
        restored(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_operation_leaves_the_older_checkpoints(
    tmp_path: Path, code: int, figure: Figure
) -> None:
    counting = CountingDisk()
    save_all(tmp_path / "count", 1, 2)
    save(tmp_path / "count", state(3), identity=IDENTITY, keep=2, disk=counting)
    for first, operation in enumerate(counting.operations):
        folder = tmp_path / f"{first}-{operation}"
        save_all(folder, 1, 2)
        disk = FailingDisk(first, code=code, num_failures=1000)
        with pytest.raises(ResourceError) as caught:
            save(folder, state(3), identity=IDENTITY, keep=2, disk=disk)
        assert caught.value.exit_code == 3
        assert str(folder) in str(caught.value)
        assert " free); free some space or fix the disk" in str(caught.value)
        left = {path.name for path in folder.iterdir()}
        assert {step for step in (1, 2, 3) if f"step-{step}" in left} >= {2}
        assert sum(name.startswith("step-") for name in left) >= 2
        assert restored(folder).step == (3 if "step-3" in left else 2)
        durable.remove_leftovers(folder, is_locked=True)
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]
        save(folder, state(3), identity=IDENTITY, keep=2)  # with free space again, saving works
        assert saved_steps(folder) == [2, 3]
    found = f"{len(counting.operations)} of {len(counting.operations)}"
    figure(f"{errno.errorcode[code]} at each operation of a save, older steps intact", found)


def test_the_required_space_is_a_fifth_more_than_the_last_checkpoint(tmp_path: Path) -> None:
    save_all(tmp_path, 1, 2)
    num_bytes = sum(path.stat().st_size for path in (tmp_path / "step-2").iterdir())
    room = int(1.2 * num_bytes)
    with pytest.raises(ResourceError, match=r"step-3: saving needs .* is free; free some space"):
        save(tmp_path, state(3), identity=IDENTITY, keep=2, disk=FullDisk(room - 1))
    assert saved_steps(tmp_path) == [1, 2]
    save(tmp_path, state(3), identity=IDENTITY, keep=2, disk=FullDisk(room))
    large = State(4, {"weights": torch.zeros(10**6)})  # 4 MB: larger than the previous checkpoints
    with pytest.raises(ResourceError, match=r"needs 4\.8 MB, but only 4\.7 MB is free"):
        save(tmp_path, large, identity=IDENTITY, keep=2, disk=FullDisk(4_700_000))


def test_an_old_checkpoint_that_cannot_be_deleted_does_not_stop_the_run(tmp_path: Path) -> None:
    class Clinging(CountingDisk):
        def before(self, operation: str, path: Path) -> None:
            if operation == "remove" or path.name == "step-1":
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    save_all(tmp_path, 1, 2)
    warnings: list[str] = []
    save(tmp_path, state(3), identity={}, keep=2, warn=warnings.append, disk=Clinging())
    assert saved_steps(tmp_path) == [1, 2, 3]
    assert warnings[0].startswith("an old checkpoint could not be deleted: ")


def test_a_run_folder_deleted_meanwhile_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sft-1: the folder is gone; if it was deleted or moved"):
        save(tmp_path / "sft-1" / "checkpoints", state(1), identity={}, keep=2)


def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    save_all(tmp_path, 1)
    with pytest.raises(InputError, match="step-2: Permission denied; get write permission"):
        save(tmp_path, state(2), identity={}, keep=2, disk=FailingDisk(0, code=errno.EACCES))
    assert saved_steps(tmp_path) == [1]


def test_keeping_fewer_than_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="must be at least 2"):
        save(tmp_path, state(1), identity={}, keep=1)


def kill(*words: str) -> list[dict[str, object]]:
    program = Path(__file__).with_name("killed_saves.py")
    environment = {**os.environ, "PYTHONPATH": str(program.parents[2])}
    command = [sys.executable, str(program), *words]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert isinstance(found, list)
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_save_killed_at_any_operation_leaves_the_old_step_or_the_new_one(
    tmp_path: Path, figure: Figure
) -> None:
    found = kill(str(tmp_path), "operations")
    assert {trial["code"] for trial in found[:-1]} == {9}
    assert not any(trial["is_mix"] or trial["left"] for trial in found)
    operations = [trial["operation"] for trial in found]
    published = operations.index("rename") + 1  # before this operation the rename was done
    assert [trial["step"] for trial in found] == [
        2 if number < published else 3 for number in range(len(found))
    ]
    assert found[-1]["visible"] == [2, 3]
    num_killed = len(found) - 1
    figure("saves killed at each operation, no mix", f"{num_killed} of {num_killed}")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_killed_at_a_random_moment_loses_nothing_acknowledged(
    tmp_path: Path, figure: Figure
) -> None:
    count = trials(5, 60)
    found = kill(str(tmp_path), "moments", str(count))
    assert len(found) == count
    for trial in found:
        assert not trial["is_mix"]
        step, acknowledged = trial["step"], trial["acknowledged"]
        assert isinstance(step, int)
        assert isinstance(acknowledged, int)
        assert acknowledged <= step <= acknowledged + 1
    figure("saves killed at random moments, nothing lost", f"{count} of {count}")
