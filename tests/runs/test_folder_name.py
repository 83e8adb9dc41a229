"""A name is one plain folder, on every system and in every terminal."""

import pytest

from upbring.runs.folder_name import is_folder_name


@pytest.mark.parametrize("name", ["sft-1", "my run", "Prüfung_2", "a.b", "x" * 100])
def test_plain_names_are_accepted(name: str) -> None:
    assert is_folder_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "/etc/x", "a/b", "a\\b", "C:x", "a*", ".hidden", "x.", " x", "x "),
        *("a\x1b[2J", "a\n", "a\0", "a\u202eb", "a\u2066b", "a\u200b", "a\x9b", "x" * 101),
    ],
)
def test_paths_hidden_and_unprintable_names_are_refused(name: str) -> None:
    assert not is_folder_name(name)
