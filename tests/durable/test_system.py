"""What the system tells of memory and disks."""

from pathlib import Path

from upbring import durable


def test_memory_is_in_bytes() -> None:
    now, peak = durable.process_memory_bytes(), durable.peak_process_memory_bytes()
    assert now is not None
    assert peak is not None
    assert 2**20 < now <= peak


def test_sizes_have_decimal_units() -> None:
    # decimal units: 2,500,000 bytes are 2.5 MB
    spoken = [durable.format_size(number) for number in (0, 2_500_000, 7.25e9, 1e12, 1500)]
    assert spoken == ["0 bytes", "2.5 MB", "7.2 GB", "1.0 TB", "1.5 kB"]


def test_free_space_of_a_missing_folder_is_known(tmp_path: Path) -> None:
    assert durable.DISK.free_bytes(tmp_path / "not" / "yet") > 0
