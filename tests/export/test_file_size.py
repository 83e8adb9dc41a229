import pytest

from upbring.errors import InputError
from upbring.export.file_size import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("500MB", 500_000_000), ("1 kib", 1024), ("2.5GB", 2_500_000_000), ("3GiB", 3 * 2**30)],
)
def test_sizes_have_decimal_and_binary_units(text: str, size: int) -> None:
    assert parse_size(text, setting="--shard-size") == size


@pytest.mark.parametrize("text", ["", "5", "GB", "-1GB", "0MB", "1e3MB", "5 GB each"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"--shard-size: .* is no size; give one such as 5GB"):
        parse_size(text, setting="--shard-size")
