from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.settings.parse_yaml import ListNode, Scalar, Section, read_yaml


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def message(folder: Path, text: str | bytes) -> str:
    with pytest.raises(InputError) as caught:
        read_yaml(written(folder, text))
    return str(caught.value).replace(f"{folder}/", "").replace(f"{folder}\\", "")


def test_nodes_have_their_lines_and_scalars_stay_text(tmp_path: Path) -> None:
    root = read_yaml(written(tmp_path, "sft:\n  rate: 1e-5\n  data:\n  - a\n  - 'no'\n"))
    assert isinstance(root, Section)
    sft = root.entries["sft"].value
    assert isinstance(sft, Section)
    assert sft.entries["rate"].value == Scalar(2, "1e-5", is_plain=True)
    data = sft.entries["data"]
    assert data.line == 3
    assert data.value == ListNode(
        4, (Scalar(4, "a", is_plain=True), Scalar(5, "no", is_plain=False))
    )


def test_only_true_and_false_are_booleans_and_time_stays_text(tmp_path: Path) -> None:
    root = read_yaml(written(tmp_path, "[true, no, on, True, 12:30:00, ~, '']"))
    assert isinstance(root, ListNode)
    items = [item for item in root.items if isinstance(item, Scalar)]
    assert [item.is_boolean for item in items] == [True] + [False] * 6
    assert [item.is_null for item in items] == [False] * 5 + [True, False]
    assert items[4].text == "12:30:00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sft:\n\trate: 1\n", "recipe.yaml:2: a tab where YAML needs spaces; indent"),
        ("sft:\n  rate:\t[1\n", "recipe.yaml:"),
        ("sft:\n  rate: [1, 2\n  x: 3\n", "recipe.yaml:3: not valid YAML: "),
        ("sft:\n  a: 1\n b: 2\n", "recipe.yaml:3: not valid YAML: "),
        ('sft: "open\n', "recipe.yaml:2: not valid YAML: "),
        ("sft: *nowhere\n", "recipe.yaml:1: not valid YAML: found undefined alias"),
        ("", "recipe.yaml: the file is empty; write a mapping"),
        ("# only a comment\n", "recipe.yaml: the file is empty; write a mapping"),
        ("a: 1\n---\nb: 2\n", "recipe.yaml:2: a second document begins; keep one"),
        ("a: 1\nb: 2\na: 3\n", "recipe.yaml:3: a: given twice, first on line 1; delete one"),
        ("a:\n  b: 1\n  b: 1\n", "recipe.yaml:3: a.b: given twice, first on line 2; delete one"),
        ("? [a]\n: 1\n", "recipe.yaml:1: a key is a sequence; give a name"),
        (
            "a: !!python/object/apply:os.system [x]\n",
            "recipe.yaml:1: the tag '!!python/object/apply:os.system': settings take no tags",
        ),
        ("a: !mine 3\n", "recipe.yaml:1: the tag '!mine': settings take no tags; delete it"),
        ("a: !!float 3\n", "recipe.yaml:1: the tag '!!float': settings take no tags; delete it"),
        ("a: &a [*a]\n", "recipe.yaml:1: aliases (*) expand without bound; write the values out"),
        ("a: 1\nb: \xe9".encode("latin-1"), "recipe.yaml:2: byte 0xe9 is not UTF-8; save"),
        ("a: 1".encode("utf-16"), "recipe.yaml:1: byte 0xff is not UTF-8; save the file"),
        ("a: 1\nb: \0\n", "recipe.yaml:2: character U+0000 is not allowed in YAML; delete it"),
        ("a: '" + "x" * 1_000_001 + "'", "recipe.yaml: larger than 1,000,000 bytes"),
    ],
)
def test_the_error_for_a_bad_file_names_the_line(
    tmp_path: Path, text: str | bytes, expected: str
) -> None:
    assert message(tmp_path, text).startswith(expected)


def test_all_duplicate_keys_are_reported_at_once(tmp_path: Path) -> None:
    assert message(tmp_path, "a: 1\na: 2\nb: 1\nb: 2\n").count("given twice") == 2


def test_a_byte_order_mark_and_carriage_returns_are_accepted(tmp_path: Path) -> None:
    root = read_yaml(written(tmp_path, b"\xef\xbb\xbfa: 1\r\nb: 2\r\n"))
    assert isinstance(root, Section)
    assert {name: entry.line for name, entry in root.entries.items()} == {"a": 1, "b": 2}


def test_an_alias_is_replaced_by_its_anchor(tmp_path: Path) -> None:
    root = read_yaml(written(tmp_path, "a: &a [x]\nb: *a\n"))
    assert isinstance(root, Section)
    assert root.entries["a"].value == root.entries["b"].value


def test_an_anchor_bomb_is_an_error_before_it_is_expanded(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert "aliases (*) expand without bound" in message(tmp_path, "\n".join(lines))


def test_deep_nesting_is_an_error(tmp_path: Path) -> None:
    assert "nested deeper than 20" in message(tmp_path, "[" * 100_000)


def test_the_error_for_a_missing_file_or_a_folder_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read: no such file or directory"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(InputError, match=r"cannot be read: .*; give a settings file"):
        read_yaml(tmp_path)
