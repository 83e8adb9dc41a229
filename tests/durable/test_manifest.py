"""Every changed byte of a saved folder is detected."""

import hashlib
import os
import random
from pathlib import Path

import pytest

from tests.conftest import trials
from upbring import durable
from upbring.durable.manifest import PIECE_BYTES


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    with durable.atomic_folder(tmp_path / "step-1") as inside:
        (inside / "tensors").write_bytes(random.Random(0).randbytes(3000))
        (inside / "empty").touch()
        (inside / "deep").mkdir()
        (inside / "deep" / "facts.json").write_text('{"step": 1}')
    return tmp_path / "step-1"


def test_saved_files_verify_and_unlisted_files_are_ignored(saved: Path) -> None:
    (saved / ".DS_Store").touch()
    durable.verify(saved)


def test_any_flipped_bit_of_any_file_is_detected(saved: Path) -> None:
    draw = random.Random(1)
    paths = [path for path in saved.rglob("*") if path.is_file() and path.stat().st_size]
    for _ in range(trials(200, 4000)):
        path = draw.choice(paths)
        before = path.read_bytes()
        damaged, place = bytearray(before), draw.randrange(len(before))
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(durable.Damaged, match=path.name):
            durable.verify(saved)
        path.write_bytes(before)
    durable.verify(saved)


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"files": {}, "seal": ""}']
)
def test_an_invalid_manifest_is_rejected(saved: Path, text: bytes) -> None:
    (saved / "manifest.json").write_bytes(text)
    with pytest.raises(durable.Damaged, match=r"manifest\.json: (is not a valid manifest|differs)"):
        durable.verify(saved)


def test_the_damage_is_described(saved: Path) -> None:
    (saved / "empty").write_text("!")
    with pytest.raises(durable.Damaged, match="empty: has 1 bytes, but had 0 when it was saved"):
        durable.verify(saved)
    (saved / "empty").unlink()
    with pytest.raises(durable.Damaged, match="empty: cannot be read: No such file"):
        durable.verify(saved)
    (saved / "manifest.json").unlink()
    with pytest.raises(durable.Damaged, match=r"manifest\.json: cannot be read"):
        durable.verify(saved)


def test_the_damaged_piece_of_a_large_file_is_named(tmp_path: Path) -> None:
    with durable.atomic_folder(tmp_path / "large") as inside:
        (inside / "tensors").write_bytes(bytes(3 * PIECE_BYTES))
    with (tmp_path / "large" / "tensors").open("r+b") as file:
        file.seek(PIECE_BYTES + 5)
        file.write(b"!")
    with pytest.raises(durable.Damaged, match="between bytes 4194304 and 8388608"):
        durable.verify(tmp_path / "large")


def test_names_that_utf8_cannot_hold_survive(tmp_path: Path) -> None:
    if os.name == "nt":
        pytest.skip("names are Unicode there")
    with durable.atomic_folder(tmp_path / "odd") as inside:
        (inside / os.fsdecode(b"\xff")).write_text("x")
    durable.verify(tmp_path / "odd")


def test_the_hash_of_a_file_is_the_standard_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert durable.sha256_file(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
